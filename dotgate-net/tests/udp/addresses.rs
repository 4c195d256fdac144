//! The addresses that datagrams come to and leave from.

use super::*;

/// RFC 2181 section 4.1. Linux has all of 127.0.0.0/8 on loopback, so that the address the kernel
/// would choose by itself, 127.0.0.1, is a different one.
#[cfg(target_os = "linux")]
#[test]
fn a_response_leaves_from_the_ipv4_address_its_query_came_to() {
    on_both_paths(|path| {
        let (server, client) = (bind(V4_ANY), bind(V4));
        let asked: Vec<SocketAddr> = (1..=40u8)
            .map(|last| {
                SocketAddr::new(
                    Ipv4Addr::new(127, 0, 0, last).into(),
                    address(&server).port(),
                )
            })
            .collect();
        let queries = asked.iter().map(|peer| Outgoing {
            peer: *peer,
            local: BOUND,
            bytes: b"q",
        });
        assert_eq!(SendBatch::new(path).send(&client, queries).sent, 40);
        let (mut incoming, mut outgoing) = (ReceiveBatch::new(path), SendBatch::new(path));
        let mut locals = Vec::new();
        for expected in [32, 8] {
            assert_eq!(incoming.receive(&server).unwrap(), expected);
            locals.extend(incoming.datagrams().map(|datagram| datagram.local));
            let responses = incoming.datagrams().map(|datagram| Outgoing {
                peer: datagram.peer,
                local: datagram.local,
                bytes: b"r",
            });
            assert_eq!(outgoing.send(&server, responses).sent, expected);
        }
        let expected: Vec<_> = asked
            .iter()
            .map(|to| LocalAddress {
                ip: Some(to.ip()),
                interface: 0,
            })
            .collect();
        assert_eq!(locals, expected);
        let mut answered = Vec::new();
        for expected in [32, 8] {
            assert_eq!(incoming.receive(&client).unwrap(), expected);
            answered.extend(incoming.datagrams().map(|datagram| datagram.peer));
        }
        assert_eq!(answered, asked);
    });
}

#[test]
fn a_wildcard_socket_reports_the_address_of_either_family() {
    on_both_paths(|path| {
        for (any, ip) in [(V4_ANY, V4), (V6_ANY, V6)] {
            let (server, client) = (bind(any), bind(ip));
            let server_address = SocketAddr::new(ip, address(&server).port());
            let query = Outgoing {
                peer: server_address,
                local: BOUND,
                bytes: b"q",
            };
            assert_eq!(
                SendBatch::new(path).send(&client, [query].into_iter()).sent,
                1
            );
            wait_until_readable(&server);
            let mut incoming = ReceiveBatch::new(path);
            assert_eq!(incoming.receive(&server).unwrap(), 1);
            let local = LocalAddress {
                ip: Some(ip),
                interface: 0,
            };
            let received: Vec<_> = incoming.datagrams().map(seen).collect();
            assert_eq!(received, [(address(&client), local, b"q".to_vec(), false)]);

            let response = Outgoing {
                peer: address(&client),
                local,
                bytes: b"r",
            };
            assert_eq!(
                SendBatch::new(path)
                    .send(&server, [response].into_iter())
                    .sent,
                1
            );
            wait_until_readable(&client);
            assert_eq!(incoming.receive(&client).unwrap(), 1);
            let peers: Vec<_> = incoming.datagrams().map(|datagram| datagram.peer).collect();
            assert_eq!(peers, [server_address]);
        }
    });
}

/// The kernel would have sent it from another address without it: the refusal shows that
/// it was given, in IPv6 too, where loopback has one address only.
#[test]
fn a_local_address_that_is_not_this_machines_is_refused() {
    on_both_paths(|path| {
        let cases = [
            (V4_ANY, V4, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77))),
            (V6_ANY, V6, "2001:db8::77".parse().unwrap()),
        ];
        for (any, ip, foreign) in cases {
            let (server, client) = (bind(any), bind(ip));
            let foreign = LocalAddress {
                ip: Some(foreign),
                interface: 0,
            };
            let response = Outgoing {
                peer: address(&client),
                local: foreign,
                bytes: b"r",
            };
            // The same slot with and without an address, so that one not reset would be seen.
            let mut outgoing = SendBatch::new(path);
            assert_eq!(outgoing.send(&server, [response].into_iter()).refused, 1);
            let response = Outgoing {
                local: BOUND,
                ..response
            };
            assert_eq!(outgoing.send(&server, [response].into_iter()).sent, 1);
            let response = Outgoing {
                local: foreign,
                ..response
            };
            assert_eq!(outgoing.send(&server, [response].into_iter()).refused, 1);
        }
    });
}
