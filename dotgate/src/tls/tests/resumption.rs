//! Sessions resumed under one upstream's tickets, and never under another's.

use super::*;

struct Setting {
    authority: TestAuthority,
    server: Arc<ServerConfig>,
    pin: [u8; 32],
}

fn setting(versions: &[&'static SupportedProtocolVersion]) -> Setting {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let pin = pin_of(&certificate.chain[0]).unwrap();
    Setting {
        authority,
        server: server_with(&certificate, versions, &[b"dot"]),
        pin,
    }
}

fn resumed(upstream: &UpstreamTls, setting: &Setting, alpn: bool) -> bool {
    let pair = handshake(upstream, &setting.server, alpn).unwrap();
    let facts = pair.facts();
    assert_eq!(
        facts.certificates.len(),
        1,
        "a resumed session still shows its certificate"
    );
    facts.resumed
}

#[test]
fn a_second_session_is_resumed_in_both_versions() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let setting = setting(&[version]);
        let upstream = upstream(&strict(name(NAME)), &setting.authority);
        assert!(!resumed(&upstream, &setting, true), "{version:?}");
        assert!(resumed(&upstream, &setting, true), "{version:?}");
        assert!(resumed(&upstream, &setting, true), "{version:?}");
    }
}

#[test]
fn several_sessions_can_be_resumed_at_once() {
    let setting = setting(&[&rustls::version::TLS13]);
    let upstream = upstream(&strict(name(NAME)), &setting.authority);
    assert!(!resumed(&upstream, &setting, true));
    let mut both: Vec<Pair> = (0..2)
        .map(|_| Pair::new(upstream.connect(true).unwrap(), &setting.server))
        .collect();
    for pair in &mut both {
        pair.write().unwrap();
    }
    for pair in &mut both {
        pair.settle().unwrap();
        assert!(pair.facts().resumed);
    }
}

#[test]
fn a_session_without_the_protocol_name_resumes_one_with_it() {
    let setting = setting(&[&rustls::version::TLS13]);
    let upstream = upstream(&strict(name(NAME)), &setting.authority);
    assert!(!resumed(&upstream, &setting, true));
    assert!(resumed(&upstream, &setting, false));
}

#[test]
fn another_upstream_never_resumes_even_with_the_same_name() {
    let setting = setting(&[&rustls::version::TLS13]);
    let first = upstream(&strict(name(NAME)), &setting.authority);
    assert!(!resumed(&first, &setting, true));
    let second = upstream(&strict(name(NAME)), &setting.authority);
    assert!(!resumed(&second, &setting, true));
}

#[test]
fn pins_hold_for_a_session_that_could_be_resumed_without_them() {
    let setting = setting(&[&rustls::version::TLS13]);
    let without = upstream(&strict(name(NAME)), &setting.authority);
    assert!(!resumed(&without, &setting, true));

    let wrong = Authentication {
        pins: vec![[7; 32]],
        ..strict(name(NAME))
    };
    let wrong = upstream(&wrong, &setting.authority);
    let failure = handshake(&wrong, &setting.server, true).err();
    assert_eq!(
        failure,
        Some(TlsFailure::PinMismatch {
            presented: setting.pin
        })
    );

    let right = Authentication {
        pins: vec![setting.pin],
        ..strict(name(NAME))
    };
    let right = upstream(&right, &setting.authority);
    assert!(!resumed(&right, &setting, true));
    assert!(resumed(&right, &setting, true));
}

#[test]
fn a_refused_certificate_leaves_no_ticket_behind() {
    let setting = setting(&[&rustls::version::TLS13]);
    let upstream = upstream(&strict(name("other.example.test")), &setting.authority);
    for _ in 0..2 {
        let failure = handshake(&upstream, &setting.server, true).err().unwrap();
        assert_eq!(failure.label(), "certificate_for_another_name");
    }
}
