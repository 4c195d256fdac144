//! Listeners, certificates, the cache, and the settings with their source.

use dotgate_config::{Effective, Escaped};
use maud::{Markup, html};

use super::numbers::{Grouped, Mebibytes, Percent};
use super::view::View;

/// Settings whose values name hosts and clients of this network. Who reaches the page may not be one of them.
const PRIVATE: [&str; 7] = [
    "ACCESS_ALLOW",
    "LOCAL_RECORDS",
    "LOCAL_REBIND_EXCEPT",
    "QUERY_EXEMPT",
    "QUERY_LOG_FILTER",
    "CACHE_EXCEPT",
    "ADMIN_HOST_NAMES",
];

pub(super) fn markup(view: &View) -> Markup {
    let cache = &view.cache;
    let used = Percent::of(cache.bytes_used as u64, cache.bytes_max as u64);
    html! {
        h2 id="instance-title" { "This instance" }
        table {
            caption { "Listeners" }
            tbody {
                @for (kind, address) in &view.listeners {
                    tr { th scope="row" { (kind) } td { (address) } }
                }
            }
        }
        @if !view.certificates.is_empty() {
            table {
                caption { "Certificates for clients" }
                thead {
                    tr { th scope="col" { "File" } th scope="col" { "Names" } th scope="col" .number { "Days left" } }
                }
                tbody {
                    @for certificate in &view.certificates {
                        tr {
                            th scope="row" { (certificate.file) }
                            td { (certificate.names) }
                            td .number { (certificate.days_left) }
                        }
                    }
                }
            }
        }
        dl .pairs {
            div { dt { "Cache" } dd {
                (Grouped(cache.entries as u64)) " entries, " (Mebibytes(cache.bytes_used)) " of "
                (Mebibytes(cache.bytes_max)) " (" (used) ")"
            } }
            @if let Some(level) = view.log_level { div { dt { "Log level" } dd { (level) } } }
            div { dt { "Admin token" } dd { (view.token) } }
        }
    }
}

pub(super) fn settings(view: &View) -> Markup {
    let (set, defaults): (Vec<&Effective>, Vec<&Effective>) =
        view.settings.iter().partition(|it| it.is_changed());
    html! {
        h2 id="settings-title" { "Settings" }
        (rows("Set", &set))
        details {
            summary { "Defaults (" (defaults.len()) ")" }
            (rows("Defaults", &defaults))
        }
    }
}

fn rows(title: &str, settings: &[&Effective]) -> Markup {
    html! {
        table .settings {
            caption { (title) }
            thead {
                tr { th scope="col" { "Setting" } th scope="col" { "Value" } th scope="col" { "Source" } }
            }
            tbody {
                @for setting in settings {
                    tr {
                        th scope="row" { (setting.subject.entry().variable()) }
                        td { (value(setting)) }
                        td { (source(setting)) }
                    }
                }
            }
        }
    }
}

/// Where a value is from. A variable of the environment has the name of the setting, which is there already.
fn source(setting: &Effective) -> String {
    let source = setting.origin.to_string();
    if source == setting.subject.entry().variable() {
        "variable".to_owned()
    } else {
        source
    }
}

fn value(setting: &Effective) -> String {
    let variable = setting.subject.entry().variable();
    let is_private = PRIVATE.iter().any(|it| variable.ends_with(it));
    match setting.value.as_deref() {
        Some(_) if is_private && setting.is_changed() => "(not shown here)".to_owned(),
        Some("") => "(none)".to_owned(),
        Some(value) => Escaped(value).to_string(),
        None => "(not set)".to_owned(),
    }
}
