//! The page at `/` for people with a browser: how this instance is, at a glance.
//!
//! It is written here as a whole, and needs no JavaScript. It loads nothing from
//! elsewhere, and its Content-Security-Policy allows only its own style, by its hash. It shows what
//! everyone may read who reaches the endpoint: no name that a client asked for, and no secret.

mod chart;
mod instance;
mod numbers;
mod traffic;
mod upstreams;
mod verdict;
mod view;

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, VARY};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::view::View;
use super::endpoint::Endpoint;
use super::response::{Response, with_body};
use crate::running::Period;

const STYLE: &str = include_str!("page/page.css");

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Nothing is allowed but this style.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| BASE64.encode(digest(&SHA256, text.as_bytes()).as_ref());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE)
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// The response with the page.
pub(super) fn response(endpoint: &Endpoint, period: Period) -> Response {
    let page = document(&View::of(endpoint, period));
    let mut response = with_body(StatusCode::OK, HTML, page.into_string());
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 3] = [
        (VARY, "Accept"),
        (REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    response
}

/// The period that a query string asks for, such as `period=hour`.
pub(super) fn period(query: Option<&str>) -> Period {
    let words = query.into_iter().flat_map(|query| query.split('&'));
    let mut asked = words.filter_map(|word| word.strip_prefix("period="));
    let word = asked.next();
    let mut known = Period::ALL.into_iter();
    known
        .find(|period| Some(traffic::word(*period)) == word)
        .unwrap_or_default()
}

fn document(view: &View) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (view.verdict.level.word()) ": dotgate" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "dotgate" }
                    p { "version " (view.version) ", up " (view.uptime()) }
                }
                main {
                    @for section in sections(view) {
                        section id=(section.id) aria-labelledby={ (section.id) "-title" } {
                            (section.content)
                        }
                    }
                }
                footer {
                    p {
                        "As of " (view.time) ". More: "
                        a href="/api/v1/status" { "status as JSON" } ", "
                        a href="/api/v1/failures" { "failures as JSON" } ", "
                        a href="/metrics" { "metrics" } "."
                    }
                }
            }
        }
    }
}

/// A part of the page.
struct Section {
    id: &'static str,
    content: Markup,
}

fn sections(view: &View) -> [Section; 7] {
    let section = |id, content| Section { id, content };
    [
        section("verdict", verdict::markup(view)),
        section("now", traffic::now(view)),
        section("upstreams", upstreams::markup(view)),
        section("history", traffic::history(view)),
        section("refused", traffic::refused(view)),
        section("instance", instance::markup(view)),
        section("settings", instance::settings(view)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_one_of_three_words() {
        assert_eq!(period(None), Period::FiveMinutes);
        assert_eq!(period(Some("period=hour")), Period::Hour);
        assert_eq!(period(Some("x=1&period=day")), Period::Day);
        assert_eq!(period(Some("period=<script>")), Period::FiveMinutes);
    }

    #[test]
    fn the_policy_names_the_style_by_its_hash_and_allows_nothing_else() {
        let policy = POLICY.to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
