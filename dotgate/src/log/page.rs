//! `docs/log-messages.md`, made from the table.

use super::message::Message;
use super::messages::ALL;

/// Returns the page. It names every message, its level, fields, meaning and what to do.
pub fn reference_page() -> String {
    let mut page = String::from(HEAD);
    for (subject, messages) in ALL {
        page += &format!("\n## {}\n\n", subject.trim());
        page += "| level | message | fields | meaning | what to do |\n|---|---|---|---|---|\n";
        for message in *messages {
            push_row(&mut page, message);
        }
    }
    page
}

const HEAD: &str = "# Log messages\n\n\
    <!-- Made by `dotgate check --print log-messages.md` from dotgate/src/log/messages.rs. -->\n\n\
    dotgate logs to standard error: one line for each event, or one JSON object with `LOG_FORMAT=json`. The text of a\n\
    message is fixed; variable parts are fields. A field without a value is omitted. The field `hint` says what to do.\n\n\
    Names in queries and addresses of clients occur only at `debug` and `trace`, in the messages that say so; `client` in\n\
    warnings is a prefix. Lines are dropped and counted when the queue is full (`dotgate_log_lines_dropped_total`,\n\
    `dotgate_events_dropped_total`); `debug` and `trace` use at most half of the queue.\n";

fn push_row(page: &mut String, message: &Message) {
    let fields = message.fields.iter().map(|field| format!("`{field}`"));
    let fields: Vec<String> = fields.collect();
    let level = message.level.to_string();
    *page += &format!(
        "| {level} | `{}` | {} | {} | {} |\n",
        message.text,
        fields.join(", "),
        message.meaning,
        message.action
    );
}
