//! Lists and rebinding protection on the path of a query: what is denied reaches no upstream and no client, and a change
//! of the lists holds at once.

use std::sync::Arc;

use dotgate_message::{A, Compose as _, QNAME, query, query_for, record, wire_name};

use super::cache::{cache_settings, edes};
use super::cache_answers::{respond_with, taken};
use super::lab::{Lab, settings};
use super::message::address;
use crate::counters::labels::{ClientTransport, Filtering, Outcome, RecordType};
use crate::filter::{Filter, ListAction, ListScope, Lists, ListsBuilder, Rebinding, Substitute};
use crate::local::LocalDataBuilder;
use crate::settings::Settings;

const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const HTTPS: u16 = 65;
const DNAME: u16 = 39;

fn lists(blocked: &[&str], allowed: &[&str]) -> Option<Arc<Lists>> {
    let mut builder = ListsBuilder::new(7);
    let blocked = blocked.iter().map(|name| (name, ListAction::Block));
    let allowed = allowed.iter().map(|name| (name, ListAction::Allow));
    for (name, action) in blocked.chain(allowed) {
        let name = wire_name(name);
        builder.add(&name, ListScope::Subtree, action).unwrap();
    }
    Some(Arc::new(builder.finish()))
}

fn filter(generation: u32, blocked: &[&str], allowed: &[&str]) -> Filter {
    Filter {
        generation,
        lists: lists(blocked, allowed),
        ..Filter::off()
    }
}

fn rebinding(generation: u32, except: &[&str]) -> Filter {
    Filter {
        generation,
        rebinding: Some(Rebinding {
            substitute: Substitute::NxDomain,
            except: lists(&[], except),
        }),
        ..Filter::off()
    }
}

fn lab(filter: Filter) -> Lab {
    let settings = Settings {
        cache: cache_settings(),
        filter,
        ..settings(1)
    };
    Lab::with_cache(settings, 1).warmed_up()
}

fn change(lab: &mut Lab, filter: Filter) {
    let settings = Settings::clone(&lab.engine.settings);
    lab.reconfigure(Settings { filter, ..settings });
}

fn filtered(lab: &Lab, why: Filtering) -> u64 {
    lab.engine.counters().clients().filtered(why)
}

fn alias(target: &str) -> Vec<u8> {
    record(QNAME, CNAME, 300, &wire_name(target))
}

#[test]
fn a_blocked_name_is_denied_in_the_way_that_is_set_and_asked_nowhere() {
    for (substitute, rcode, addresses) in [
        (Substitute::NxDomain, NXDOMAIN, 0),
        (Substitute::NoData, 0, 0),
        (Substitute::NullAddress, 0, 1),
        (Substitute::Refused, REFUSED, 0),
    ] {
        let mut lab = lab(Filter {
            substitute,
            ..filter(1, &["ads.example"], &[])
        });
        for (number, name) in (1..).zip(["ads.example", "Www.ADS.example"]) {
            lab.send(&query(number, name).with_edns());
            assert_eq!(edes(&lab.responses[0]), [15], "Blocked");
            let answer = taken(&mut lab);
            assert_eq!(answer.rcode(), rcode, "{substitute:?}");
            let of_a = answer.records.iter().filter(|it| it.rtype == A);
            assert_eq!(of_a.count(), addresses);
            let soa = answer.records.iter().filter(|it| it.rtype == 6).count();
            let has_soa = matches!(substitute, Substitute::NxDomain | Substitute::NoData);
            assert_eq!(soa, usize::from(has_soa), "{substitute:?}");
        }
        lab.send(&query_for(1, "ads.example", HTTPS));
        assert_eq!(taken(&mut lab).rcode(), rcode);
        lab.send(&query_for(1, "ads.example", AAAA));
        let answer = taken(&mut lab);
        let null = answer.records.iter().filter(|it| it.rdata == [0; 16]);
        assert_eq!(null.count(), addresses);
        assert!(lab.forwarded.is_empty());
        assert_eq!(filtered(&lab, Filtering::BlockList), 4);
        let clients = lab.engine.counters().clients();
        let of_a = clients.queries(ClientTransport::Udp, RecordType::A, Outcome::Blocked);
        assert_eq!(of_a, 2);
    }
}

#[test]
fn names_next_to_a_blocked_one_and_allowed_ones_below_it_are_asked() {
    let mut lab = lab(filter(1, &["ads.example"], &["good.ads.example"]));
    for name in ["example", "badads.example", "www.good.ads.example"] {
        lab.ask(name);
        lab.answer_all();
        assert_eq!(taken(&mut lab).rcode(), 0, "{name}");
    }
    assert_eq!(filtered(&lab, Filtering::BlockList), 0);
}

#[test]
fn local_data_comes_before_lists() {
    let mut data = LocalDataBuilder::new();
    let name = wire_name("nas.ads.example");
    data.add(&name, A, 60, &[10, 0, 0, 1], 0).unwrap();
    let mut lab = lab(filter(1, &["ads.example"], &[]));
    let settings = Settings::clone(&lab.engine.settings);
    lab.reconfigure(Settings {
        local: Some(Arc::new(data.finish(7, 30).unwrap())),
        ..settings
    });
    lab.ask("nas.ads.example");
    assert_eq!(taken(&mut lab).records[0].rdata, [10, 0, 0, 1]);
    lab.ask("ads.example");
    assert_eq!(taken(&mut lab).rcode(), NXDOMAIN);
}

#[test]
fn a_name_is_not_served_from_the_cache_once_it_is_blocked_and_is_asked_once_it_is_allowed() {
    let mut lab = lab(filter(1, &["other.example"], &[]));
    lab.ask("www.example");
    lab.answer_all();
    assert_eq!(taken(&mut lab).rcode(), 0);
    change(&mut lab, filter(2, &["www.example"], &[]));
    lab.ask("www.example");
    assert_eq!(taken(&mut lab).rcode(), NXDOMAIN);
    change(&mut lab, filter(3, &["www.example"], &["www.example"]));
    lab.ask("www.example");
    assert_eq!(taken(&mut lab).rcode(), 0, "what was cached is right again");
    change(&mut lab, Filter::off());
    lab.ask("other.example");
    assert_eq!(lab.forwarded.len(), 1);
}

#[test]
fn an_alias_that_leads_to_a_blocked_name_blocks_the_answer() {
    let dname = record(
        &wire_name("example"),
        DNAME,
        300,
        &wire_name("Tracker.test"),
    );
    let to_address = record(&wire_name("x.tracker.test"), A, 300, &[192, 0, 2, 1]);
    for answers in [
        vec![alias("x.TRACKER.test"), to_address.clone()],
        vec![to_address.clone(), alias("x.tracker.test")],
        vec![alias("fine.test"), dname],
    ] {
        let mut lab = lab(filter(1, &["tracker.test"], &[]));
        lab.send(&query(1, "www.example").with_edns());
        respond_with(&mut lab, 0, [&answers, &[], &[]]);
        assert_eq!(edes(&lab.responses[0]), [15]);
        let answer = taken(&mut lab);
        assert_eq!(answer.rcode(), NXDOMAIN);
        assert!(
            answer
                .records
                .iter()
                .all(|it| it.rtype != A && it.rtype != CNAME)
        );
        // As cached.
        lab.send(&query(2, "www.example").with_edns());
        assert_eq!(edes(&lab.responses[0]), [15]);
        assert_eq!(taken(&mut lab).rcode(), NXDOMAIN);
        assert!(lab.forwarded.is_empty());
        assert_eq!(filtered(&lab, Filtering::Alias), 1);
    }
}

#[test]
fn an_alias_of_an_allowed_name_may_lead_anywhere_and_any_may_lead_to_an_allowed_one() {
    let mut lab = lab(filter(1, &["test"], &["www.example", "fine.test"]));
    for (name, target) in [("www.example", "x.test"), ("other.example", "a.fine.test")] {
        lab.ask(name);
        respond_with(&mut lab, 0, [&[alias(target)], &[], &[]]);
        assert_eq!(taken(&mut lab).rcode(), 0, "{name}");
    }
}

/// What was cached under other lists is judged again: nothing newly blocked is served, and nothing stays blocked.
#[test]
fn cached_aliases_are_judged_again_by_new_lists() {
    let address = record(&wire_name("cdn.test"), A, 300, &[192, 0, 2, 1]);
    let answers = [alias("cdn.test"), address];
    let mut lab = lab(Filter::off());
    lab.ask("www.example");
    respond_with(&mut lab, 0, [&answers, &[], &[]]);
    assert_eq!(taken(&mut lab).rcode(), 0);
    change(&mut lab, filter(2, &["other.test"], &[]));
    lab.ask("www.example");
    assert_eq!(taken(&mut lab).rcode(), 0, "passes the new list too");
    change(&mut lab, filter(3, &["cdn.test"], &[]));
    lab.ask("www.example");
    respond_with(&mut lab, 0, [&answers, &[], &[]]);
    assert_eq!(taken(&mut lab).rcode(), NXDOMAIN);
    change(
        &mut lab,
        Filter {
            generation: 4,
            ..Filter::off()
        },
    );
    lab.ask("www.example");
    respond_with(&mut lab, 0, [&answers, &[], &[]]);
    assert_eq!(
        taken(&mut lab).rcode(),
        0,
        "what was denied is forwarded again"
    );
}

#[test]
fn a_redirected_name_is_answered_with_its_alias_and_what_that_leads_to() {
    let mut builder = ListsBuilder::new(7);
    let target = ListAction::Redirect(wire_name("garden.test").into());
    let name = wire_name("ads.example");
    builder.add(&name, ListScope::Exact, target).unwrap();
    let mut lab = lab(Filter {
        lists: Some(Arc::new(builder.finish())),
        ..Filter::off()
    });
    lab.ask("Ads.example");
    let forwarded = lab.forwarded[0].message.clone();
    assert!(forwarded[12..].starts_with(&wire_name("garden.test")));
    lab.answer_all();
    let answer = taken(&mut lab);
    assert!(answer.question.starts_with(b"\x03Ads"));
    let types: Vec<_> = answer.records.iter().map(|it| it.rtype).collect();
    assert_eq!(types, [CNAME, A]);
    lab.send(&query_for(1, "ads.example", CNAME));
    assert_eq!(taken(&mut lab).records.len(), 1);
    assert_eq!(filtered(&lab, Filtering::Redirect), 2);
}

#[test]
fn private_addresses_of_public_names_are_kept_from_clients() {
    let hints = [&[0, 1, 0][..], &[0, 4, 0, 4, 192, 168, 1, 1]].concat();
    let v6 = [&[0; 10][..], &[0xff, 0xff, 127, 0, 0, 1]].concat();
    for (rtype, answer) in [
        (A, record(QNAME, A, 300, &[192, 168, 1, 1])),
        (AAAA, record(QNAME, AAAA, 300, &v6)),
        (HTTPS, record(QNAME, HTTPS, 300, &hints)),
    ] {
        let mut lab = lab(rebinding(1, &["corp.example"]));
        lab.send(&query_for(1, "www.example", rtype));
        respond_with(&mut lab, 0, [std::slice::from_ref(&answer), &[], &[]]);
        let denied = taken(&mut lab);
        assert_eq!(denied.rcode(), NXDOMAIN, "type {rtype}");
        assert_eq!(filtered(&lab, Filtering::Rebinding), 1);
        lab.send(&query_for(1, "www.example", rtype));
        assert_eq!(taken(&mut lab).rcode(), NXDOMAIN, "as cached");
        lab.send(&query_for(1, "vpn.corp.example", rtype));
        respond_with(&mut lab, 0, [&[answer], &[], &[]]);
        assert_eq!(taken(&mut lab).records.len(), 1, "an exception");
    }
    let mut lab = lab(rebinding(1, &[]));
    lab.send(&query(1, "www.example").with_edns());
    let private = record(QNAME, A, 300, &[10, 0, 0, 1]);
    respond_with(&mut lab, 0, [&[address(1), private], &[], &[]]);
    assert_eq!(edes(&lab.responses[0]), [17], "Filtered");
}

/// One answer is filtered, not the name: other types may be fine. REFUSED is cached too, and ends what was there.
#[test]
fn what_is_filtered_is_one_answer_and_is_cached_in_whatever_way_it_is_denied() {
    let private = record(QNAME, A, 300, &[10, 0, 0, 1]);
    for substitute in [Substitute::NxDomain, Substitute::Refused] {
        let mut settings = Settings {
            cache: cache_settings(),
            ..settings(1)
        };
        settings.cache.nxdomain_all_types = true;
        let mut lab = Lab::with_cache(settings, 1).warmed_up();
        lab.ask("www.example");
        respond_with(&mut lab, 0, [std::slice::from_ref(&private), &[], &[]]);
        let mut protection = rebinding(2, &[]);
        if let Some(rebinding) = &mut protection.rebinding {
            rebinding.substitute = substitute;
        }
        change(&mut lab, protection);
        lab.responses.clear();
        lab.ask("www.example");
        respond_with(&mut lab, 0, [std::slice::from_ref(&private), &[], &[]]);
        let denied = taken(&mut lab).rcode();
        assert_ne!(denied, 0);
        lab.ask("www.example");
        assert_eq!(taken(&mut lab).rcode(), denied, "as cached");
        lab.send(&query_for(1, "www.example", AAAA));
        let public = record(QNAME, AAAA, 300, &[0x20; 16]);
        respond_with(&mut lab, 0, [&[public], &[], &[]]);
        assert_eq!(taken(&mut lab).rcode(), 0, "another type");
    }
}

#[test]
fn groups_that_are_trusted_with_private_addresses_may_serve_them() {
    let mut trusted = settings(1);
    trusted.groups[0].is_public = false;
    let settings = Settings {
        cache: cache_settings(),
        filter: rebinding(1, &[]),
        ..trusted
    };
    let mut lab = Lab::with_cache(settings, 1).warmed_up();
    lab.ask("nas.example");
    let private = record(QNAME, A, 300, &[10, 0, 0, 1]);
    respond_with(&mut lab, 0, [&[private], &[], &[]]);
    assert_eq!(taken(&mut lab).records.len(), 1);
}

#[test]
fn protection_that_is_switched_on_holds_for_what_is_cached() {
    let mut lab = lab(Filter::off());
    lab.ask("www.example");
    let private = record(QNAME, A, 300, &[10, 0, 0, 1]);
    respond_with(&mut lab, 0, [std::slice::from_ref(&private), &[], &[]]);
    lab.responses.clear();
    change(&mut lab, rebinding(2, &[]));
    lab.ask("www.example");
    respond_with(&mut lab, 0, [&[private], &[], &[]]);
    assert_eq!(taken(&mut lab).rcode(), NXDOMAIN);
}
