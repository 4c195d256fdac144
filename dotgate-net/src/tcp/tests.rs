use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;

const V4: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const V6: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 0);

/// Waits until the stream can be written or failed, at most ten seconds.
fn wait_until_connected(stream: &TcpStream) {
    wait_for(stream, PollFlags::OUT);
}

/// Waits until a connection can be accepted, at most ten seconds.
fn wait_until_waiting(listener: &TcpListener) {
    wait_for(listener, PollFlags::IN);
}

fn wait_for(socket: &impl AsFd, events: PollFlags) {
    let limit = Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    };
    assert_eq!(
        poll(&mut [PollFd::new(socket, events)], Some(&limit)),
        Ok(1)
    );
}

#[test]
fn a_stream_connects_to_a_listener_without_waiting() {
    for address in [V4, V6] {
        let listener = listen(address, true, 16).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let stream = connect(listener.local_addr().unwrap(), &Egress::default()).unwrap();
        assert!(stream.nodelay().unwrap());
        wait_until_connected(&stream);
        assert!(stream.take_error().unwrap().is_none());
        // Options of TCP may take their part of it.
        let segment = socket2::SockRef::from(&stream).tcp_mss().unwrap();
        assert!((1_000..=1_220).contains(&segment), "{segment}");
        let (accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer, stream.local_addr().unwrap());
        #[cfg(target_os = "linux")]
        for (of, expected) in [
            (&stream, UNACKNOWLEDGED_MAX),
            (&accepted, UNACKNOWLEDGED_BY_CLIENT_MAX),
        ] {
            let timeout = socket2::SockRef::from(of).tcp_user_timeout().unwrap();
            assert_eq!(timeout, Some(expected));
        }
        #[cfg(not(target_os = "linux"))]
        drop(accepted);
    }
}

#[test]
fn a_refused_connection_is_seen_at_once_or_on_the_stream() {
    let listener = listen(V4, false, 16).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = match connect(address, &Egress::default()) {
        Err(error) => error,
        Ok(stream) => {
            wait_until_connected(&stream);
            stream.take_error().unwrap().unwrap()
        }
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn listeners_share_a_port_only_if_both_ask() {
    let first = listen(V4, true, 16).unwrap();
    let address = first.local_addr().unwrap();
    listen(address, true, 16).unwrap();
    assert_eq!(
        listen(address, false, 16).unwrap_err().kind(),
        ErrorKind::AddrInUse
    );
}

#[test]
fn the_first_listener_shares_no_port_of_others_and_its_own_with_later_ones() {
    for address in [V4, V6] {
        let other = listen(address, true, 16).unwrap();
        let taken = other.local_addr().unwrap();
        let error = listen_first(taken, 16, Presence::Required).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let first = listen_first(address, 16, Presence::Required).unwrap();
        listen(first.local_addr().unwrap(), true, 16).unwrap();
    }
}

#[test]
fn a_listener_on_every_ipv6_address_leaves_ipv4_alone() {
    let unspecified = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let listener = listen(unspecified, false, 16).unwrap();
    let port = listener.local_addr().unwrap().port();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    assert_eq!(stream.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_probe_sees_a_shared_listener_and_a_shared_udp_socket() {
    let listener = listen(V4, true, 16).unwrap();
    let error = probe_bind(listener.local_addr().unwrap(), Presence::Required).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);

    for address in [V4, V6] {
        let options = crate::BindOptions {
            share_port: true,
            receive_buffer_bytes: 0,
        };
        let socket = crate::UdpSocket::bind(address, &options).unwrap();
        let error = probe_bind(socket.local_addr().unwrap(), Presence::Required).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}

#[test]
fn a_probe_of_a_free_port_leaves_it_free() {
    for address in [V4, V6] {
        let free = UdpSocket::bind(address).unwrap().local_addr().unwrap();
        probe_bind(free, Presence::Required).unwrap();
        probe_bind(free, Presence::Required).unwrap();
        listen(free, false, 16).unwrap();
    }
}

#[test]
fn a_listener_says_whether_a_connection_waits() {
    let listener = listen(V4, false, 16).unwrap();
    assert!(!has_waiting(&listener));
    let clients = [(); 2].map(|()| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    for _ in &clients {
        wait_until_waiting(&listener);
        assert!(has_waiting(&listener));
        listener.accept().unwrap();
    }
    assert!(!has_waiting(&listener));
}

#[test]
fn a_connection_is_accepted_with_the_first_data_or_after_a_while_or_at_once_if_not_deferred() {
    let listener = listen(V4, false, 16).unwrap();
    defer_until_data(&listener, true).unwrap();
    let address = listener.local_addr().unwrap();
    let silent = TcpStream::connect(address).unwrap();
    let mut talking = TcpStream::connect(address).unwrap();
    talking.write_all(b"query").unwrap();
    let accept = || {
        wait_until_waiting(&listener);
        listener.accept().unwrap().1
    };
    let accepted = [accept(), accept()];
    let clients = [&talking, &silent].map(|client| client.local_addr().unwrap());
    if cfg!(target_os = "linux") {
        assert_eq!(accepted, clients);
    }

    let waiting = TcpStream::connect(address).unwrap();
    defer_until_data(&listener, false).unwrap();
    let later = TcpStream::connect(address).unwrap();
    let accepted = [accept(), accept()];
    let clients = [&later, &waiting].map(|client| client.local_addr().unwrap());
    if cfg!(target_os = "linux") {
        assert_eq!(accepted, clients);
    }
}
