//! One vocabulary: the words of RFC 9499 and of ordinary manuals. A banned word fails with the word to write instead.
//!
//! Texts of settings, metrics, log messages, the manual page and the status are checked on the pages that are made from
//! them, which other tests compare with the program.

use std::fs;
use std::path::{Path, PathBuf};

use super::{code_of, product_files, read, root, words};

/// Words that do not appear in prose, and what to write.
const PHRASES: &[(&str, &str)] = &[
    ("anew", "again, or a verb such as reload or restart"),
    ("as good as", "almost, or equivalent to"),
    ("befall", "happen to, or fault"),
    ("befalls", "happens to, or fault"),
    ("beside", "next to, in addition to, or hedge"),
    ("denial", "negative response"),
    ("denials", "negative responses"),
    ("forsaken", "abandoned"),
    ("goes over to", "uses, or switches to"),
    ("in force", "active, or current"),
    ("in vain", "without success"),
    ("octet", "byte"),
    ("octets", "bytes"),
    (
        "patience",
        "client response timer, or the name of the timeout",
    ),
    ("spelt", "as received, or name case"),
    ("told", "sent, served, logged or reported"),
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

/// Identifiers of the product's code that were replaced, and what replaced them.
const IDENTIFIERS: &[(&str, &str)] = &[
    ("Beside", "Hedge"),
    ("InForce", "ActiveConfig"),
    ("NoUpstreamWell", "NoHealthyUpstream"),
    ("Postbox", "Mailbox"),
    ("Pulse", "Heartbeat"),
    ("Succession", "Handover"),
    ("begin_anew", "restart_engine"),
    ("is_alpn_refused", "is_alpn_rejected"),
    ("named_in_vain", "rejected_files"),
    ("postbox", "mailbox"),
    ("refuse_neighbour", "check_addresses"),
    ("say_goodbye", "shut_down"),
    ("set_to_work", "spawn_all"),
    ("tell_refused", "log_rejected"),
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
const EXEMPT_PROSE: &[(&str, &str)] = &[
    (
        "docs/faults.md",
        "made from the titles in `scenarios/`, which keep the words of that language",
    ),
    ("docs/rfc-coverage.md", "quotes RFCs, which count octets"),
];

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
    let text: Vec<String> = words(text).map(str::to_lowercase).collect();
    let phrase: Vec<&str> = phrase.split(' ').collect();
    text.windows(phrase.len()).any(|window| window == phrase)
}

#[test]
fn pages_use_the_words_of_the_glossary() {
    let mut found = Vec::new();
    let mut count = 0;
    for path in PAGES.iter().flat_map(|page| files(&root().join(page))) {
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

#[test]
fn code_uses_the_names_that_replaced_others() {
    let mut found = Vec::new();
    for (name, source) in product_files() {
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
fn a_banned_word_is_found_as_a_word_alone() {
    assert!(has_phrase("It is read Anew, at once.", "anew"));
    assert!(has_phrase("those in force", "in force"));
    assert!(!has_phrase("besides, renewed in forces", "anew"));
    assert_eq!(prose("a `told` [b](told.md#x) c"), "a `` [b c");
}
