//! Queries to a plain upstream that come back as queries of a client end there, and are reported.

use std::sync::Arc;

use dotgate_message::{Compose as _, query, wire_name};
use dotgate_wire::{Question, rclass, rtype};

use super::cache::cache_settings;
use super::lab::{ForwardedQuery, Lab, answer, rcode_of, settings};
use crate::counters::labels::Reason;
use crate::keys::UpstreamId;
use crate::limits;
use crate::outbox::Event;
use crate::routes::{RouteId, RouteTable};
use crate::settings::{GroupSettings, Settings, UpstreamSettings};

/// Upstream 1 is a plain one for `corp.example`.
fn with_route() -> Settings {
    let mut settings = settings(1);
    settings.cache = cache_settings();
    let plain = UpstreamSettings {
        probe: Question::new(&wire_name("corp.example"), rtype::NS, rclass::IN),
        ..UpstreamSettings::plain(UpstreamId(1), "plain")
    };
    let group = GroupSettings::new(RouteId(1), "corp.example", vec![plain]);
    settings.groups.push(group);
    let suffix = (wire_name("corp.example").into(), 1);
    settings.routes = Arc::new(RouteTable::new([suffix]));
    settings
}

/// A lab whose plain upstream has answered its probe.
fn lab() -> Lab {
    let mut lab = Lab::with_cache(with_route(), 2);
    lab.ask("first-name.corp.example");
    let probe = lab.next_forwarded();
    let name = probe.message[12..].to_ascii_lowercase();
    assert!(name.starts_with(&wire_name("corp.example")), "{name:?}");
    lab.receive(&probe, &answer(&probe.message, 3));
    lab.answer_all_datagrams();
    assert_eq!(lab.rcodes(), [0]);
    lab.responses.clear();
    lab
}

/// The upstream sends a query to a worker, as a client does, and returns what it gets. The ID is another one.
fn send_back(forwarded: &ForwardedQuery, to: &mut Lab) -> Vec<u8> {
    let before = to.responses.len();
    let mut query = forwarded.message.clone();
    query[1] ^= 1;
    to.send(&query);
    assert_eq!(to.responses.len(), before + 1, "the loop ends here");
    let mut response = to.responses.pop().unwrap();
    assert_eq!(rcode_of(&response), 2);
    response[..2].copy_from_slice(&forwarded.message[..2]);
    response
}

/// A label with enough letters that the case of one query proves a loop.
fn long(label: &str) -> String {
    format!("{label}-with-letters-enough.corp.example")
}

#[test]
fn a_query_that_comes_back_to_any_worker_fails_at_once_and_is_reported_once_a_minute() {
    let mut lab = lab();
    let mut other = Lab::sharing_with(&lab);
    for name in ["www", "ftp"] {
        lab.send(&query(1, &long(name)).with_edns());
        let forwarded = lab.next_forwarded();
        let response = send_back(&forwarded, &mut other);
        lab.receive(&forwarded, &response);
    }
    assert_eq!(lab.rcodes(), [2, 2]);
    let group = "corp.example".into();
    assert_eq!(other.events, [Event::Loop { group }]);
    assert!(other.forwarded.is_empty());
    let failures = other
        .engine
        .counters()
        .clients()
        .failures(Reason::UpstreamLoop);
    assert_eq!(failures, 2);
    other.pass(limits::LOOP_REPORT_EVERY);
    lab.pass(limits::LOOP_REPORT_EVERY);
    lab.send(&query(1, &long("smtp")).with_edns());
    let forwarded = lab.next_forwarded();
    send_back(&forwarded, &mut other);
    assert_eq!(other.events.len(), 2);
}

/// A single query in the case of ours may be a chance, so it is answered; the next attempts that come back are a loop.
#[test]
fn the_loop_of_a_short_name_ends_with_an_attempt_of_the_same_query() {
    let mut lab = lab();
    lab.send(&query(1, "www.corp.example").with_edns());
    let first = lab.next_forwarded();
    let mut back = first.message.clone();
    back[1] ^= 1;
    lab.send(&back);
    assert!(lab.responses.is_empty() && lab.events.is_empty());
    lab.pass(limits::DATAGRAM_AGAIN_AFTER);
    let second = lab.next_forwarded();
    assert_ne!(second.message, first.message);
    let response = send_back(&second, &mut lab);
    lab.receive(&second, &response);
    lab.receive(&first, &answer(&first.message, 2));
    assert_eq!(lab.rcodes(), [2, 2], "both who waited");
}

#[test]
fn the_same_name_of_another_client_is_no_loop() {
    let mut lab = lab();
    lab.ask("www.corp.example");
    lab.send(&query(2, "WWW.Corp.Example").with_edns());
    lab.answer_all_datagrams();
    assert_eq!(lab.rcodes(), [0, 0]);
    assert!(
        lab.events
            .iter()
            .all(|it| !matches!(it, Event::Loop { .. }))
    );
    lab.expect_idle();
}
