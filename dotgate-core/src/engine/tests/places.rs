//! Who gets a place when as many queries wait as may.

use std::sync::Arc;

use dotgate_message::{framed, query};

use super::lab::{Lab, MS, SECOND, settings};
use crate::counters::labels::Limit;
use crate::limits;
use crate::outbox::Event;
use crate::settings::Settings;

/// With 20 places and no other limit.
fn lab() -> Lab {
    Lab::with(Settings {
        queries_max: 20,
        queries_per_client_max: 1_000,
        ..settings(1)
    })
    .warmed_up()
}

/// The IDs of all that got SERVFAIL.
fn failed(lab: &Lab) -> Vec<u8> {
    let failed = lab.responses.iter().filter(|it| it[3] & 15 == 2);
    failed.map(|response| response[1]).collect()
}

#[test]
fn at_a_full_table_the_longest_wait_of_the_domain_with_most_gives_way() {
    let mut lab = lab();
    for id in 0..10 {
        lab.send(&query(id, &format!("n{id}.innocent{id}.example")));
    }
    for id in 100..110 {
        lab.send(&query(id, &format!("n{id}.dead.co.uk")));
        lab.pass(MS);
    }
    lab.send(&query(50, "early.example"));
    assert_eq!(failed(&lab), [50], "nobody has waited for long");
    lab.pass(limits::GIVE_WAY_AFTER);
    for id in 60..65 {
        lab.send(&query(id, &format!("late{id}.other.example")));
    }
    assert_eq!(failed(&lab), [50, 100, 101, 102, 103, 104]);
    assert_eq!(lab.engine.load().queries, 20);
    lab.responses.clear();
    lab.answer_all();
    assert_eq!(lab.responses.len(), 20);
    assert_eq!(failed(&lab), [0; 0]);
    lab.expect_idle();
}

#[test]
fn if_no_domain_has_two_the_longest_wait_of_all_gives_way() {
    let mut lab = lab();
    for id in 0..20 {
        lab.send(&query(id, &format!("n{id}.domain{id}.example")));
        lab.pass(MS);
    }
    lab.pass(limits::GIVE_WAY_AFTER);
    lab.send(&query(200, "late.one-more.example"));
    // Those that came while less than half of the places were taken were not sorted by domain.
    assert_eq!(failed(&lab), [0]);
    lab.answer_all();
    lab.expect_idle();
}

#[test]
fn a_query_may_take_the_place_of_the_only_other_one_for_its_question() {
    let mut lab = Lab::with(Settings {
        queries_max: 1,
        ..settings(1)
    });
    lab.send(&query(1, "same.example"));
    lab.pass(limits::GIVE_WAY_AFTER);
    lab.send(&query(2, "same.example"));
    assert_eq!(failed(&lab), [1]);
    lab.open(0);
    lab.answer_all();
    let answered = lab.responses.last().map(|it| (it[1], it[3] & 15));
    assert_eq!(answered, Some((2, 0)));
    lab.expect_idle();
}

#[test]
fn forged_datagrams_do_not_use_up_what_their_owner_has_over_tcp() {
    let mut lab = Lab::with(Settings {
        queries_per_client_max: 10,
        ..settings(1)
    });
    lab.ask("warm-up");
    lab.open(0);
    lab.answer_all();
    for id in 0..20 {
        let port = 2_000 + id;
        let forged = query(id, &format!("n{id}.example"));
        lab.send_from(&format!("192.0.2.9:{port}"), &forged);
    }
    assert_eq!(lab.engine.load().queries, 10);
    let stream = lab.connect();
    lab.stream_send(stream, &framed(&query(1, "victim.example")));
    assert_eq!(lab.engine.load().queries, 11, "it waits as any other");
    let hits = lab.events.iter().filter_map(|event| {
        if let Event::LimitHit {
            limit, max, client, ..
        } = event
        {
            Some((*limit, *max, client.to_string()))
        } else {
            None
        }
    });
    let hits: Vec<_> = hits.collect();
    assert_eq!(
        hits,
        [(Limit::QueriesPerClient, 10, "192.0.2.0/24".to_owned())]
    );
    lab.answer_all();
    lab.expect_idle();
}

#[test]
fn a_clients_queries_are_counted_over_all_workers() {
    let mut first = Lab::with_cache(
        Settings {
            queries_per_client_max: 10,
            ..settings(1)
        },
        2,
    );
    let mut second = Lab::sharing_with(&first);
    for id in 0..8 {
        first.send(&query(id, &format!("n{id}.example")));
        second.send(&query(id, &format!("m{id}.example")));
    }
    let waiting = [&first, &second].map(|lab| lab.engine.load().queries);
    assert_eq!(waiting, [5, 5]);
    second.send_from("192.0.2.2:1000", &query(1, "other.example"));
    assert_eq!(second.engine.load().queries, 6);
    let quotas = Arc::clone(&second.shared.quotas);
    assert_eq!(quotas.clients(), 2);
    drop(second);
    assert_eq!(
        quotas.clients(),
        1,
        "an engine that ends gives back its part"
    );
    first.pass(5 * SECOND);
    first.expect_idle();
    assert_eq!(quotas.clients(), 0);
}
