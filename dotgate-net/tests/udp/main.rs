//! Datagrams over both paths and both families: what goes in comes out, from the right address.

#![expect(
    clippy::unwrap_used,
    reason = "clippy exempts #[test] functions, not their parts"
)]

mod addresses;
mod sockets;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use dotgate_net::{
    BATCH, BindOptions, Datagram, Egress, LocalAddress, Outgoing, RECEIVE_SLOT_BYTES, ReceiveBatch,
    SendBatch, Sent, UdpPath, UdpSocket,
};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const V4_ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const V6_ANY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
const BOUND: LocalAddress = LocalAddress {
    ip: None,
    interface: 0,
};

/// Runs a test once per path.
fn on_both_paths(test: impl Fn(UdpPath)) {
    #[cfg(target_os = "linux")]
    test(UdpPath::Batched);
    test(UdpPath::Portable);
}

/// Runs a test once per path and family.
fn on_all(test: impl Fn(UdpPath, IpAddr)) {
    on_both_paths(|path| {
        test(path, V4);
        test(path, V6);
    });
}

fn bind(ip: IpAddr) -> UdpSocket {
    let options = BindOptions {
        share_port: false,
        receive_buffer_bytes: 1 << 20,
    };
    UdpSocket::bind(SocketAddr::new(ip, 0), &options).unwrap()
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().unwrap()
}

/// Waits until the socket has something to read, at most ten seconds.
fn wait_until_readable(socket: &UdpSocket) {
    let mut entry = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: `entry` is one valid pollfd, and the call keeps no pointer.
    assert_eq!(1, unsafe { libc::poll(&raw mut entry, 1, 10_000) });
}

fn all_sent(count: usize, system_calls: usize) -> Sent {
    Sent {
        sent: count,
        refused: 0,
        dropped: 0,
        system_calls,
    }
}

/// System calls the path needs for so many datagrams.
fn calls(path: UdpPath, datagrams: usize) -> usize {
    match path {
        #[cfg(target_os = "linux")]
        UdpPath::Batched => datagrams.div_ceil(BATCH),
        UdpPath::Portable => datagrams,
    }
}

/// A datagram with its payload copied.
type Seen = (SocketAddr, LocalAddress, Vec<u8>, bool);

fn seen(datagram: Datagram<'_>) -> Seen {
    (
        datagram.peer,
        datagram.local,
        datagram.bytes.to_vec(),
        datagram.is_cut,
    )
}

#[test]
fn a_query_comes_in_and_its_response_goes_back() {
    on_all(|path, ip| {
        let (server, client) = (bind(ip), bind(ip));
        let (mut incoming, mut outgoing) = (ReceiveBatch::new(path), SendBatch::new(path));

        let query = Outgoing {
            peer: address(&server),
            local: BOUND,
            bytes: b"query",
        };
        assert_eq!(outgoing.send(&client, [query].into_iter()), all_sent(1, 1));
        wait_until_readable(&server);
        assert_eq!(incoming.receive(&server).unwrap(), 1);
        let received: Vec<_> = incoming.datagrams().map(seen).collect();
        assert_eq!(
            received,
            [(address(&client), BOUND, b"query".to_vec(), false)]
        );

        let responses = incoming.datagrams().map(|datagram| Outgoing {
            peer: datagram.peer,
            local: datagram.local,
            bytes: b"a response",
        });
        assert_eq!(outgoing.send(&server, responses), all_sent(1, 1));
        wait_until_readable(&client);
        assert_eq!(incoming.receive(&client).unwrap(), 1);
        let received: Vec<_> = incoming.datagrams().map(seen).collect();
        assert_eq!(
            received,
            [(address(&server), BOUND, b"a response".to_vec(), false)]
        );
    });
}

#[test]
fn an_empty_socket_gives_nothing_and_forgets_the_last_batch() {
    on_all(|path, ip| {
        let (server, client) = (bind(ip), bind(ip));
        let mut incoming = ReceiveBatch::new(path);
        assert_eq!(incoming.receive(&server).unwrap(), 0);
        let query = Outgoing {
            peer: address(&server),
            local: BOUND,
            bytes: b"one",
        };
        assert_eq!(
            SendBatch::new(path).send(&client, [query].into_iter()).sent,
            1
        );
        wait_until_readable(&server);
        assert_eq!(incoming.receive(&server).unwrap(), 1);
        assert_eq!(incoming.receive(&server).unwrap(), 0);
        assert_eq!(incoming.datagrams().count(), 0);
    });
}

#[test]
fn one_batch_serves_sockets_of_all_kinds_in_turn() {
    on_both_paths(|path| {
        let mut incoming = ReceiveBatch::new(path);
        // Each leaves a shorter address or less control data in the slot than the next one needs.
        for (bound, ip) in [
            (V4, V4),
            (V6_ANY, V6),
            (V6, V6),
            (V4_ANY, V4),
            (V4, V4),
            (V6, V6),
        ] {
            let (server, client) = (bind(bound), bind(ip));
            let peer = SocketAddr::new(ip, address(&server).port());
            let query = Outgoing {
                peer,
                local: BOUND,
                bytes: b"q",
            };
            assert_eq!(
                SendBatch::new(path).send(&client, [query].into_iter()).sent,
                1
            );
            wait_until_readable(&server);
            assert_eq!(incoming.receive(&server).unwrap(), 1);
            let local = LocalAddress {
                ip: (bound != ip).then_some(ip),
                interface: 0,
            };
            let received: Vec<_> = incoming.datagrams().map(seen).collect();
            assert_eq!(received, [(address(&client), local, b"q".to_vec(), false)]);
        }
    });
}

#[test]
fn a_burst_of_100_comes_in_order_and_full_batches_before_a_short_one() {
    on_all(|path, ip| {
        let (server, client) = (bind(ip), bind(ip));
        // Of different lengths, so that a slot not reset would be seen.
        let payloads: Vec<Vec<u8>> = (0..100u8)
            .map(|i| vec![i; 1 + usize::from(i) * 3])
            .collect();
        let burst = payloads.iter().map(|bytes| Outgoing {
            peer: address(&server),
            local: BOUND,
            bytes,
        });
        let sent = SendBatch::new(path).send(&client, burst);
        assert_eq!(sent, all_sent(100, calls(path, 100)));

        let mut incoming = ReceiveBatch::new(path);
        let mut counts = Vec::new();
        let mut received = Vec::new();
        loop {
            counts.push(incoming.receive(&server).unwrap());
            assert!(
                incoming
                    .datagrams()
                    .all(|datagram| datagram.peer == address(&client))
            );
            received.extend(incoming.datagrams().map(|datagram| datagram.bytes.to_vec()));
            if counts.last() < Some(&BATCH) {
                break;
            }
        }
        assert_eq!(counts, [32, 32, 32, 4]);
        assert_eq!(received, payloads);
    });
}

#[test]
fn exactly_one_full_batch_is_followed_by_an_empty_one() {
    on_all(|path, ip| {
        let (server, client) = (bind(ip), bind(ip));
        let query = Outgoing {
            peer: address(&server),
            local: BOUND,
            bytes: b"q",
        };
        let sent = SendBatch::new(path).send(&client, std::iter::repeat_n(query, BATCH));
        assert_eq!(sent, all_sent(BATCH, calls(path, BATCH)));
        let mut incoming = ReceiveBatch::new(path);
        assert_eq!(incoming.receive(&server).unwrap(), BATCH);
        assert_eq!(incoming.receive(&server).unwrap(), 0);
    });
}

#[test]
fn nothing_to_send_makes_no_system_call() {
    on_all(|path, ip| {
        let sent = SendBatch::new(path).send(&bind(ip), std::iter::empty());
        assert_eq!(sent, Sent::default());
    });
}

#[test]
fn empty_truncated_and_just_fitting_datagrams_are_distinguished() {
    on_all(|path, ip| {
        let (server, client) = (bind(ip), bind(ip));
        let long: Vec<u8> = (0..=RECEIVE_SLOT_BYTES).map(|i| i as u8).collect();
        let fitting = &long[..RECEIVE_SLOT_BYTES];
        let payloads: [&[u8]; 4] = [b"", fitting, &long, b"x"];
        let outgoing = payloads.map(|bytes| Outgoing {
            peer: address(&server),
            local: BOUND,
            bytes,
        });
        let sent = SendBatch::new(path).send(&client, outgoing.into_iter());
        assert_eq!(sent, all_sent(4, calls(path, 4)));

        let mut incoming = ReceiveBatch::new(path);
        // Twice, since a cut datagram's flag must not stay in its slot.
        for _ in 0..2 {
            assert_eq!(incoming.receive(&server).unwrap(), 4);
            let received: Vec<_> = incoming
                .datagrams()
                .map(|datagram| (datagram.bytes, datagram.is_cut))
                .collect();
            let expected: [(&[u8], bool); 4] = [
                (b"", false),
                (fitting, false),
                (fitting, true),
                (b"x", false),
            ];
            assert_eq!(received, expected);
            let mut turned = outgoing;
            turned.rotate_left(2);
            let sent = SendBatch::new(path).send(&client, turned.into_iter());
            assert_eq!(sent.sent, 4);
            assert_eq!(incoming.receive(&server).unwrap(), 4);
            let flags: Vec<_> = incoming
                .datagrams()
                .map(|datagram| datagram.is_cut)
                .collect();
            assert_eq!(flags, [true, false, false, false]);
            let sent = SendBatch::new(path).send(&client, outgoing.into_iter());
            assert_eq!(sent.sent, 4);
        }
    });
}

#[test]
fn refused_datagrams_are_passed_over_and_counted() {
    on_all(|path, ip| {
        let (server, client) = (bind(ip), bind(ip));
        let good = Outgoing {
            peer: address(&server),
            local: BOUND,
            bytes: b"good",
        };
        let no_port = Outgoing {
            peer: SocketAddr::new(ip, 0),
            ..good
        };
        let oversize = vec![0; 70_000];
        let oversize = Outgoing {
            bytes: &oversize,
            ..good
        };
        let mixed = [no_port, good, good, oversize, oversize, good, no_port];
        let sent = SendBatch::new(path).send(&client, mixed.into_iter());
        // Batched: refused, two sent, refused, refused, one sent, refused.
        let system_calls = match path {
            #[cfg(target_os = "linux")]
            UdpPath::Batched => 6,
            UdpPath::Portable => 7,
        };
        assert_eq!(
            sent,
            Sent {
                sent: 3,
                refused: 4,
                dropped: 0,
                system_calls
            }
        );
        let mut incoming = ReceiveBatch::new(path);
        assert_eq!(incoming.receive(&server).unwrap(), 3);
        assert!(
            incoming
                .datagrams()
                .all(|datagram| datagram.bytes == b"good")
        );
    });
}

#[test]
fn a_whole_batch_refused_still_lets_the_next_one_through() {
    on_all(|path, ip| {
        let (server, client) = (bind(ip), bind(ip));
        let good = Outgoing {
            peer: address(&server),
            local: BOUND,
            bytes: b"good",
        };
        let no_port = Outgoing {
            peer: SocketAddr::new(ip, 0),
            ..good
        };
        let outgoing = std::iter::repeat_n(no_port, BATCH).chain([good]);
        let sent = SendBatch::new(path).send(&client, outgoing);
        let system_calls = BATCH + 1;
        assert_eq!(
            sent,
            Sent {
                sent: 1,
                refused: BATCH,
                dropped: 0,
                system_calls
            }
        );
        assert_eq!(ReceiveBatch::new(path).receive(&server).unwrap(), 1);
    });
}
