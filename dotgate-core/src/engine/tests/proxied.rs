//! Clients behind balancers: limits are theirs, and responses go to the balancer.

use dotgate_message::query;

use super::lab::Lab;
use crate::admit::{Access, AccessAnswer, AccessList, AccessScope};
use crate::clients::StreamHeader;
use crate::counters::Count;
use crate::counters::labels::{Limit, ProxyResult, StreamEnd};
use crate::limits;
use crate::outbox::ReturnPath;
use crate::settings::Settings;
use crate::stream::{AcceptedStream, StreamKind};

const BALANCER: &str = "198.51.100.9:700";

/// Clients of 192.0.2.0/24 may ask, but for one; balancers are not among them.
fn settings(upstreams: usize) -> Settings {
    let everywhere = |prefix: &str| (prefix.parse().unwrap(), AccessScope::Everywhere);
    let (allowed, denied) = (everywhere("192.0.2.0/24"), everywhere("192.0.2.66/32"));
    Settings {
        access: Access::new(&[allowed], &[denied], AccessAnswer::Refused),
        proxies: AccessList::new(["198.51.100.0/24".parse().unwrap()]),
        queries_per_client_max: 2,
        ..super::lab::settings(upstreams)
    }
}

fn header(last: u8) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c".to_vec();
    header.extend_from_slice(&[192, 0, 2, last, 198, 51, 100, 1, 0x30, 0x39, 0, 53]);
    header
}

fn headers(lab: &Lab, result: ProxyResult) -> u64 {
    lab.engine.counters().clients().proxy(result)
}

fn send(lab: &mut Lab, header: &[u8], message: &[u8]) {
    lab.send_from(BALANCER, &[header, message].concat());
}

#[test]
fn a_quota_is_that_of_the_client_and_not_of_its_balancer() {
    let mut lab = Lab::with(settings(1));
    for (id, last) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)] {
        let name = format!("n{id}.example");
        send(&mut lab, &header(last), &query(id, &name));
    }
    // The third of the first client is one too many.
    assert_eq!(lab.rcodes(), [2]);
    let limit = Limit::QueriesPerClient;
    assert_eq!(lab.engine.counters().clients().limits(limit), 1);
    lab.open(0);
    lab.answer_all();
    assert_eq!(lab.rcodes().len(), 5);
    assert_eq!(headers(&lab, ProxyResult::Client), 5);
}

#[test]
fn a_response_goes_back_to_the_balancer() {
    let mut lab = Lab::with(settings(1));
    let path = ReturnPath {
        socket: 3,
        peer: BALANCER.parse().unwrap(),
        local_ip: None,
        interface: 0,
    };
    let message = [&header(66)[..], &query(1, "a.example")].concat();
    lab.engine.on_datagram(lab.now, path, &message);
    let datagram = lab.engine.clients().datagrams().next().unwrap();
    assert_eq!(datagram.path, path);
    assert_eq!(datagram.bytes[3] & 0x0f, 5);
}

#[test]
fn a_header_is_believed_from_listed_balancers_alone_and_there_it_must_be() {
    let mut lab = Lab::with(settings(1));
    // From a client that may ask, it is a malformed query.
    let forged = [&header(1)[..], &query(1, "a.example")].concat();
    lab.send_from("192.0.2.7:5", &forged);
    lab.send(&query(1, "b.example"));
    assert_eq!(lab.rcodes(), [4]);
    send(&mut lab, &[], &query(1, "c.example"));
    assert_eq!(lab.rcodes(), [4, 5]);
    let short = &header(1)[..20];
    send(&mut lab, short, &[]);
    assert_eq!(lab.rcodes().len(), 2);
    let counted = ProxyResult::ALL.iter().map(|result| headers(&lab, *result));
    assert_eq!(counted.collect::<Vec<_>>(), [0, 0, 1, 1]);
}

#[test]
fn a_connection_is_admitted_once_its_header_is_complete() {
    let mut lab = Lab::with(settings(1));
    let accept = |lab: &mut Lab, kind| {
        let accepted = AcceptedStream {
            peer: BALANCER.parse::<std::net::SocketAddr>().unwrap().ip(),
            local: None,
            kind,
        };
        let key = lab
            .engine
            .clients_mut()
            .stream_opened(lab.now, accepted)
            .unwrap();
        assert!(lab.engine.clients().stream_awaits_header(key));
        key
    };
    for kind in [StreamKind::Tcp, StreamKind::Dot] {
        let key = accept(&mut lab, kind);
        let part = lab
            .engine
            .clients_mut()
            .stream_header(lab.now, key, &header(1)[..9]);
        assert_eq!(part, StreamHeader::Incomplete { length: 16 });
        let all = lab
            .engine
            .clients_mut()
            .stream_header(lab.now, key, &header(1));
        let StreamHeader::Complete { length: 28, key } = all else {
            panic!("{all:?}")
        };
        assert!(!lab.engine.clients().stream_awaits_header(key));
        let denied = accept(&mut lab, kind);
        let refused = lab
            .engine
            .clients_mut()
            .stream_header(lab.now, denied, &header(66));
        assert_eq!(refused, StreamHeader::Refused);
        let without = accept(&mut lab, kind);
        let refused = lab
            .engine
            .clients_mut()
            .stream_header(lab.now, without, b"\x16\x03\x01");
        assert_eq!(refused, StreamHeader::Refused);
    }
    assert_eq!(lab.engine.load().streams, 2);
    assert_eq!(lab.count(Count::ClientsRefused), 2);
    // One that sends no header is closed in time.
    accept(&mut lab, StreamKind::Tcp);
    lab.pass(limits::STREAM_HANDSHAKE);
    let ends = |end| lab.engine.counters().clients().stream_ends(end);
    assert_eq!(ends(StreamEnd::ProxyHeader), 3);
}
