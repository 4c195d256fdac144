//! Pages made from the table of settings: for `--help`, for `docs/settings.md` and for `etc/full.toml`.
//! Uses the configuration and takes no part in it.

use std::fmt::Write as _;

use super::setting::TableKey;
use super::setting::{AnySetting, Reload, Unset};
use super::settings::{RECORD_KEYS, ROUTE_KEYS, TABLE, UPSTREAM_KEYS};
use crate::records::split_records;

/// Writes a value as the file would hold it: numbers and booleans bare, lists as arrays, the rest as strings.
pub(super) fn file_literal(text: &str, separator: Option<char>) -> String {
    if let Some(separator) = separator {
        let items = match separator {
            ';' => split_records(text),
            _ => text.split(separator).map(str::trim).collect(),
        };
        let items = items.into_iter().filter(|item| !item.is_empty());
        let items: Vec<String> = items.map(quoted).collect();
        return format!("[{}]", items.join(", "));
    }
    let is_bare = text.parse::<i64>().is_ok() || text.parse::<bool>().is_ok();
    if is_bare {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// Writes an example of `subject` as a line of the file or as a variable.
pub(super) fn example(subject: AnySetting, in_file: bool) -> String {
    let entry = subject.entry();
    match entry.section_and_key() {
        Some((section, key)) if in_file => {
            format!(
                "[{section}] {key} = {}",
                file_literal(entry.example, subject.separator())
            )
        }
        Some(_) | None => format!("{}={}", entry.variable(), entry.example),
    }
}

/// The longest line of a file.
const PAGE_WIDTH: usize = 100;

/// The longest line on a terminal.
pub const HELP_WIDTH: usize = 80;

/// Returns the variables for the end of `--help`, the required ones first.
pub fn help_table() -> String {
    let mut page = String::from(
        "Environment variables (each can also be set in a TOML file, see docs/settings.md):\n",
    );
    for &subject in TABLE {
        let entry = subject.entry();
        let absent = match entry.unset {
            Unset::Required => "required".to_owned(),
            Unset::Default("") => "default: none".to_owned(),
            Unset::Default(text) => format!("default: {}", text.replace(',', ", ")),
            Unset::Nothing => "optional".to_owned(),
        };
        let variable = entry.variable();
        let mut push = |margin, text: &str| push_wrapped_at(&mut page, HELP_WIDTH, margin, text);
        push("  ", &format!("{variable}  ({absent})"));
        push("      ", &entry.doc.replace('`', ""));
        push("      ", &format!("Expected: {}.", subject.expected()));
    }
    page
}

/// Returns `docs/settings.md`.
pub fn settings_page() -> String {
    let mut page = String::from(
        "# Settings\n\n\
         <!-- Made by `dotgate check --print settings.md` from dotgate-config/src/settings.rs. -->\n\n\
         Each setting is an environment variable or a key in a TOML file. `--config` or `DOTGATE_CONFIG_FILE` names\n\
         the file. If neither is given, dotgate reads `/etc/dotgate/dotgate.toml` and, for variables that are not in\n\
         the environment, `/etc/dotgate/dotgate.env`, if these files exist.\n\
         The environment takes precedence over the file. If a setting is invalid, unknown, or required and missing,\n\
         dotgate lists all such problems and exits with status 2. `dotgate check` does the same without starting the\n\
         server, and prints every setting with its source.\n\n\
         In the file, a list is an array of strings, and a duration or a size with a unit is a string.\n\
         An empty optional variable counts as not set. A trailing comma in a list is ignored. Keywords are not case\n\
         sensitive. Quotes around the value of a variable are part of the value, and an error.\n\
         Variables that Kubernetes injects for a Service called `dotgate` are ignored. For a Service called `dns`,\n\
         Kubernetes injects `DNS_PORT=tcp://...`, which is rejected: set `enableServiceLinks: false` in the pod spec.\n\n\
         dotgate reloads its configuration on SIGHUP, and when the file, `DOTGATE_TLS_CA_FILE` or\n\
         `DOTGATE_ADMIN_TOKEN_FILE` changes. A configuration with an error is rejected as a whole, and the current one\n\
         stays active. Only settings in the file can be reloaded, because the environment of a process is fixed. Each\n\
         setting below says whether a reload applies it or a restart is needed.\n\n",
    );
    page.push_str("## Required\n");
    for &subject in TABLE.iter().filter(|subject| subject.entry().is_required()) {
        push_setting(&mut page, subject);
    }
    page.push_str("\n## Optional\n");
    for &subject in TABLE
        .iter()
        .filter(|subject| !subject.entry().is_required())
    {
        push_setting(&mut page, subject);
    }
    page.push_str(
        "\n## Upstreams as tables\n\n\
         In the file, `[[upstream]]` tables can replace `[dns] host`: one table per upstream, at most 16.\n",
    );
    push_keys(&mut page, &UPSTREAM_KEYS);
    page.push_str(
        "\n## Routes as tables\n\nIn the file, `[[route]]` tables replace `DOTGATE_ROUTES`: one table per route, at \
         most 63.\n",
    );
    push_keys(&mut page, &ROUTE_KEYS);
    page.push_str(
        "\n## Local records as tables\n\n\
         In the file, `[[record]]` tables can replace `[local] records`: one table per record, at most 10,000.\n",
    );
    push_keys(&mut page, &RECORD_KEYS);
    page
}

fn push_keys(page: &mut String, keys: &[&TableKey]) {
    for TableKey {
        table,
        key,
        expected,
        doc,
        example,
        ..
    } in keys
    {
        push(page, format_args!("\n### `[[{table}]] {key}`\n\n{doc}\n\n"));
        push(page, format_args!("* Expected: {expected}\n"));
        push(page, format_args!("* Example: `{key} = {example}`\n"));
    }
}

/// Returns `etc/full.toml`: every setting of the file, with its default, or commented out if it has none.
pub fn full_file() -> String {
    let mut page = String::from(
        "# Every setting with its default. Settings that are required or have no default show an example.\n\
         # Made by `dotgate check --print full.toml` from dotgate-config/src/settings.rs.\n",
    );
    let mut sections: Vec<&str> = Vec::new();
    let known = || {
        TABLE
            .iter()
            .filter_map(|s| Some((*s, s.entry().section_and_key()?)))
    };
    for (_, (section, _)) in known() {
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    for section in sections {
        push(&mut page, format_args!("\n[{section}]\n"));
        for (subject, (_, key)) in known().filter(|(_, (of, _))| *of == section) {
            page.push('\n');
            let entry = subject.entry();
            push_wrapped(&mut page, "# ", &entry.doc.replace('`', ""));
            push_wrapped(
                &mut page,
                "# ",
                &format!("Expected: {}.", subject.expected()),
            );
            let (comment, value) = match entry.unset {
                Unset::Required => ("", entry.example),
                Unset::Default(text) => ("", text),
                Unset::Nothing => ("# ", entry.example),
            };
            let literal = file_literal(value, subject.separator());
            push(&mut page, format_args!("{comment}{key} = {literal}\n"));
        }
    }
    for (heading, keys) in [
        (
            "Upstreams can be tables instead of [dns] host, one table per upstream.\n# [[upstream]]",
            &UPSTREAM_KEYS[..],
        ),
        (
            "Routes are tables, one table per route.\n# [[route]]",
            &ROUTE_KEYS[..],
        ),
        (
            "Local records can be tables instead of [local] records, one table per record.\n# [[record]]",
            &RECORD_KEYS[..],
        ),
    ] {
        push(&mut page, format_args!("\n# {heading}\n"));
        for key in keys {
            push_wrapped(&mut page, "# # ", &key.doc.replace('`', ""));
            push(&mut page, format_args!("# {} = {}\n", key.key, key.example));
        }
    }
    page
}

fn push_setting(page: &mut String, subject: AnySetting) {
    let entry = subject.entry();
    let variable = entry.variable();
    push(
        page,
        format_args!("\n### `{variable}`\n\n{}\n\n", entry.doc),
    );
    if let Some((section, key)) = entry.section_and_key() {
        push(page, format_args!("* In the file: `[{section}] {key}`\n"));
    }
    push(page, format_args!("* Expected: {}\n", subject.expected()));
    match entry.unset {
        Unset::Required => {}
        Unset::Default("") => page.push_str("* Default: none\n"),
        Unset::Default(text) => push(page, format_args!("* Default: `{text}`\n")),
        Unset::Nothing => page.push_str("* Default: not set\n"),
    }
    page.push_str(match entry.reload {
        Reload::Live => "* Applied by: reload\n",
        Reload::Restart => "* Applied by: restart or `dotgate replace`\n",
    });
    push(
        page,
        format_args!("* Example: `{}`\n", example(subject, false)),
    );
}

/// Adds `text` in lines of at most `PAGE_WIDTH` characters, each behind `margin`.
fn push_wrapped(page: &mut String, margin: &str, text: &str) {
    push_wrapped_at(page, PAGE_WIDTH, margin, text);
}

/// Adds `text` in lines of at most `width` characters, each behind `margin`.
fn push_wrapped_at(page: &mut String, width: usize, margin: &str, text: &str) {
    let mut length = 0;
    for word in text.split(' ') {
        let is_first = length == 0;
        if is_first || length + 1 + word.len() > width {
            let break_before = if is_first { "" } else { "\n" };
            push(page, format_args!("{break_before}{margin}{word}"));
            length = margin.len() + word.len();
        } else {
            push(page, format_args!(" {word}"));
            length += 1 + word.len();
        }
    }
    page.push('\n');
}

fn push(page: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string has no way to fail.
    page.write_fmt(arguments).unwrap_or_default();
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '\\' | '"' => {
                quoted.push('\\');
                quoted.push(character);
            }
            control if control.is_control() => {
                push(&mut quoted, format_args!("\\u{:04X}", control as u32));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
