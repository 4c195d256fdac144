//! Bytes through an open session, its two ends, and what a handshake lets out.

use rustls::AlertDescription;

use super::*;

/// Bytes that are easily distinguished from any others.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 % 251) as u8).collect()
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn not_one_byte_of_a_query_leaves_before_the_handshake_is_done() {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let upstream = upstream(&strict(name(NAME)), &authority);
        let server = server_with(&certificate, &[version], &[b"dot"]);
        let mut pair = Pair::new(
            upstream.connect(true, KeyExchange::Hybrid).unwrap(),
            &server,
        );
        pair.frames = pattern(1000);
        for _ in 0..ROUNDS {
            let open = !pair.client.is_handshaking();
            pair.write().unwrap();
            assert_eq!(
                pair.frames.is_empty(),
                open,
                "frames wait exactly for the handshake"
            );
            pair.serve();
            if open {
                break;
            }
            assert_eq!(pair.arrived, b"");
            pair.read().unwrap();
        }
        assert_eq!(pair.arrived, pattern(1000));
        assert!(
            !contains(&pair.socket.sent, &pattern(1000)[..16]),
            "in the clear"
        );
    }
}

#[test]
fn a_refused_upstream_gets_an_alert_and_nothing_else_ever() {
    let certificate = TestAuthority::new()
        .unwrap()
        .issue(&Leaf::for_name(NAME))
        .unwrap();
    let upstream = upstream(&strict(name(NAME)), &TestAuthority::new().unwrap());
    let mut pair = Pair::new(
        upstream.connect(true, KeyExchange::Hybrid).unwrap(),
        &server(&certificate),
    );
    pair.frames = pattern(1000);
    assert_eq!(pair.settle(), Err(TlsFailure::UnknownIssuer));
    assert!(!pair.socket.outbound.is_empty(), "the alert");
    pair.serve();
    let sent = pair.socket.sent.len();
    assert_eq!(pair.write(), Err(TlsFailure::UnknownIssuer));
    assert_eq!(pair.read(), Err(TlsFailure::UnknownIssuer));
    assert_eq!(pair.socket.sent.len(), sent);
    assert_eq!(pair.arrived, b"");
    assert_eq!(pair.frames, pattern(1000));
    assert_eq!(pair.client.facts(), None);
}

#[test]
fn a_rejected_alpn_protocol_is_reported_and_works_without_it() {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let upstream = upstream(&strict(name(NAME)), &authority);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let server = server_with(&certificate, &[version], &[b"h2"]);
        let failure = handshake(&upstream, &server, true).err().unwrap();
        assert_eq!(failure, TlsFailure::AlpnRejected);
        assert!(failure.is_alpn_rejected());
        let pair = handshake(&upstream, &server, false).unwrap();
        assert_eq!(pair.facts().alpn, None);
    }
}

#[test]
fn an_upstream_that_knows_no_protocol_names_is_taken_as_it_is() {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let upstream = upstream(&strict(name(NAME)), &authority);
    let server = server_with(&certificate, rustls::ALL_VERSIONS, &[]);
    let pair = handshake(&upstream, &server, true).unwrap();
    assert_eq!(pair.facts().alpn, None);
}

#[test]
fn a_server_with_tls_1_2_alone_works() {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let upstream = upstream(&strict(name(NAME)), &authority);
    let server = server_with(&certificate, &[&rustls::version::TLS12], &[b"dot"]);
    let mut pair = handshake(&upstream, &server, true).unwrap();
    assert_eq!(pair.facts().version, "TLS 1.2");
    assert_eq!(
        pair.facts().cipher_suite,
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    );
    pair.frames = pattern(300);
    pair.settle().unwrap();
    assert_eq!(pair.arrived, pattern(300));
}

#[test]
fn large_transfers_arrive_whole_in_any_segments() {
    for segment in [1_000, 4_096, 16_385, usize::MAX] {
        let mut pair = open_pair();
        pair.socket.segment = segment;
        pair.frames = pattern(300_000);
        pair.server.writer().write_all(&pattern(500_000)).unwrap();
        pair.settle().unwrap();
        assert!(pair.arrived == pattern(300_000), "segments of {segment}");
        assert!(pair.received == pattern(500_000), "segments of {segment}");
    }
}

#[test]
fn a_handshake_in_single_bytes_works() {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let upstream = upstream(&strict(name(NAME)), &authority);
    let mut pair = Pair::new(
        upstream.connect(true, KeyExchange::Hybrid).unwrap(),
        &server(&certificate),
    );
    pair.socket.segment = 1;
    pair.settle().unwrap();
    assert_eq!(pair.handshakes_done, 1);
}

#[test]
fn a_read_shows_whether_the_socket_may_have_more() {
    let mut pair = open_pair();
    pair.server.writer().write_all(&pattern(100)).unwrap();
    pair.serve();
    let length = pair.socket.inbound.len();
    pair.buffer = vec![0; length];
    let full = pair.read().unwrap();
    assert!(full.maybe_more && !full.would_block);
    let nothing = pair.read().unwrap();
    assert!(!nothing.maybe_more && nothing.would_block);
    pair.server.writer().write_all(&pattern(100)).unwrap();
    pair.serve();
    pair.buffer = vec![0; length + 1];
    let short = pair.read().unwrap();
    assert!(!short.maybe_more && !short.would_block);
}

#[test]
fn a_flush_is_one_write_and_one_record_for_each_16_kib() {
    for (length, records) in [(130, 1), (16_640, 2), (60_000, 4)] {
        let mut pair = open_pair();
        let (calls, sent) = (pair.socket.write_calls, pair.socket.sent.len());
        pair.frames = pattern(length);
        assert_eq!(pair.write().map(|state| state.wants_writable), Ok(false));
        assert_eq!(pair.socket.write_calls - calls, 1, "{length} bytes");
        // A record of TLS 1.3 adds five bytes of header, a type and sixteen of authentication.
        assert_eq!(pair.socket.sent.len() - sent, length + records * 22);
        assert_eq!(pair.write().map(|state| state.wants_writable), Ok(false));
        assert_eq!(
            pair.socket.write_calls - calls,
            1,
            "nothing left, nothing written"
        );
    }
}

#[test]
fn a_full_socket_keeps_the_rest_for_later() {
    let mut pair = open_pair();
    let length = 200_000;
    pair.frames = pattern(length);
    pair.socket.room = 30_000;
    let calls = pair.socket.write_calls;
    assert_eq!(pair.write().map(|state| state.wants_writable), Ok(true));
    assert_eq!(
        pair.socket.write_calls - calls,
        1,
        "a short write is the last one"
    );
    assert!(
        pair.frames.len() >= length - 65_536,
        "at most 64 KiB are encrypted ahead"
    );
    // What went out made room for as much again, and then no more.
    assert_eq!(pair.write().map(|state| state.wants_writable), Ok(true));
    let left = pair.frames.len();
    assert!(left >= length - 65_536 - 30_000, "{left}");
    assert_eq!(pair.write().map(|state| state.wants_writable), Ok(true));
    assert_eq!(
        pair.frames.len(),
        left,
        "nothing is taken while nothing goes out"
    );

    for _ in 0..ROUNDS {
        pair.serve();
        if !pair.write().unwrap().wants_writable {
            break;
        }
    }
    pair.serve();
    assert!(pair.arrived == pattern(length), "all of it, in order");
    assert!(pair.frames.is_empty() && !pair.client.wants_write());
}

#[test]
fn close_notify_and_the_end_of_the_stream_are_distinguished() {
    let mut pair = open_pair();
    pair.socket.ended = true;
    assert_eq!(pair.read().unwrap().peer_closed, Some(Close::Fin));

    let mut pair = open_pair();
    pair.server.writer().write_all(b"last words").unwrap();
    pair.server.send_close_notify();
    pair.socket.ended = true;
    pair.settle().unwrap();
    assert_eq!(pair.received, b"last words");
    assert_eq!(pair.last.peer_closed, Some(Close::Notify));
    assert_eq!(
        pair.read().unwrap().peer_closed,
        Some(Close::Notify),
        "the FIN changes nothing"
    );
}

#[test]
fn after_close_notify_the_other_direction_stays_open() {
    let mut pair = open_pair();
    pair.server.send_close_notify();
    pair.settle().unwrap();
    assert_eq!(pair.last.peer_closed, Some(Close::Notify));
    pair.frames = pattern(50);
    pair.settle().unwrap();
    assert_eq!(pair.arrived, pattern(50));
}

#[test]
fn our_close_notify_is_sent_once_and_nothing_after_it() {
    let mut pair = open_pair();
    pair.frames = pattern(50);
    pair.write().unwrap();
    pair.client.close_notify();
    pair.client.close_notify();
    pair.frames = pattern(70);
    assert_eq!(pair.write().map(|state| state.wants_writable), Ok(false));
    assert_eq!(pair.frames, pattern(70), "it stays");
    let sent = pair.socket.sent.len();
    pair.write().unwrap();
    assert_eq!(pair.socket.sent.len(), sent);
    let outbound = std::mem::take(&mut pair.socket.outbound);
    let mut bytes = outbound.as_slice();
    while !bytes.is_empty() {
        assert!(pair.server.read_tls(&mut bytes).unwrap() > 0);
        pair.server.process_new_packets().unwrap();
    }
    let mut arrived = Vec::new();
    // No error: the end was announced by close_notify.
    pair.server.reader().read_to_end(&mut arrived).unwrap();
    assert_eq!(arrived, pattern(50));
}

/// A session whose ClientHello is sent and not answered.
fn greeted_pair() -> Pair {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let upstream = upstream(&strict(name(NAME)), &authority);
    let tls = upstream.connect(true, KeyExchange::Hybrid).unwrap();
    let mut pair = Pair::new(tls, &server(&certificate));
    pair.write().unwrap();
    pair
}

#[test]
fn an_upstream_that_closes_in_the_handshake_is_reported() {
    let mut pair = greeted_pair();
    pair.socket.ended = true;
    assert_eq!(pair.read(), Err(TlsFailure::ClosedInHandshake));

    let mut pair = greeted_pair();
    pair.socket.reset = true;
    assert_eq!(pair.read(), Err(TlsFailure::Reset));
}

#[test]
fn a_peer_that_does_not_speak_tls_is_reported() {
    let dns: &[u8] = &[0, 12, 0xab, 0xcd, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for answer in [b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(), dns] {
        let mut pair = greeted_pair();
        pair.socket.inbound.extend(answer);
        assert_eq!(pair.read(), Err(TlsFailure::NotTls));
    }
}

#[test]
fn an_alert_is_reported_by_its_name() {
    let mut pair = greeted_pair();
    // A record of type alert with the fatal alert handshake_failure.
    pair.socket.inbound.extend([0x15, 3, 3, 0, 2, 2, 40]);
    let failure = pair.read().unwrap_err();
    assert_eq!(
        failure,
        TlsFailure::Alert(AlertDescription::HandshakeFailure)
    );
    assert_eq!(
        failure.text(),
        "the upstream sent the TLS alert handshake_failure"
    );
    assert_eq!(
        failure.fault().text(),
        "tls: the upstream sent the alert handshake_failure"
    );
    assert!(!failure.is_alpn_rejected());
}

#[test]
fn an_altered_record_ends_the_session_and_gives_no_byte() {
    let mut pair = open_pair();
    pair.server.writer().write_all(b"genuine").unwrap();
    pair.serve();
    pair.read().unwrap();
    pair.server.writer().write_all(b"altered").unwrap();
    pair.serve();
    let last = pair.socket.inbound.back_mut().unwrap();
    *last ^= 1;
    assert_eq!(
        pair.read(),
        Err(TlsFailure::Protocol(rustls::Error::DecryptError))
    );
    assert_eq!(pair.received, b"genuine");
}
