//! What people with the admin token can see and do. The script shows it and sends the requests; the token stays in the page.

use dotgate_config::{LogLevel, PortalPolicy, Word as _};
use dotgate_core::limits::PORTAL_MAX;
use maud::{Markup, html};

use super::view::View;

/// Not one of the parts that are kept current: what a person types there stays.
pub(super) fn markup(view: &View) -> Markup {
    html! {
        section #actions aria-labelledby="actions-title" hidden {
            h2 id="actions-title" { "With the admin token" }
            @if view.token == "set" {
                form #access .row {
                    label for="token" { "Admin token" }
                    input #token type="password" autocomplete="off";
                }
                h3 { "Queries" }
                @if view.shows_queries { (queries()) } @else {
                    p .note { "With " code { "DOTGATE_ADMIN_QUERIES=true" } ", queries are shown here as they end." }
                }
                h3 { "Actions" }
                (forms(view))
            } @else {
                p .note {
                    "Here the cache can be flushed, the log level set, and queries seen as they end. Write a token to a file, and name "
                    "it in " code { "DOTGATE_ADMIN_TOKEN_FILE" } "."
                }
            }
        }
    }
}

/// Queries as they end. The script writes the rows.
fn queries() -> Markup {
    html! {
        form #watch .row {
            label for="filter" { "Show only" }
            input #filter type="text" autocomplete="off" placeholder="failed,slow>200ms" aria-describedby="filter-help";
            button #watch-button { "Show" }
        }
        p #filter-help .note {
            "Conditions: " code { "failed" } ", " code { "slow>200ms" } ", " code { "suffix=example.com" } ", "
            code { "client=192.0.2.0/24" } ", separated by commas; empty for all queries."
        }
        p #watched role="status" {}
        p #seen .note {}
        div #queries .scroll role="region" aria-label="Queries, the newest first" tabindex="0" hidden {
            table role="table" {
                thead role="rowgroup" {
                    tr role="row" {
                        th role="columnheader" scope="col" { "Time (UTC)" }
                        th role="columnheader" scope="col" { "Client" }
                        th role="columnheader" scope="col" { "Question" }
                        th role="columnheader" scope="col" { "Result" }
                        th role="columnheader" scope="col" .number { "Took" }
                    }
                }
                tbody role="rowgroup" {}
            }
        }
    }
}

fn forms(view: &View) -> Markup {
    html! {
        form #flush .row {
            label for="name" { "Flush from the cache" }
            input #name type="text" autocomplete="off" placeholder="example.com";
            button name="what" value="name" { "This name" }
            button name="what" value="below" { "With names below it" }
            button name="what" value="all" { "Everything" }
        }
        form #level .row {
            label for="log-level" { "Log level until the next reload" }
            select #log-level {
                @for level in LogLevel::ALL {
                    option selected[view.log_level == Some(level.word())] { (level.word()) }
                }
            }
            button { "Set" }
        }
        @match &view.portal {
            PortalPolicy::Off => {}
            PortalPolicy::On => { (portal(true)) }
            PortalPolicy::Resolver(_) => { (portal(false)) }
        }
        p #done role="status" {}
    }
}

/// The portal window, where the settings permit one. Whether one is open stands in the verdict.
fn portal(names_resolver: bool) -> Markup {
    html! {
        form #portal .row {
            label for="portal-minutes" { "Portal window, in minutes" }
            input #portal-minutes type="number" min="1" max=(PORTAL_MAX.as_secs() / 60) value="5" aria-describedby="portal-help";
            @if names_resolver {
                label for="portal-resolver" { "Resolver of the network" }
                input #portal-resolver type="text" autocomplete="off" placeholder="192.168.1.1";
            }
            label for="portal-all" { "All names without a route" }
            input #portal-all type="checkbox";
            button value="open" { "Open" }
            button value="close" { "Close" }
        }
        p #portal-help .note {
            "For a network that requires a login: its own resolver answers the names of connectivity checks, "
            strong { "not encrypted" } ", until an upstream responds over TLS."
        }
    }
}
