//! Suspects and harmful questions: what one query does to its session costs no other query its answer.

use std::time::Duration;

use dotgate_message::{Compose as _, query};

use super::lab::{Lab, MS, SECOND, UNRESPONSIVE, answer};
use super::message::Message;
use crate::counters::Count;
use crate::counters::labels::AttemptKind;
use crate::keys::UpstreamId;
use crate::limits;
use crate::outbox::Event;

/// Answers every question, but ends each session on which a name that begins like this is asked.
fn play(lab: &mut Lab, harmful: &str) {
    loop {
        lab.open_all();
        if lab.forwarded.is_empty() {
            return;
        }
        let is_harmful = |message: &[u8]| message[13..].starts_with(harmful.as_bytes());
        let spoiled = lab
            .forwarded
            .iter()
            .find(|forwarded| is_harmful(&forwarded.message));
        match spoiled.map(|forwarded| forwarded.session) {
            Some(session) => lab.close(session),
            None => {
                let forwarded = lab.next_forwarded();
                lab.answer(&forwarded);
            }
        }
    }
}

/// Lets time pass while the upstream answers our own questions alone.
fn pass_answering_probes(lab: &mut Lab, span: Duration) {
    for _ in 0..span.as_millis() / 10 {
        lab.forwarded.retain(|forwarded| forwarded.message[12] == 0);
        lab.answer_all();
        lab.pass(10 * MS);
    }
}

#[test]
fn a_question_that_ends_two_sessions_alone_fails_with_its_reason_and_no_other_query_does() {
    let mut lab = Lab::opened(1);
    for n in 0..20 {
        lab.ask(&format!("n{n}.example"));
    }
    lab.send(&query(9, "harm.example").with_edns());
    play(&mut lab, "harm");
    let failed: Vec<&Vec<u8>> = lab.responses.iter().filter(|r| r[3] & 15 != 0).collect();
    assert_eq!((lab.responses.len(), failed.len()), (21, 1));
    assert_eq!(
        Message::read(failed[0]).ede(),
        Some((
            23,
            "upstream: ends the connection whenever it is asked this (up0)".to_owned()
        ))
    );
    assert_eq!(
        lab.events,
        [Event::HarmfulQuestion {
            upstream: UpstreamId(0)
        }]
    );
    lab.expect_idle();
}

#[test]
fn a_harmful_question_is_asked_once_a_second_and_alone() {
    let mut lab = Lab::opened(1);
    for name in ["one.example", "two.example", "harm.example"] {
        lab.ask(name);
        play(&mut lab, "harm");
    }
    let started = lab.count(Count::SessionsStarted);
    for _ in 0..100 {
        lab.ask("harm.example");
        assert!(lab.forwarded.is_empty());
        lab.pass(9 * MS);
    }
    assert_eq!(lab.count(Count::SessionsStarted), started);
    lab.pass(100 * MS);
    lab.ask("harm.example");
    lab.ask("a.example");
    play(&mut lab, "harm");
    assert_eq!(
        lab.count(Count::SessionsStarted),
        started + 2,
        "and a.example's"
    );
    assert_eq!(lab.rcodes()[103..], [2, 0]);
    assert_eq!(lab.events.len(), 1, "logged once");
}

#[test]
fn a_question_leaves_quarantine_with_its_first_answer() {
    let mut lab = Lab::opened(1);
    lab.ask("harm.example");
    play(&mut lab, "harm");
    lab.pass(limits::QUARANTINE_EVERY);
    for _ in 0..2 {
        lab.ask("harm.example");
        play(&mut lab, "no such name");
    }
    assert_eq!(lab.rcodes(), [2, 0, 0]);
}

#[test]
fn what_one_upstream_ends_sessions_for_another_one_answers() {
    let mut lab = Lab::opened(2);
    lab.ask("harm.example");
    let forwarded = lab.next_forwarded();
    lab.close(forwarded.session);
    lab.open(1);
    lab.answer_all();
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0]);
    assert_eq!(lab.count(Count::QuestionsQuarantined), 0);
}

#[test]
fn suspects_never_share_a_session_with_other_queries() {
    let mut lab = Lab::opened(1);
    for n in 0..20 {
        lab.ask(&format!("n{n}.example"));
    }
    let session = lab.forwarded[0].session;
    lab.close(session);
    lab.ask("new.example");
    lab.open_all();
    let shared = lab
        .forwarded
        .iter()
        .find(|forwarded| forwarded.message[13..].starts_with(b"new"))
        .unwrap()
        .session;
    let on_it = lab
        .forwarded
        .iter()
        .filter(|forwarded| forwarded.session == shared);
    assert_eq!(on_it.count(), 1);
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0; 21]);
}

#[test]
fn an_upstream_that_ends_every_session_is_down_and_no_question_is_harmful() {
    let mut lab = Lab::opened(1);
    for n in 0..20 {
        lab.ask(&format!("n{n}.example"));
    }
    let session = lab.forwarded[0].session;
    lab.close(session);
    for _ in 0..40 {
        let Some(upstream) = lab.openings.first().map(|opening| opening.upstream) else {
            break;
        };
        let session = lab.open(upstream);
        lab.close(session);
    }
    assert_eq!(lab.count(Count::QuestionsQuarantined), 0);
    assert!(matches!(lab.events[..], [Event::UpstreamDown { .. }]));
    lab.pass(limits::TRY_EVERY);
    lab.open(0);
    lab.answer_all();
    lab.open_all();
    lab.answer_all();
    assert_eq!(lab.rcodes(), [0; 20], "they wait for its recovery");
}

#[test]
fn a_probe_that_is_answered_keeps_a_session_whose_names_are_dead() {
    let mut lab = Lab::opened(1);
    for n in 0..10 {
        lab.ask(&format!("dead{n}.example"));
        pass_answering_probes(&mut lab, 500 * MS);
    }
    assert!(lab.count(Count::Probes) > 0);
    assert_eq!(lab.count(Count::SessionsUnresponsive), 0);
    assert_eq!(lab.count(Count::SessionsStarted), 1);
    assert!(lab.events.is_empty());
}

#[test]
fn a_dead_name_costs_two_questions_per_deadline() {
    let mut lab = Lab::opened(1);
    lab.ask("dead.example");
    pass_answering_probes(&mut lab, 5 * SECOND);
    assert_eq!(lab.rcodes(), [2]);
    assert_eq!(lab.count(Count::Attempts), 1 + 2);
}

/// Lets a client ask for a name every 700 ms, four seconds long. Upstreams from `first_sound` on answer, the others do only our
/// own questions.
fn ask_again_and_again(lab: &mut Lab, first_sound: usize) {
    for _ in 0..6 {
        lab.ask("half-dead.example");
        for _ in 0..70 {
            lab.open_all();
            lab.forwarded
                .retain(|it| it.message[12] == 0 || it.upstream >= first_sound);
            lab.answer_all();
            lab.pass(10 * MS);
        }
    }
}

#[test]
fn those_who_wait_on_for_what_two_upstreams_do_not_answer_are_answered_by_the_third() {
    let mut lab = Lab::opened(3);
    ask_again_and_again(&mut lab, 2);
    assert_eq!(lab.rcodes(), [2, 0, 0, 0, 0, 0]);
    lab.expect_idle();
}

#[test]
fn a_question_for_which_clients_wait_on_is_asked_again_although_none_of_its_attempts_has_ended() {
    let mut lab = Lab::opened(1);
    ask_again_and_again(&mut lab, 1);
    assert_eq!(lab.rcodes(), [2]);
    assert_eq!(lab.count(Count::Attempts), 1 + 3);
}

#[test]
fn a_repeated_response_to_an_id_given_up_counts_as_unknown_and_keeps_no_session() {
    let mut lab = Lab::opened(1);
    lab.ask("dead.example");
    let dead = lab.next_forwarded();
    pass_answering_probes(&mut lab, 5 * SECOND);
    let late = answer(&dead.message, 0);
    lab.respond(dead.session, &late);
    assert_eq!(lab.count(Count::ResponsesLate), 1);
    for _ in 0..limits::SESSION_INVALID_MESSAGES {
        lab.respond(dead.session, &late);
    }
    assert_eq!(lab.count(Count::ResponsesLate), 1);
    assert!(lab.closed.contains(&dead.session));
}

#[test]
fn one_zone_that_one_upstream_fails_moves_nobody_to_another_upstream() {
    let mut lab = Lab::opened(2);
    for n in 0..60 {
        lab.ask(&format!("n{n}.zone.co.uk"));
        let forwarded = lab.next_forwarded();
        assert_eq!(forwarded.upstream, 0);
        lab.answer_with_rcode(&forwarded, 2);
        if !lab.openings.is_empty() {
            lab.open(1);
        }
        lab.answer_all();
    }
    assert_eq!(lab.rcodes(), [0; 60]);
    assert!(lab.events.is_empty());
}

#[test]
fn an_upstream_that_fails_many_zones_gets_one_query_a_second_until_it_answers_one() {
    let mut lab = Lab::opened(2);
    let ask = |lab: &mut Lab, name: &str| {
        lab.ask(name);
        let forwarded = lab.next_forwarded();
        if forwarded.upstream == 0 {
            lab.answer_with_rcode(&forwarded, 2);
            lab.open_all();
        } else {
            lab.answer(&forwarded);
        }
        lab.answer_all();
        forwarded.upstream
    };
    for n in 0..limits::AVOIDABLE_ERRORS {
        assert_eq!(ask(&mut lab, &format!("n{n}.example")), 0);
    }
    assert_eq!(ask(&mut lab, "trial.example"), 0);
    assert_eq!(ask(&mut lab, "next.example"), 1);
    lab.pass(SECOND);
    lab.answer_all();
    assert_eq!(ask(&mut lab, "n1.example"), 1, "it took part in the errors");
    lab.ask("second-trial.example");
    let trial = lab.next_forwarded();
    assert_eq!(trial.upstream, 0);
    lab.answer(&trial);
    lab.ask("later.example");
    assert_eq!(lab.next_forwarded().upstream, 0);
}

#[test]
fn an_unresponsive_sessions_queries_may_be_answered_on_either_session() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    lab.ask("b.example");
    let (first, second) = (lab.next_forwarded(), lab.next_forwarded());
    lab.pass(UNRESPONSIVE);
    lab.open_all();
    lab.answer(&first);
    lab.answer(&second);
    assert_eq!(lab.rcodes(), [0, 0]);
    let counters = lab.engine.counters().upstream(UpstreamId(0)).unwrap();
    assert_eq!(counters.attempts(AttemptKind::Isolation), 2);
    lab.expect_idle();
}

/// However many there are: also when as many are isolated at the one that answers as at the one that does not.
#[test]
fn suspects_that_one_upstream_does_not_answer_are_asked_at_another_one() {
    for suspects in [2, 20] {
        let mut lab = Lab::opened(2);
        for n in 0..suspects {
            lab.ask(&format!("n{n}.example"));
        }
        let forwarded = lab.next_forwarded();
        lab.close(forwarded.session);
        while lab.openings.iter().any(|opening| opening.upstream == 1) {
            lab.open(1);
        }
        lab.forwarded.clear();
        for _ in 0..(limits::HEDGE_AFTER + SECOND).as_millis() / 10 {
            lab.pass(10 * MS);
            lab.open_all();
            // The second upstream answers nothing, our own questions included.
            lab.forwarded.retain(|forwarded| {
                let session = lab.engine.upstreams.sessions().get(forwarded.session);
                session.is_some_and(|session| session.upstream == UpstreamId(0))
            });
            lab.answer_all();
        }
        assert_eq!(lab.rcodes(), vec![0; suspects]);
    }
}

#[test]
fn a_harmful_question_is_found_where_an_upstream_gives_one_answer_per_session() {
    let mut lab = Lab::opened(1);
    teach_one_answer_per_session(&mut lab);
    lab.ask("harm.example");
    answer_once_per_session(&mut lab);
    assert_eq!(lab.rcodes(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(lab.count(Count::QuestionsQuarantined), 1);
}

#[test]
fn an_innocent_question_is_not_harmful_where_our_own_takes_the_only_answer_of_a_session() {
    let mut lab = Lab::opened(1);
    lab.ask("innocent.example");
    for _ in 0..2 {
        let session = lab.next_forwarded().session;
        lab.close(session);
        lab.open_all();
    }
    answer_once_per_session(&mut lab);
    assert_eq!(lab.rcodes(), [0]);
    assert_eq!(lab.count(Count::QuestionsQuarantined), 0);
}

#[test]
fn a_dead_name_alone_on_the_last_answer_of_a_session_is_not_asked_again_and_again() {
    let mut lab = Lab::opened(1);
    teach_one_answer_per_session(&mut lab);
    let before = lab.count(Count::Attempts);
    lab.ask("dead.example");
    for _ in 0..500 {
        lab.open_all();
        for forwarded in std::mem::take(&mut lab.forwarded) {
            // The probe gets the only response.
            if forwarded.message[12] == 0 {
                lab.answer(&forwarded);
                lab.close(forwarded.session);
            }
        }
        lab.pass(10 * MS);
    }
    assert_eq!(lab.rcodes().last(), Some(&2));
    assert!(lab.count(Count::Attempts) - before <= 3);
}

/// Has the engine learn that its upstream gives one answer per session.
fn teach_one_answer_per_session(lab: &mut Lab) {
    for round in 0..3 {
        for n in 0..3 {
            lab.ask(&format!("n{round}{n}.example"));
        }
        answer_once_per_session(lab);
    }
    assert!(lab.events.contains(&Event::FewAnswers {
        upstream: UpstreamId(0),
        answers: 1
    }));
}

/// An upstream that ends each session behind its first answer, and on a harmful question.
fn answer_once_per_session(lab: &mut Lab) {
    for _ in 0..50 {
        lab.open_all();
        if lab.forwarded.is_empty() {
            return;
        }
        let forwarded = lab.next_forwarded();
        if !forwarded.message[13..].starts_with(b"harm") {
            lab.answer(&forwarded);
        }
        lab.forwarded
            .retain(|other| other.session != forwarded.session);
        lab.close(forwarded.session);
    }
}
