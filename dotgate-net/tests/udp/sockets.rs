//! What a socket is and does beyond single datagrams: sharing, buffers, fragmentation.

use super::*;

#[test]
fn sockets_share_a_port_only_if_both_ask() {
    for ip in [V4, V6] {
        let shared = BindOptions {
            share_port: true,
            receive_buffer_bytes: 0,
        };
        let first = UdpSocket::bind(SocketAddr::new(ip, 0), &shared).unwrap();
        UdpSocket::bind(address(&first), &shared).unwrap();
        let error = UdpSocket::bind(address(&first), &BindOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_port_that_the_system_chooses_is_nobody_elses() {
    // The system chooses among 28,232 ports. Were these sockets to share, 14 pairs on average would have the same one.
    const SOCKETS: usize = 900;
    let shared = BindOptions {
        share_port: true,
        receive_buffer_bytes: 0,
    };
    let any_port = SocketAddr::from(([127, 90, 0, 1], 0));
    let bind = |_| UdpSocket::bind(any_port, &shared).unwrap();
    let sockets: Vec<UdpSocket> = (0..SOCKETS).map(bind).collect();
    let mut ports: Vec<u16> = sockets.iter().map(|it| address(it).port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), SOCKETS);
}

#[test]
fn a_socket_on_every_ipv6_address_leaves_ipv4_alone() {
    let v6 = bind(V6_ANY);
    let v4 = SocketAddr::new(V4_ANY, address(&v6).port());
    let both: io::Result<UdpSocket> = UdpSocket::bind(v4, &BindOptions::default());
    assert_eq!(both.unwrap().local_addr().unwrap(), v4);
}

#[test]
fn the_receive_buffer_is_reported_as_it_was_asked_for() {
    let options = BindOptions {
        share_port: false,
        receive_buffer_bytes: 65_536,
    };
    let socket = UdpSocket::bind(SocketAddr::new(V4, 0), &options).unwrap();
    assert_eq!(socket.receive_buffer_bytes().unwrap(), 65_536);
    let greedy = BindOptions {
        receive_buffer_bytes: 1 << 30,
        ..options
    };
    #[cfg(target_os = "linux")]
    {
        let clipped = UdpSocket::bind(SocketAddr::new(V4, 0), &greedy).unwrap();
        let limit = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
        let limit: usize = limit.trim().parse().unwrap();
        assert_eq!(clipped.receive_buffer_bytes().unwrap(), limit.min(1 << 30));
    }
    #[cfg(not(target_os = "linux"))]
    assert!(UdpSocket::bind(SocketAddr::new(V4, 0), &greedy).is_err());
}

#[test]
fn a_socket_does_not_block_and_does_not_outlive_exec() {
    let socket = bind(V4);
    // SAFETY: fcntl with these commands reads flags of an open descriptor.
    let (status, descriptor) = unsafe {
        let fd = socket.as_raw_fd();
        (
            libc::fcntl(fd, libc::F_GETFL),
            libc::fcntl(fd, libc::F_GETFD),
        )
    };
    assert_ne!(status & libc::O_NONBLOCK, 0);
    assert_ne!(descriptor & libc::FD_CLOEXEC, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn datagrams_leave_unfragmented_whatever_icmp_says() {
    let cases = [
        (
            V4,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_PROBE,
        ),
        (
            V6,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_PROBE,
        ),
    ];
    for (ip, level, name, expected) in cases {
        let socket = bind(ip);
        let mut value: libc::c_int = -1;
        let mut length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: one c_int is written, whose address and size are given.
        let outcome = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                level,
                name,
                (&raw mut value).cast(),
                &raw mut length,
            )
        };
        assert_eq!((outcome, value), (0, expected));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn datagrams_that_found_the_buffer_full_are_reported() {
    let options = BindOptions {
        share_port: false,
        receive_buffer_bytes: 1,
    };
    let socket = UdpSocket::bind(SocketAddr::new(V4, 0), &options).unwrap();
    assert_eq!(socket.dropped_datagrams(), Some(0));
    let sender = std::net::UdpSocket::bind((V4, 0)).unwrap();
    for _ in 0..100 {
        sender.send_to(&[0; 1_000], address(&socket)).unwrap();
    }
    let dropped = socket.dropped_datagrams().unwrap();
    let mut batch = ReceiveBatch::new(UdpPath::Portable);
    let mut received = 0;
    while batch.receive(&socket).is_ok_and(|count| count > 0) {
        received += batch.datagrams().count() as u32;
    }
    assert!(dropped > 0);
    assert_eq!(dropped + received, 100);
}

/// The socket of a query to a plain upstream: datagrams from another address or port are dropped.
#[test]
fn a_connected_socket_takes_datagrams_of_its_peer_alone() {
    for ip in [V4, V6] {
        let bind = || std::net::UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap();
        let (server, stranger) = (bind(), bind());
        let socket =
            dotgate_net::udp::connect(server.local_addr().unwrap(), &Egress::default()).unwrap();
        let port = socket.local_addr().unwrap();
        stranger.send_to(b"forged", port).unwrap();
        server.send_to(b"right", port).unwrap();
        socket.set_nonblocking(false).unwrap();
        let mut received = [0; 16];
        let length = socket.recv(&mut received).unwrap();
        assert_eq!(&received[..length], b"right");
    }
}
