//! What people with the admin token can do. The script shows it and sends the requests; the token stays in the page.

use dotgate_config::{LogLevel, Word as _};
use maud::{Markup, html};

use super::view::View;

/// Not one of the parts that are kept current: what a person types there stays.
pub(super) fn markup(view: &View) -> Markup {
    html! {
        section #actions aria-labelledby="actions-title" hidden {
            h2 id="actions-title" { "Actions" }
            @if view.token == "set" {
                (forms(view))
            } @else {
                p .note {
                    "The cache can be flushed and the log level set here with the admin token; "
                    "write one to a file, and name it in " code { "DOTGATE_ADMIN_TOKEN_FILE" } "."
                }
            }
        }
    }
}

fn forms(view: &View) -> Markup {
    html! {
        form #access .row {
            label for="token" { "Admin token" }
            input #token type="password" autocomplete="off";
        }
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
        p #done role="status" {}
    }
}
