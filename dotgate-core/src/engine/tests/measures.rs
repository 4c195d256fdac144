use std::time::Duration;

use dotgate_message::{framed, query};

use super::lab::{Lab, MS, SECOND, UNRESPONSIVE, id, settings};
use crate::counters::Gauge;
use crate::counters::labels::{
    AttemptKind, ClientTransport, Ending, Handshake, Limit, Outcome, Rcode, Reason, RecordType,
    Stage, Winner,
};
use crate::failure::{ConnectFault, SessionEnd, TlsFault};
use crate::limits;
use crate::{ClientCounters, Distribution, UpstreamCounters};

fn clients(lab: &Lab) -> &ClientCounters {
    lab.engine.counters().clients()
}

fn upstream(lab: &Lab, upstream: usize) -> &UpstreamCounters {
    lab.engine.counters().upstream(id(upstream)).unwrap()
}

/// How many took how long in all.
fn seen(distribution: Distribution) -> (u64, Duration) {
    let sum = Duration::from_micros(distribution.sum_micros);
    (distribution.count(), sum)
}

#[test]
fn an_answer_is_timed_by_stage_and_counted_by_transport_type_and_rcode() {
    let mut lab = Lab::new(1);
    lab.ask("a.example");
    let session = lab.openings[0].session;
    lab.now = lab.now + 10 * MS;
    lab.engine.sessions_mut().on_connected(lab.now, session);
    lab.now = lab.now + 20 * MS;
    lab.engine.sessions_mut().on_resumed(session);
    lab.engine.session_opened(lab.now, session);
    lab.settle();
    lab.now = lab.now + 30 * MS;
    lab.answer_all();
    let stage = |stage| seen(upstream(&lab, 0).stage(stage));
    assert_eq!(stage(Stage::Connect), (1, 10 * MS));
    assert_eq!(stage(Stage::Tls), (1, 20 * MS));
    assert_eq!(stage(Stage::Upstream), (1, 30 * MS));
    assert_eq!(stage(Stage::Total), (1, 60 * MS));
    let handshakes = |kind| upstream(&lab, 0).handshakes(kind).count();
    assert_eq!(
        Handshake::ALL
            .iter()
            .map(|kind| handshakes(*kind))
            .collect::<Vec<_>>(),
        [0, 1]
    );
    let (via, outcome) = (ClientTransport::Udp, Outcome::Answered);
    assert_eq!(clients(&lab).queries(via, RecordType::A, outcome), 1);
    assert_eq!(
        clients(&lab).durations(via, outcome).map(seen),
        Some((1, 60 * MS))
    );
    assert_eq!(clients(&lab).responses(Rcode::NoError), 1);
    assert_eq!(upstream(&lab, 0).responses(Rcode::NoError), 1);
    assert_eq!(clients(&lab).durations(via, Outcome::Local), None);
}

#[test]
fn every_message_of_a_client_has_one_outcome() {
    let mut lab = Lab::with({
        let mut settings = settings(1);
        settings.queries_per_client_max = 1;
        settings
    });
    lab.ask("waits.example");
    lab.ask("too-much.example");
    lab.ask("localhost");
    lab.send(b"short");
    lab.send(&[0; 12]);
    lab.send_from("8.8.8.8:53", &query(1, "a.example"));
    lab.send_from("192.0.2.1:0", &query(1, "a.example"));
    lab.send(&query_of_type(252));
    let stream = lab.connect();
    lab.stream_send(stream, &framed(&query(2, "localhost")));
    lab.pass(5 * SECOND);
    let all = |outcome| {
        let of = |via: &ClientTransport| {
            let types = RecordType::ALL.iter();
            types
                .map(|forwarded| clients(&lab).queries(*via, *forwarded, outcome))
                .sum::<u64>()
        };
        ClientTransport::ALL.iter().map(of).sum::<u64>()
    };
    assert_eq!(all(Outcome::Failed), 1);
    assert_eq!(all(Outcome::Shed), 1);
    assert_eq!(all(Outcome::Local), 2);
    assert_eq!(all(Outcome::Ignored), 2);
    assert_eq!(all(Outcome::Malformed), 1);
    assert_eq!(all(Outcome::Prohibited), 1);
    assert_eq!(all(Outcome::Refused), 1);
    let responses: u64 = Rcode::ALL
        .iter()
        .map(|rcode| clients(&lab).responses(*rcode))
        .sum();
    assert_eq!(responses, 7);
    assert_eq!(clients(&lab).limits(Limit::QueriesPerClient), 1);
    assert_eq!(clients(&lab).limits(Limit::Queries), 0);
    let via = (ClientTransport::Tcp, Outcome::Local);
    assert_eq!(clients(&lab).queries(via.0, RecordType::A, via.1), 1);
    assert_eq!(clients(&lab).failures(Reason::NotReady), 1);
}

fn query_of_type(number: u16) -> Vec<u8> {
    let mut message = query(1, "a.example");
    let at = message.len() - 4;
    message[at..at + 2].copy_from_slice(&number.to_be_bytes());
    message
}

#[test]
fn what_a_query_costs_the_upstreams_is_counted_with_who_won() {
    let mut lab = Lab::opened(2);
    lab.ask("a.example");
    lab.ask("b.example");
    let [slow, slow_too] = [lab.next_forwarded(), lab.next_forwarded()];
    lab.pass(UNRESPONSIVE);
    lab.open_all();
    lab.swallow_probes();
    let hedge = lab.next_forwarded();
    lab.answer(&hedge);
    assert_eq!(upstream(&lab, 1).attempts(AttemptKind::Isolation), 2);
    assert_eq!(upstream(&lab, 1).races(Winner::Hedge), 1);
    lab.answer(if hedge.message[13] == b'a' {
        &slow_too
    } else {
        &slow
    });
    assert_eq!(upstream(&lab, 0).races(Winner::First), 1);
    // The warm-up came first on its session.
    assert_eq!(upstream(&lab, 0).attempts(AttemptKind::First), 3);
    assert_eq!(upstream(&lab, 0).reuses(), 3, "with our own question");
    assert_eq!(
        upstream(&lab, 1).reuses(),
        0,
        "each on a session of its own"
    );
}

#[test]
fn sessions_end_and_fail_for_reasons_that_are_counted() {
    let mut lab = Lab::opened(1);
    let session = lab.session_of_last_answer();
    lab.close(session);
    assert_eq!(upstream(&lab, 0).endings(Ending::IdlePeer), 1);
    lab.ask("a.example");
    let session = lab.open(0);
    lab.respond(session, &[0; 12]);
    assert_eq!(upstream(&lab, 0).errors(Reason::UpstreamUnknownId), 1);
    lab.close(session);
    assert_eq!(upstream(&lab, 0).endings(Ending::Closed), 1);
    assert_eq!(upstream(&lab, 0).errors(Reason::UpstreamClosed), 1);
    lab.pass(limits::TRY_EVERY);
    lab.fail_open(0, SessionEnd::Tls(TlsFault::CertificateExpired));
    assert_eq!(upstream(&lab, 0).errors(Reason::TlsCertificateExpired), 1);
    assert_eq!(clients(&lab).failures(Reason::TlsCertificateExpired), 1);
    assert_eq!(
        seen(upstream(&lab, 0).stage(Stage::Tls)).0,
        2,
        "those that succeeded"
    );
    lab.ask("b.example");
    lab.pass(limits::TRY_EVERY);
    lab.fail_open(0, SessionEnd::Connect(ConnectFault::NoDescriptor));
    assert_eq!(clients(&lab).limits(Limit::Descriptors), 1);
    assert_eq!(
        upstream(&lab, 0).errors(Reason::ConnectNoDescriptor),
        0,
        "our own fault"
    );
}

#[test]
fn the_load_is_published_with_the_age_of_the_oldest_query() {
    let mut lab = Lab::opened(1);
    lab.ask("a.example");
    lab.pass(100 * MS);
    lab.ask("b.example");
    lab.engine.publish_load();
    let gauge = |lab: &Lab, gauge| lab.engine.counters().gauge(gauge);
    assert_eq!(gauge(&lab, Gauge::QueriesInFlight), 2);
    assert_eq!(gauge(&lab, Gauge::QuestionsInFlight), 2);
    assert_eq!(
        (upstream(&lab, 0).sessions(), upstream(&lab, 0).in_flight()),
        (1, 2)
    );
    let age = |lab: &Lab| lab.engine.counters().oldest_query_age(lab.now);
    assert_eq!(age(&lab), 100 * MS);
    let oldest = lab.next_forwarded();
    lab.answer(&oldest);
    lab.engine.publish_load();
    assert_eq!(age(&lab), Duration::ZERO);
    lab.now = lab.now + 30 * MS;
    assert_eq!(age(&lab), 30 * MS);
    lab.answer_all();
    lab.engine.publish_load();
    assert_eq!(
        (age(&lab), gauge(&lab, Gauge::QueriesInFlight)),
        (Duration::ZERO, 0)
    );
}
