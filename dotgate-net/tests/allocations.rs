//! Receiving and sending allocate nothing: shown by an allocator that counts.

mod counting;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use dotgate_net::{
    BindOptions, LocalAddress, Outgoing, ReceiveBatch, SendBatch, Sent, UdpPath, UdpSocket,
    boottime_nanos,
};

use counting::allocations;

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_batch_is_allocated_once() {
    let path = UdpPath::default();
    assert_eq!(allocations(|| drop(ReceiveBatch::new(path))), 2);
    assert_eq!(allocations(|| drop(SendBatch::new(path))), 2);
}

#[test]
fn receiving_and_sending_allocate_nothing() {
    let wildcards: [SocketAddr; 2] = [
        (Ipv4Addr::UNSPECIFIED, 0).into(),
        (Ipv6Addr::UNSPECIFIED, 0).into(),
    ];
    for path in [UdpPath::default(), UdpPath::Portable] {
        for wildcard in wildcards {
            let mut target = wildcard;
            target.set_ip(match wildcard {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
            let options = BindOptions {
                share_port: false,
                receive_buffer_bytes: 1 << 20,
            };
            let server = UdpSocket::bind(wildcard, &options).unwrap();
            let client = UdpSocket::bind(target, &options).unwrap();
            target.set_port(server.local_addr().unwrap().port());
            let (mut incoming, mut outgoing) = (ReceiveBatch::new(path), SendBatch::new(path));
            let local = LocalAddress::default();
            let query = Outgoing {
                peer: target,
                local,
                bytes: b"query",
            };
            let refused = Outgoing {
                peer: SocketAddr::new(target.ip(), 0),
                ..query
            };

            let mut answered = 0;
            let mut total = Sent::default();
            let counted = allocations(|| {
                for _ in 0..10 {
                    let queries = std::iter::repeat_n(query, 70).chain([refused]);
                    let sent = outgoing.send(&client, queries);
                    total.sent += sent.sent;
                    total.refused += sent.refused;
                    while matches!(incoming.receive(&server), Ok(1..)) {
                        let responses = incoming.datagrams().map(|datagram| Outgoing {
                            peer: datagram.peer,
                            local: datagram.local,
                            bytes: datagram.bytes,
                        });
                        answered += outgoing.send(&server, responses).sent;
                    }
                    while matches!(incoming.receive(&client), Ok(1..)) {}
                }
                assert!(boottime_nanos() > 0);
            });
            assert_eq!((total.sent, total.refused, answered), (700, 10, 700));
            assert_eq!(counted, 0);
        }
    }
}
