//! One vocabulary: the words of RFC 9499 and of ordinary manuals. A banned word fails with the word to write instead.
//!
//! Texts of settings, metrics, log messages, the manual page and the status are checked on the pages that are made from
//! them, which other tests compare with the program.

use std::fs;
use std::path::{Path, PathBuf};

use super::{code_of, read, root, rust_files, words};

/// Words that do not appear in prose, and what to write.
const PHRASES: &[(&str, &str)] = &[
    ("amid", "within, or in the middle of"),
    ("anew", "again, or a verb such as reload or restart"),
    ("as good as", "almost, or equivalent to"),
    ("as it were", "nothing, it adds no meaning"),
    ("befall", "happen to, or fault"),
    ("befalls", "happens to, or fault"),
    ("beside", "next to, in addition to, or hedge"),
    ("comes to nothing", "fails, or has no effect"),
    ("denial", "negative response"),
    ("denials", "negative responses"),
    ("for ever", "without end, or a bound"),
    ("forsaken", "abandoned"),
    ("goes over to", "uses, or switches to"),
    ("goodbye", "close_notify, or end"),
    ("in force", "active, or current"),
    ("in vain", "without success"),
    ("is ill", "is unhealthy"),
    ("no good", "invalid"),
    ("not well", "not healthy"),
    ("octet", "byte"),
    ("octets", "bytes"),
    ("our own question", "probe"),
    (
        "patience",
        "client response timer, or the name of the timeout",
    ),
    ("question of our own", "probe"),
    ("sign of life", "heartbeat"),
    ("signs of life", "heartbeats"),
    ("spelt", "as received, or name case"),
    ("told", "sent, served, logged or reported"),
    ("vouch", "authenticate, or guarantee"),
    ("vouches", "authenticates, or guarantees"),
    ("was well", "was healthy"),
    ("well again", "healthy again"),
    ("who asks", "the client"),
];

/// Names in metrics, the status and the API that were replaced, and what replaced them.
const NAMES: &[(&str, &str)] = &[
    ("answered_kept", "answered_from_cache"),
    ("attempts_again", "attempts_retry"),
    ("attempts_beside", "attempts_hedge"),
    ("datagrams_shortened", "datagrams_truncated"),
    ("half_message", "incomplete_query"),
    ("kind=\"again\"", "kind=\"retry\""),
    ("kind=\"beside\"", "kind=\"hedge\""),
    ("letters_dropped", "mailbox_messages_dropped"),
    ("life_left_seconds", "ttl_left_seconds"),
    ("reason=\"silent\"", "reason=\"unresponsive\""),
    ("responses_stray", "responses_off_chain"),
    ("state=\"well\"", "state=\"healthy\""),
    ("tls_alpn_refused", "tls_alpn_rejected"),
    ("upstream_silent", "upstream_timeout"),
    ("winner=\"beside\"", "winner=\"hedge\""),
];

/// Identifiers that were replaced in all code, and what replaced them.
const IDENTIFIERS: &[(&str, &str)] = &[
    ("BESIDE_AFTER", "HEDGE_AFTER"),
    ("HANDSHAKE_BESIDE_AFTER", "HANDSHAKE_HEDGE_AFTER"),
    ("STALE_ASK_AGAIN", "FAILURE_RECHECK"),
    ("TELL_AGAIN_AFTER", "LOG_AGAIN_AFTER"),
    ("Absent", "Unset"),
    ("Asked", "a name for what was sent, such as ForwardedQuery"),
    ("AskedName", "QueryName"),
    ("Asker", "QueryOwner"),
    ("Asks", "a name for the lookup"),
    ("Beside", "Hedge"),
    ("Cut", "Truncation"),
    ("HeldReport", "CacheEntry"),
    ("InForce", "ActiveConfig"),
    ("Lapse", "Timeout"),
    ("Letter", "FlightMessage"),
    ("LetterCase", "NameCase"),
    ("Life", "CacheTtl"),
    ("NoUpstreamWell", "NoHealthyUpstream"),
    ("Octet", "Byte"),
    ("Octets", "Bytes"),
    ("Order", "WorkerCommand"),
    ("Parts", "MessageParts or WorkerSetup"),
    ("Places", "TokenTable"),
    ("Post", "Mailboxes"),
    ("Postbox", "Mailbox"),
    ("Pulse", "Heartbeat"),
    ("Reading", "MetricsSnapshot"),
    ("Report", "WorkerEvent"),
    ("Restoration", "CacheImporter"),
    ("Silence", "NoResponse"),
    ("Silent", "NoResponse"),
    ("Spelt", "CasedName"),
    ("Standing", "WorkerState"),
    ("Subject", "AnySetting"),
    ("Succession", "Handover"),
    ("Told", "Requested"),
    ("UpstreamReading", "UpstreamSnapshot"),
    ("UpstreamWell", "UpstreamHealthy"),
    ("Written", "SourceValue"),
    ("ask_beside", "hedge"),
    ("asker", "owner"),
    ("begin_anew", "restart_engine"),
    ("beside", "hedge, or second"),
    ("bind_anew", "bind_new"),
    ("count_strays", "count_off_chain"),
    ("denial", "negative"),
    ("ede_beside", "second_ede"),
    ("forsake", "abandon"),
    ("forsaken", "abandoned"),
    ("held", "a name for what it is, such as entry"),
    ("ill", "unhealthy"),
    ("ill_since", "unhealthy_since"),
    ("in_vain", "refresh_failed"),
    ("is_alpn_refused", "is_alpn_rejected"),
    ("is_forsaken", "is_abandoned"),
    ("is_kept", "is_cached or is_cacheable"),
    ("is_silent", "is_unresponsive"),
    ("is_told", "is_reported"),
    ("is_torn", "is_poisoned"),
    ("is_well", "is_healthy"),
    ("kept", "cached, saved, or a name for what it is"),
    ("lapse", "timeout"),
    ("letter_case", "name_case"),
    ("life", "ttl"),
    ("life_seconds", "ttl_seconds"),
    ("named_in_vain", "rejected_files"),
    ("next_alarm", "next_deadline"),
    ("octet", "byte"),
    ("on_lapse", "on_session_timeout"),
    ("on_letter", "on_flight_message"),
    ("patience", "limit or delay"),
    ("poll_lapse", "poll_timeout"),
    ("poll_letter", "poll_flight_message"),
    ("postbox", "mailbox"),
    ("refuse_neighbour", "check_addresses"),
    ("relieve", "complete"),
    ("say_goodbye", "shut_down"),
    ("set_to_work", "spawn_all"),
    ("spelt", "as_received"),
    ("strays", "off_chain"),
    ("tell_refused", "log_rejected"),
    ("told", "reported, or response"),
    ("understand", "from_spec"),
];

/// Files and folders with pages for readers.
const PAGES: &[&str] = &[
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "bench/README.md",
    "deploy",
    "docs",
    "etc",
];

/// Pages whose prose is not checked yet, and why. Their names are.
const EXEMPT_PROSE: &[(&str, &str)] =
    &[("docs/rfc-coverage.md", "quotes RFCs, which count octets")];

/// Text files below a folder, or the file itself.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut paths: Vec<PathBuf> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().flat_map(|path| files(path)).collect()
}

/// A line without what stands between backticks and without the targets of its links.
fn prose(line: &str) -> String {
    let outside: Vec<&str> = line.split('`').step_by(2).collect();
    let mut text = String::new();
    for (number, part) in outside.join("``").split("](").enumerate() {
        let rest = part.split_once(')').map_or(part, |(_, rest)| rest);
        text.push_str(if number == 0 { part } else { rest });
    }
    text
}

/// Whether `phrase` appears as whole words, in upper or lower case.
fn has_phrase(text: &str, phrase: &str) -> bool {
    let text = text.replace("well formed", "valid");
    let text: Vec<String> = words(&text).map(str::to_lowercase).collect();
    let phrase: Vec<&str> = phrase.split(' ').collect();
    text.windows(phrase.len()).any(|window| window == phrase)
}

#[test]
fn pages_use_the_words_of_the_glossary() {
    let mut found = Vec::new();
    let mut count = 0;
    let pages = PAGES.iter().flat_map(|page| files(&root().join(page)));
    let is_picture = |path: &PathBuf| path.extension().is_some_and(|it| it == "png");
    for path in pages.filter(|path| !is_picture(path)) {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let is_prose_exempt = EXEMPT_PROSE.iter().any(|(exempt, _)| *exempt == name);
        count += 1;
        for (number, line) in read(&path).lines().enumerate() {
            let prose = prose(line);
            let phrases = PHRASES.iter().filter(|_| !is_prose_exempt);
            let phrases = phrases.filter(|(phrase, _)| has_phrase(&prose, phrase));
            let names = NAMES.iter().filter(|(old, _)| line.contains(old));
            for (old, new) in phrases.chain(names) {
                found.push(format!("{name}:{}: {old}: write {new}", number + 1));
            }
        }
    }
    assert!(count > 40, "{count} files: looked in the wrong place");
    assert!(found.is_empty(), "{found:#?}");
}

/// Every Rust file of the repository but this one.
fn all_code() -> Vec<(String, String)> {
    let crates = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap());
    let crates = crates.filter(|entry| {
        let name = entry.file_name();
        name == "bench" || name == "fuzz" || name.to_string_lossy().starts_with("dotgate")
    });
    let files = crates.flat_map(|entry| rust_files(&entry.path()));
    let names = files.map(|path| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        (name, read(&path))
    });
    names
        .filter(|(name, _)| !name.ends_with("tests/tidy/words.rs") && !name.contains("target/"))
        .collect()
}

#[test]
fn code_uses_the_names_that_replaced_others() {
    let mut found = Vec::new();
    let files = all_code();
    assert!(files.len() > 300, "{} files", files.len());
    for (name, source) in files {
        for (number, line) in source.lines().enumerate() {
            let code = code_of(line);
            let old = IDENTIFIERS
                .iter()
                .filter(|(old, _)| words(&code).any(|word| word == *old));
            let names = NAMES.iter().filter(|(old, _)| line.contains(old));
            for (old, new) in old.chain(names) {
                found.push(format!("{name}:{}: {old}: write {new}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn comments_and_scenarios_use_the_words_of_the_glossary() {
    let mut texts = all_code();
    let scenarios = files(&root().join("scenarios")).into_iter();
    texts.extend(scenarios.map(|path| (path.display().to_string(), read(&path))));
    let mut found = Vec::new();
    for (name, text) in texts {
        for (number, line) in text.lines().enumerate() {
            let comment = match line.split_once("//") {
                Some((_, comment)) => comment,
                None if name.ends_with(".rs") => continue,
                None => line,
            };
            let comment = prose(comment);
            for (old, new) in PHRASES {
                if has_phrase(&comment, old) {
                    found.push(format!("{name}:{}: {old}: write {new}", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_banned_word_is_found_as_a_word_alone() {
    assert!(has_phrase("It is read Anew, at once.", "anew"));
    assert!(has_phrase("those in force", "in force"));
    assert!(!has_phrase("besides, renewed in forces", "anew"));
    assert!(has_phrase("it is not well", "not well"));
    assert!(!has_phrase("it is not well formed", "not well"));
    assert_eq!(prose("a `told` [b](told.md#x) c"), "a `` [b c");
}
