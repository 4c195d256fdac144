//! Finds the name an operator may have meant.
//! Serves `Spec`, for names that are not in the table. Offers nothing that is less than half alike.

use super::setting::TableKey;
use super::setting::{PREFIX, prefixed};
use super::settings::TABLE;

/// How much alike two names must be, of 1.
const ALIKE_MIN: f64 = 0.5;

/// Returns the known variable nearest to `unknown`. The plain ones are found by the prefixed name they do not have
/// (`DOTGATE_SERVER_PORT`), too, and all by their key alone (`DOTGATE_WORKERS`).
pub(super) fn variable(unknown: &str) -> Option<String> {
    let unknown = unknown.strip_prefix(PREFIX).unwrap_or(unknown);
    let candidates = TABLE.iter().flat_map(|subject| {
        let entry = subject.entry();
        let variable = entry.variable().into_owned();
        let in_file = entry.section_and_key();
        let by_section = in_file.map(|(section, key)| prefixed(section, key));
        let by_key = in_file.map(|(_, key)| key.to_ascii_uppercase());
        let names = [Some(variable.clone()), by_section, by_key];
        names.into_iter().flatten().map(move |name| {
            (
                name.strip_prefix(PREFIX).unwrap_or(&name).to_owned(),
                variable.clone(),
            )
        })
    });
    nearest(unknown, candidates)
}

/// Returns the known `[section] key` nearest to `key` in `section`; the same key in another section is nearest.
pub(super) fn key(section: &str, key: &str) -> Option<String> {
    let known = || {
        TABLE
            .iter()
            .filter_map(|subject| subject.entry().section_and_key())
    };
    let shown = |(section, key)| format!("[{section}] {key}");
    let by_variable = TABLE.iter().find_map(|subject| {
        let is_meant = subject.entry().variable().eq_ignore_ascii_case(key);
        subject.entry().section_and_key().filter(|_| is_meant)
    });
    if let Some(meant) = by_variable {
        return Some(shown(meant));
    }
    let elsewhere = known().find(|(_, known_key)| *known_key == key).map(shown);
    elsewhere.or_else(|| {
        let unknown = format!("{section}.{key}");
        nearest(
            &unknown,
            known().map(|(section, key)| (format!("{section}.{key}"), shown((section, key)))),
        )
    })
}

/// Returns the known section nearest to `section`.
pub(super) fn section(section: &str) -> Option<String> {
    let known = TABLE
        .iter()
        .filter_map(|subject| subject.entry().section_and_key());
    let sections = known.map(|(section, _)| (section.to_owned(), format!("[{section}]")));
    let tables = ["upstream", "route"].map(|name| (name.to_owned(), format!("[[{name}]]")));
    nearest(section, sections.chain(tables))
}

/// Returns the key of a table, one of `known`, that is nearest to `key`.
pub(super) fn table_key(key: &str, known: &[&'static TableKey]) -> Option<String> {
    let known = known.iter().map(|known| known.key.to_owned());
    nearest(key, known.map(|key| (key.clone(), key)))
}

/// Returns what belongs to the candidate that is most like `unknown`; the first of equals.
fn nearest(unknown: &str, candidates: impl Iterator<Item = (String, String)>) -> Option<String> {
    let unknown = unknown.to_ascii_lowercase();
    let mut best: Option<(f64, String)> = None;
    for (name, meant) in candidates {
        let alike = strsim::normalized_damerau_levenshtein(&unknown, &name.to_ascii_lowercase());
        let least = best.as_ref().map_or(ALIKE_MIN, |(best, _)| *best);
        if alike > least {
            best = Some((alike, meant));
        }
    }
    best.map(|(_, meant)| meant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::UPSTREAM_KEYS;

    #[test]
    fn the_variable_meant_is_found() {
        for (unknown, meant) in [
            ("DOTGATE_WORKERS", Some("DOTGATE_SERVER_WORKERS")),
            ("DOTGATE_SERVER_WORKER", Some("DOTGATE_SERVER_WORKERS")),
            ("DOTGATE_QUERY_DEADLNIE", Some("DOTGATE_QUERY_DEADLINE")),
            ("DOTGATE_PORT", Some("PORT")),
            ("DOTGATE_SERVER_PORT", Some("PORT")),
            ("DOTGATE_DNS_HOST", Some("DNS_HOST")),
            ("DOTGATE_LOG_LEVEL", Some("LOG_LEVEL")),
            ("DOTGATE_CONFIG", Some("DOTGATE_CONFIG_FILE")),
            ("DOTGATE_XYZZY", None),
        ] {
            assert_eq!(variable(unknown).as_deref(), meant, "{unknown}");
        }
    }

    #[test]
    fn the_key_meant_is_found() {
        for (in_section, unknown, meant) in [
            ("server", "worker", Some("[server] workers")),
            (
                "server",
                "udp-receive-buffer",
                Some("[server] udp_receive_buffer"),
            ),
            ("server", "deadline", Some("[query] deadline")),
            ("dns", "hosts", Some("[dns] host")),
            ("", "HOST", Some("[server] host")),
            ("", "DOTGATE_QUERY_DEADLINE", Some("[query] deadline")),
            ("dns", "DNS_PORT", Some("[dns] port")),
            ("dns", "xyzzy", None),
        ] {
            assert_eq!(
                key(in_section, unknown).as_deref(),
                meant,
                "[{in_section}] {unknown}"
            );
        }
        assert_eq!(section("servers").as_deref(), Some("[server]"));
        assert_eq!(section("upstreams").as_deref(), Some("[[upstream]]"));
        assert_eq!(section("xyzzy"), None);
        let found = table_key("auth-name", &UPSTREAM_KEYS);
        assert_eq!(found.as_deref(), Some("auth_name"));
    }
}
