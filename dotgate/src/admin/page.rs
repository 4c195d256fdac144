//! The page at `/` for people with a browser: how this instance is, at a glance.
//!
//! It is written here as a whole, so that it needs no JavaScript; a small script keeps it current (`admin::live`). It loads
//! nothing from elsewhere, and its Content-Security-Policy allows only its own style and script, by their hashes. It
//! shows what everyone may read who reaches the endpoint: no name that a client asked for, and no secret.

mod actions;
mod chart;
mod instance;
mod numbers;
mod traffic;
mod upstreams;
mod verdict;
mod view;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, VARY};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use tokio::time::{MissedTickBehavior, interval};

use self::view::View;
use super::endpoint::Endpoint;
use super::response::{Response, with_body};
use crate::running::Period;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// How often open pages get what differs.
const EVERY: Duration = Duration::from_secs(1);

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Nothing is allowed but this style, this script, and what the script reads from here.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| BASE64.encode(digest(&SHA256, text.as_bytes()).as_ref());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
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

/// Keeps open pages current until the runtime ends.
pub(super) async fn keep_current(endpoint: Arc<Endpoint>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        endpoint.live().update(|period| {
            let view = View::of(&endpoint, period);
            let sections = sections(&view);
            sections.map(|it| it.markup(&view).into_string()).into()
        });
    }
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
                title { (title(view)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "dotgate" }
                    p { "version " (view.version) }
                }
                main {
                    @for section in sections(view) {
                        @if section.id == "instance" { (actions::markup(view)) }
                        (section.markup(view))
                    }
                }
                footer {
                    p {
                        span #live { "As of " (view.time) } ". More: "
                        a href="/api/v1/status" { "status as JSON" } ", "
                        a href="/api/v1/failures" { "failures as JSON" } ", "
                        a href="/metrics" { "metrics" } "."
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// A part of the page.
struct Section {
    id: &'static str,
    content: Markup,
}

impl Section {
    /// With what the title of the page is by now.
    fn markup(&self, view: &View) -> Markup {
        let title = (self.id == "verdict").then(|| title(view));
        html! {
            section id=(self.id) aria-labelledby={ (self.id) "-title" } data-title=[title] { (self.content) }
        }
    }
}

fn title(view: &View) -> String {
    format!("{}: dotgate", view.verdict.level.word())
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
    fn the_policy_names_style_and_script_by_their_hashes_and_allows_nothing_else() {
        let policy = POLICY.to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(policy.contains("script-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
        assert!(!SCRIPT.contains("</script"));
    }
}
