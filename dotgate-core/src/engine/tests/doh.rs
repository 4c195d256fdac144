//! Connections whose driver speaks HTTP: messages come whole, and what the driver knows of a client ends or charges them.

use std::sync::Arc;

use dotgate_message::{Compose as _, framed, query};

use super::lab::Lab;
use crate::admit::{Access, AccessAnswer, AccessList, AccessScope};
use crate::counters::Count;
use crate::counters::labels::{ClientTransport, Limit, Outcome, RecordType, StreamEnd};
use crate::keys::StreamKey;
use crate::limits::STREAM_REJECTED;
use crate::settings::Settings;
use crate::stream::StreamKind;

const CLIENT: &str = "192.0.2.9";

impl Lab {
    fn connect_https(&mut self) -> StreamKey {
        let stream = self.connect_by(StreamKind::Doh, CLIENT).unwrap();
        self.engine
            .clients_mut()
            .stream_secured(self.now, stream, false);
        stream
    }

    fn pass_message(&mut self, stream: StreamKey, message: &[u8]) -> bool {
        let reads = self.engine.stream_message(self.now, stream, None, message);
        self.settle();
        reads
    }
}

#[test]
fn a_whole_message_is_answered_padded_and_without_an_idle_timeout() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect_https();
    // Padding, and edns-tcp-keepalive.
    let options = [0, 12, 0, 0, 0, 11, 0, 0];
    let mut asked = query(1, "x.localhost").with_edns();
    *asked.last_mut().unwrap() = u8::try_from(options.len()).unwrap();
    asked.extend_from_slice(&options);
    assert!(lab.pass_message(stream, &asked));
    let messages = lab.stream_messages();
    let [response] = &messages[..] else {
        panic!("one response");
    };
    assert_eq!(response.len() % 468, 0);
    assert!(!response.windows(4).any(|it| it == [0, 11, 0, 2]));
    let clients = lab.engine.counters().clients();
    let local = clients.queries(ClientTransport::Https, RecordType::A, Outcome::Local);
    assert_eq!(local, 1);
}

#[test]
fn no_message_is_taken_while_the_connection_is_paused() {
    let mut settings = super::lab::settings(1);
    settings.stream_queries_max = 2;
    let mut lab = Lab::with(settings);
    let stream = lab.connect_https();
    assert!(lab.pass_message(stream, &query(1, "a.test")));
    assert!(!lab.pass_message(stream, &query(2, "b.test")));
    assert!(!lab.engine.clients().stream_reads(stream));
    assert!(!lab.pass_message(stream, &query(3, "c.test")));
    assert_eq!(lab.engine.load().queries, 2);
}

#[test]
fn a_message_that_ends_too_early_says_nothing_about_the_next_one() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect_https();
    let cut_short = &query(1, "x.localhost")[..12];
    for _ in 1..STREAM_REJECTED {
        assert!(lab.pass_message(stream, cut_short));
    }
    assert!(lab.pass_message(stream, &query(1, "x.localhost")));
    assert!(lab.closed_streams.is_empty());
    lab.pass_message(stream, cut_short);
    assert_eq!(lab.closed_streams, [stream]);
    // Behind a length, it does.
    let framed_stream = lab.connect_by(StreamKind::Dot, CLIENT).unwrap();
    lab.engine
        .clients_mut()
        .stream_secured(lab.now, framed_stream, false);
    lab.stream_send(framed_stream, &framed(cut_short));
    assert_eq!(lab.closed_streams, [stream, framed_stream]);
}

#[test]
fn a_client_that_breaks_http_is_cut_off_once() {
    let mut lab = Lab::opened(1);
    for end in [StreamEnd::Http, StreamEnd::Flood] {
        let stream = lab.connect_https();
        lab.engine.clients_mut().stream_cut_off(stream, end);
        lab.engine.clients_mut().stream_cut_off(stream, end);
        lab.settle();
        assert_eq!(lab.closed_streams.pop(), Some(stream));
        assert_eq!(lab.engine.counters().clients().stream_ends(end), 1);
    }
    assert_eq!(lab.count(Count::StreamsCutOff), 2);
    lab.expect_idle();
}

#[test]
fn what_the_driver_holds_is_memory_of_the_client() {
    let mut lab = Lab::opened(1);
    let before = lab.memory().used();
    let stream = lab.connect_https();
    let open = lab.memory().used();
    lab.engine.clients_mut().stream_buffered(stream, 10_000);
    lab.engine.clients_mut().stream_buffered(stream, 30_000);
    assert_eq!(lab.memory().used(), open + 30_000);
    lab.engine.clients_mut().stream_closed(stream);
    assert_eq!(lab.memory().used(), before);
}

/// Clients of 192.0.2.0/24 may ask; the proxy is not among them.
fn behind_proxy() -> Lab {
    let everywhere = ("192.0.2.0/24".parse().unwrap(), AccessScope::Everywhere);
    Lab::with(Settings {
        access: Access::new(&[everywhere], &[], AccessAnswer::NoResponse),
        http_proxies: Arc::new(AccessList::new(["198.51.100.0/24".parse().unwrap()])),
        queries_per_client_max: 2,
        stream_queries_max: 100,
        streams_per_client_max: 1,
        ..super::lab::settings(1)
    })
}

#[test]
fn the_clients_of_a_proxy_have_their_own_limits_and_none_pays_for_another() {
    let mut lab = behind_proxy();
    let proxy = "198.51.100.9";
    let kind = |peer: &str| {
        let peer = peer.parse().unwrap();
        lab.engine.clients().stream_kind(StreamKind::Doh, peer)
    };
    assert_eq!(
        [kind(proxy), kind("192.0.2.1")],
        [StreamKind::DohProxy, StreamKind::Doh]
    );
    let stream = lab.connect_by(StreamKind::DohProxy, proxy).unwrap();
    assert!(
        lab.connect_by(StreamKind::DohProxy, proxy).is_some(),
        "more than a client"
    );
    let mut id = 0;
    let mut pass = |lab: &mut Lab, client: Option<&str>, message: &dyn Fn(u16) -> Vec<u8>| {
        id += 1;
        let client = client.map(|it| it.parse().unwrap());
        let reads = lab
            .engine
            .stream_message(lab.now, stream, client, &message(id));
        lab.settle();
        assert!(reads);
    };
    let asked = |id: u16| query(id, &format!("n{id}.test"));
    for client in ["192.0.2.1", "192.0.2.2"] {
        for _ in 0..3 {
            pass(&mut lab, Some(client), &asked);
        }
    }
    let limits = lab.engine.counters().clients();
    assert_eq!(
        limits.limits(Limit::QueriesPerClient),
        2,
        "one of each client"
    );
    // Others are refused, in spite of the setting: a request has a response. So is the proxy itself.
    let before = lab.stream_messages().len();
    pass(&mut lab, Some("203.0.113.1"), &asked);
    pass(&mut lab, None, &asked);
    let messages = lab.stream_messages();
    assert!(messages[before..].iter().all(|it| it[3] & 15 == 5));
    assert_eq!(messages.len(), before + 2);
    for _ in 0..2 * STREAM_REJECTED {
        pass(&mut lab, Some("192.0.2.3"), &|id| asked(id)[..12].to_vec());
    }
    assert!(lab.closed_streams.is_empty());
    pass(&mut lab, Some("192.0.2.4"), &asked);
    assert_eq!(lab.engine.load().queries, 5);
}

#[test]
fn a_client_that_is_no_proxy_cannot_name_another() {
    let mut lab = behind_proxy();
    let stream = lab.connect_by(StreamKind::Doh, "192.0.2.1").unwrap();
    lab.engine
        .clients_mut()
        .stream_secured(lab.now, stream, false);
    for id in 0..3 {
        let client = Some("192.0.2.7".parse().unwrap());
        let asked = query(id, &format!("n{id}.test"));
        lab.engine.stream_message(lab.now, stream, client, &asked);
    }
    lab.settle();
    assert_eq!(lab.engine.load().queries, 2, "those of its own quota");
}
