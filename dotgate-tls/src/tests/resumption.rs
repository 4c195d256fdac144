//! Sessions resumed under one upstream's tickets, and never under another's.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

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
        .map(|_| {
            Pair::new(
                upstream.connect(true, KeyExchange::Hybrid).unwrap(),
                &setting.server,
            )
        })
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

/// A clock that a test sets, in seconds since 1970.
#[derive(Debug)]
struct Clock(AtomicU64);

impl Clock {
    fn at(seconds: u64) -> Arc<Clock> {
        Arc::new(Clock(AtomicU64::new(seconds)))
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = Duration::from_secs(self.0.load(Relaxed));
        Some(UnixTime::since_unix_epoch(seconds))
    }
}

const HOUR: u64 = 3_600;

/// 2125-01-01T00:00:00Z: the end of the certificates that the tests' authority signs.
const END: u64 = 4_891_363_200;

/// An upstream whose certificate is judged by `clock`, after its first, full handshake.
fn upstream_at(setting: &Setting, clock: &Arc<Clock>) -> UpstreamTls {
    let roots = Roots::trusting(setting.authority.certificate()).unwrap();
    let time: Arc<dyn TimeProvider> = Arc::<Clock>::clone(clock);
    let upstream = UpstreamTls::with_time(&strict(name(NAME)), &roots, time).unwrap();
    assert!(!resumed(&upstream, setting, true));
    upstream
}

#[test]
fn a_certificate_that_has_ended_is_refused_though_a_session_could_be_resumed() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let setting = setting(&[version]);
        let clock = Clock::at(END - 60);
        let upstream = upstream_at(&setting, &clock);
        clock.0.store(END, Relaxed);
        assert!(resumed(&upstream, &setting, true), "its last second");
        clock.0.store(END + 1, Relaxed);
        let failure = handshake(&upstream, &setting.server, true).err();
        let failure = failure.unwrap();
        assert_eq!(failure.label(), "certificate_expired", "{failure}");
    }
}

#[test]
fn a_full_handshake_comes_after_a_day_of_resumed_ones() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let setting = setting(&[version]);
        let start = END / 2;
        let clock = Clock::at(start);
        let upstream = upstream_at(&setting, &clock);
        for hours in [6, 12, 18, 24] {
            clock.0.store(start + hours * HOUR, Relaxed);
            assert!(resumed(&upstream, &setting, true), "{hours} h");
        }
        clock.0.store(start + 24 * HOUR + 1, Relaxed);
        assert!(!resumed(&upstream, &setting, true));
        assert!(resumed(&upstream, &setting, true));
    }
}

#[test]
fn what_a_clock_that_was_wrong_accepted_is_not_resumed() {
    let setting = setting(&[&rustls::version::TLS13]);
    let wrong = END / 2;
    for right in [
        wrong - 1,
        wrong - 1_000 * 24 * HOUR,
        wrong + 1_000 * 24 * HOUR,
    ] {
        let clock = Clock::at(wrong);
        let upstream = upstream_at(&setting, &clock);
        clock.0.store(right, Relaxed);
        assert!(!resumed(&upstream, &setting, true), "{right}");
    }
}

#[test]
fn sessions_with_a_large_and_a_small_hello_resume_each_other() {
    let setting = setting(&[&rustls::version::TLS13]);
    let upstream = upstream(&strict(name(NAME)), &setting.authority);
    let settled = |key_exchange| {
        let client = upstream.connect(true, key_exchange).unwrap();
        let mut pair = Pair::new(client, &setting.server);
        pair.write().unwrap();
        let hello = pair.socket.sent.len();
        pair.settle().unwrap();
        (hello, pair.facts())
    };
    let (large, facts) = settled(KeyExchange::Hybrid);
    assert!(large > 1_400, "{large}");
    assert_eq!(facts.key_exchange.as_deref(), Some("X25519MLKEM768"));
    let (small, facts) = settled(KeyExchange::Classical);
    assert!(small < 700, "one segment, with its ticket: {small}");
    assert_eq!(facts.key_exchange.as_deref(), Some("X25519"));
    assert!(facts.resumed);
    let (large, facts) = settled(KeyExchange::Hybrid);
    assert!(large > 1_400, "as large as ever: {large}");
    assert!(facts.resumed);
}
