//! Upstreams that answer wrongly: nothing wrong reaches a client, and a right answer is still found.
//!
//! Each fault is sent alone, before the right answer, and by the first of two upstreams; clients take no answer to
//! another question than theirs. RFC 7766 section 7, RFC 5452 section 9.1, RFC 6891 section 7.

use domain::base::iana::Rcode;
use dotgate_core::Count;

use crate::world::World;
use crate::world::client::Client;
use crate::world::message::{QueryType, assert_all_right};
use crate::world::upstream::{Form, Step};

/// Messages that answer nothing.
const FAULTS: [Form; 6] = [
    Form::WrongId,
    Form::WrongQuestion,
    Form::NotAResponse,
    Form::Garbage,
    Form::Empty,
    Form::Short,
];

fn name(fault: Form) -> String {
    format!("{fault:?}.test").to_lowercase()
}

#[test]
fn a_wrong_message_is_passed_over_and_the_right_one_behind_it_is_used() {
    let world = World::with(1, &[("DOTGATE_CACHE_SIZE", "0")]);
    world.upstreams[0].script(|script| {
        for fault in FAULTS {
            script.on(&name(fault), &[Step::Send(fault), Step::Send(Form::Right)]);
        }
    });
    for mut client in [world.udp(), world.tcp()] {
        client.send_all(FAULTS.map(name));
        assert_all_right(&client.receive_all(), FAULTS.len());
    }
    assert_eq!(
        world.counts([Count::ResponsesInvalid, Count::Responses]),
        [12, 12]
    );
    assert_eq!(
        world.counts([Count::Attempts, Count::SessionsOpened]),
        [12, 1]
    );
}

#[test]
fn wrong_messages_of_one_upstream_are_made_good_by_the_next() {
    let world = World::new(2);
    world.upstreams[0].script(|script| {
        for fault in FAULTS {
            script.on(&name(fault), &[Step::Send(fault)]);
        }
    });
    let mut client = world.udp();
    client.send_all(FAULTS.map(name));
    assert_all_right(&client.receive_all(), FAULTS.len());
    assert_eq!(
        world.counts([Count::ResponsesInvalid, Count::Attempts]),
        [6, 12]
    );
    assert_eq!(world.upstreams[1].queries(), 6);
}

#[test]
fn wrong_messages_alone_end_in_servfail_with_network_error() {
    let world = World::with(1, &[("DOTGATE_QUERY_DEADLINE", "500ms")]);
    world.upstreams[0].script(|script| {
        for fault in FAULTS {
            script.on(&name(fault), &[Step::Send(fault)]);
        }
    });
    let mut client = world.udp();
    client.send_all(FAULTS.map(name));
    for response in client.receive_all() {
        response.assert_failed(23);
    }
    assert_eq!(world.counts([Count::Answered, Count::Failed]), [0, 6]);
}

#[test]
fn a_flood_of_wrong_messages_ends_the_session_and_the_question_is_asked_again() {
    let world = World::new(1);
    let mut client = world.warm_up();
    let mut flood = vec![Step::Send(Form::WrongId); 2_000];
    flood.push(Step::Send(Form::Right));
    world.upstreams[0].script(|script| script.once("flood.test", &flood));
    client.ask("flood.test").assert_right();
    assert_eq!(
        world.counts([Count::ResponsesInvalid, Count::SessionsLost]),
        [100, 1]
    );
    assert_eq!(
        world.counts([Count::AttemptsRetry, Count::SessionsOpened]),
        [1, 2]
    );
}

#[test]
fn the_first_of_several_answers_counts_and_the_others_have_no_effect() {
    let world = World::new(1);
    let thrice = [Step::Send(Form::Right); 3];
    world.upstreams[0].script(|script| script.all = thrice.to_vec());
    let mut client = world.udp();
    for number in 0..30 {
        client.ask(&format!("thrice-{number}.test")).assert_right();
    }
    world.wait_for(Count::ResponsesInvalid, 60);
    assert_eq!(
        world.counts([Count::Responses, Count::Answered, Count::Attempts]),
        [30, 30, 30]
    );
    assert_eq!(world.count(Count::SessionsOpened), 1);
}

#[test]
fn an_answer_of_65535_bytes_reaches_a_tcp_client_whole_and_a_udp_client_truncated() {
    /// An OPT record without options.
    const OPT: usize = 11;
    let world = World::new(1);
    world.upstreams[0].script(|script| script.all = vec![Step::Send(Form::Long)]);
    let mut stream = world.tcp();
    let whole = stream.ask_for("long.test", QueryType::TextWithoutEdns);
    assert_eq!((whole.length, whole.is_truncated), (65_535 - OPT, false));
    let with_opt = stream.ask_for("long.test", QueryType::Text);
    assert_eq!(
        (with_opt.texts, with_opt.is_truncated),
        (whole.texts, false)
    );
    let mut datagrams = world.udp();
    for asked in [QueryType::Text, QueryType::TextWithoutEdns] {
        let cut = datagrams.ask_for("long.test", asked);
        assert_eq!((cut.rcode, cut.is_truncated), (Rcode::NOERROR, true));
        assert!(cut.length <= 1_232);
    }
    assert_eq!(
        world.counts([Count::Attempts, Count::Failed]),
        [4, 0],
        "it is too long to be cached"
    );
}

#[test]
fn servfail_of_one_upstream_is_made_good_by_the_next_which_soon_is_asked_first() {
    let world = World::new(2);
    world.upstreams[0].script(|script| script.all = vec![Step::Send(Form::ServerFailure)]);
    let mut client = world.udp();
    for number in 0..100 {
        client.ask(&format!("name-{number}.test")).assert_right();
    }
    assert_eq!(world.count(Count::Failed), 0);
    assert_eq!(world.upstreams[1].queries(), 100);
    let record = world.upstreams[0].record();
    let asked = record
        .queries
        .iter()
        .filter(|(_, question)| question.name.starts_with("name"));
    assert_eq!(
        asked.count(),
        11,
        "ten errors that the other did not make, and the trial of a second"
    );
}

#[test]
fn servfail_of_all_upstreams_is_passed_on_with_the_reason() {
    let world = World::new(2);
    for upstream in &world.upstreams {
        upstream.script(|script| script.all = vec![Step::Send(Form::ServerFailure)]);
    }
    let response = world.udp().ask("name.test");
    response.assert_failed(0);
    let (_, text) = response.ede.unwrap();
    assert!(text.starts_with("upstream: answered SERVFAIL"), "{text}");
    assert_eq!(world.count(Count::Attempts), 2);
}

#[test]
fn a_policy_stands_and_no_other_upstream_is_asked() {
    let world = World::new(2);
    world.upstreams[0].script(|script| script.all = vec![Step::Send(Form::Prohibited)]);
    let response = world.udp().ask("name.test");
    assert_eq!(response.rcode, Rcode::REFUSED);
    assert_eq!(response.ede.unwrap().0, 18);
    assert_eq!(world.count(Count::Attempts), 1);
    assert_eq!(world.upstreams[1].connections(), 0);
}

#[test]
fn a_truncated_response_over_tls_is_not_relayed() {
    let world = World::new(2);
    world.upstreams[0].script(|script| script.all = vec![Step::Send(Form::Truncated)]);
    let response = world.tcp().ask("name.test");
    response.assert_right();
    assert!(!response.is_truncated);
    assert_eq!(world.upstreams[1].queries(), 1);
}

#[test]
fn an_upstream_without_edns_is_asked_once_more_without_and_that_is_remembered() {
    let world = World::new(1);
    world.upstreams[0].script(|script| script.all = vec![Step::Send(Form::NoEdns)]);
    let mut client = world.udp();
    client.ask("one.test").assert_right();
    client.ask("two.test").assert_right();
    let record = world.upstreams[0].record();
    let has_opt: Vec<bool> = record
        .queries
        .iter()
        .map(|(_, question)| question.has_opt)
        .collect();
    assert_eq!(has_opt, [true, false, false]);
}

#[test]
fn seventy_thousand_queries_to_a_stalled_upstream_are_all_answered_and_no_id_is_used_twice() {
    const CLIENTS: usize = 70;
    // So few that a client which reads after it has asked holds nothing up.
    const EACH: usize = 1_000;
    let world = World::with(
        1,
        &[
            ("DOTGATE_QUERY_IN_FLIGHT_PER_CLIENT_MAX", "60000"),
            ("DOTGATE_TCP_IN_FLIGHT_MAX", "10000"),
        ],
    );
    world.upstreams[0].script(|script| script.on_beginning("stalled", &[Step::Hold]));
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| world.tcp()).collect();
    // Every tenth name is answered, so that sessions live while others of their queries do not.
    let kind = |number: usize| {
        if number.is_multiple_of(10) {
            "answered"
        } else {
            "stalled"
        }
    };
    for round in 0..EACH / 100 {
        for (client, number) in clients.iter_mut().zip(0..) {
            let first = round * 100;
            let names = first..first + 100;
            client.send_together(names.map(|it| format!("{}-{number}-{it}.test", kind(it))));
        }
    }
    let (mut right, mut failed) = (0, 0);
    for response in clients.iter_mut().flat_map(Client::receive_all) {
        if response.is_right() {
            right += 1;
        } else {
            // The sessions may all be full until the deadline, on a machine that has much else to do.
            let code = response.ede.as_ref().map(|(code, _)| *code);
            assert!(matches!(code, Some(14 | 23)), "{response:?}");
            failed += 1;
        }
    }
    let [forwarded, shed] = world.counts([Count::QueriesForwarded, Count::QueriesShed]);
    assert_eq!(forwarded + shed, 70_000);
    assert_eq!(
        world.counts([Count::Answered, Count::Failed]),
        [right, failed - shed]
    );
    assert_eq!(world.upstreams[0].record().reused_ids, 0);
}
