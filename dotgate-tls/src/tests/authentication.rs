//! Who passes as an upstream and who does not.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use dotgate_config::CertificateFiles;
use dotgate_testbed::certificates::{Purpose, Validity};
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::UnixTime;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;

use super::super::failure::EARLIEST_CREDIBLE_TIME;
use super::*;

/// The outcome of one handshake with a server that shows `certificate`.
fn outcome(
    authentication: &Authentication,
    authority: &TestAuthority,
    certificate: &ServerCertificate,
) -> Result<Pair, TlsFailure> {
    handshake(
        &upstream(authentication, authority),
        &server(certificate),
        true,
    )
}

/// The failure of one handshake with a server that shows what the test's own authority signed.
fn failure_of(identity: Identity, leaf: &Leaf) -> TlsFailure {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(leaf).unwrap();
    outcome(&strict(identity), &authority, &certificate)
        .err()
        .unwrap()
}

fn pinned(identity: Identity, pins: &[[u8; 32]]) -> Authentication {
    Authentication {
        pins: pins.to_vec(),
        ..strict(identity)
    }
}

fn pin(certificate: &ServerCertificate) -> [u8; 32] {
    pin_of(&certificate.chain[0]).unwrap()
}

#[test]
fn the_right_name_passes_and_the_facts_describe_the_session() {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let pair = outcome(&strict(name(NAME)), &authority, &certificate).unwrap();
    let facts = pair.facts();
    assert_eq!(facts.version, "TLS 1.3");
    assert_eq!(facts.cipher_suite, "TLS13_AES_256_GCM_SHA384");
    assert_eq!(facts.key_exchange.as_deref(), Some("X25519MLKEM768"));
    assert_eq!(facts.alpn.as_deref(), Some("dot"));
    assert!(!facts.resumed);
    assert_eq!(facts.certificates, certificate.chain);
    assert_eq!(pair.handshakes_done, 1);
}

#[test]
fn the_name_is_sent_as_sni_and_an_address_is_not() {
    let authority = TestAuthority::new().unwrap();
    let leaf = Leaf {
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        ..Leaf::for_name(NAME)
    };
    let certificate = authority.issue(&leaf).unwrap();
    let pair = outcome(&strict(name(NAME)), &authority, &certificate).unwrap();
    assert_eq!(pair.server.server_name(), Some(NAME));
    let identity = Identity::Address(Ipv4Addr::LOCALHOST.into());
    let pair = outcome(&strict(identity), &authority, &certificate).unwrap();
    assert_eq!(pair.server.server_name(), None);
}

#[test]
fn another_name_is_refused_with_the_names_presented() {
    let failure = failure_of(name("other.example.test"), &Leaf::for_name(NAME));
    let TlsFailure::CertificateForAnotherName { presented } = &failure else {
        panic!("{failure}")
    };
    assert_eq!(presented.len(), 1);
    assert!(presented[0].contains(NAME), "{presented:?}");
    assert_eq!(failure.label(), "certificate_for_another_name");
}

#[test]
fn the_common_name_is_never_looked_at() {
    let leaf = Leaf {
        common_name: Some(NAME.to_owned()),
        ..Leaf::default()
    };
    let failure = failure_of(name(NAME), &leaf);
    assert_eq!(
        failure,
        TlsFailure::CertificateForAnotherName {
            presented: Vec::new()
        }
    );
}

#[test]
fn a_certificate_that_ended_is_refused_as_expired() {
    let failure = failure_of(
        name(NAME),
        &Leaf {
            validity: Validity::Past,
            ..Leaf::for_name(NAME)
        },
    );
    let TlsFailure::CertificateExpired { days: Some(days) } = failure else {
        panic!("{failure}")
    };
    assert!(days > 8_000, "{days}");
    assert!(
        failure.text().starts_with("certificate expired "),
        "{failure}"
    );
}

#[test]
fn a_certificate_that_has_not_started_is_refused_as_such() {
    let leaf = Leaf {
        validity: Validity::Future,
        ..Leaf::for_name(NAME)
    };
    let failure = failure_of(name(NAME), &leaf);
    let TlsFailure::CertificateNotYetValid { days: Some(days) } = failure else {
        panic!("{failure}")
    };
    assert!(days > 30_000, "{days}");
    assert!(
        failure.text().starts_with("certificate not yet valid"),
        "{failure}"
    );
}

/// A clock that was never set: 1971.
#[derive(Debug)]
struct NeverSet;

impl TimeProvider for NeverSet {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            366 * 86_400,
        )))
    }
}

#[test]
fn a_clock_far_in_the_past_is_distinguished_from_a_bad_certificate() {
    let authority = TestAuthority::new().unwrap();
    let leaf = Leaf {
        validity: Validity::Future,
        ..Leaf::for_name(NAME)
    };
    let certificate = authority.issue(&leaf).unwrap();
    let roots = Roots::trusting(authority.certificate()).unwrap();
    let upstream = UpstreamTls::with_time(&strict(name(NAME)), &roots, Arc::new(NeverSet)).unwrap();
    let failure = handshake(&upstream, &server(&certificate), true)
        .err()
        .unwrap();
    assert_eq!(failure, TlsFailure::ClockLooksWrong);
    assert!(failure.text().starts_with("clock looks wrong"), "{failure}");
}

#[test]
fn an_authority_that_is_not_trusted_is_an_unknown_issuer() {
    let certificate = TestAuthority::new()
        .unwrap()
        .issue(&Leaf::for_name(NAME))
        .unwrap();
    let trusted = TestAuthority::new().unwrap();
    // The two authorities have one name and two keys, so the path ends at a signature.
    let failure = outcome(&strict(name(NAME)), &trusted, &certificate)
        .err()
        .unwrap();
    assert_eq!(failure, TlsFailure::UnknownIssuer);
}

#[test]
fn a_self_signed_certificate_is_reported_as_such() {
    let certificate = ServerCertificate::self_signed(&Leaf::for_name(NAME)).unwrap();
    let trusted = TestAuthority::new().unwrap();
    let failure = outcome(&strict(name(NAME)), &trusted, &certificate)
        .err()
        .unwrap();
    assert_eq!(failure, TlsFailure::SelfSigned);
    assert!(failure.text().contains("self-signed"), "{failure}");
}

/// The outcome of one handshake with a server that shows `shown`, where exactly `trusted` is trusted.
fn outcome_trusting(
    identity: Identity,
    trusted: &ServerCertificate,
    shown: &ServerCertificate,
) -> Result<Pair, TlsFailure> {
    let roots = Roots::trusting(&trusted.chain[0]).unwrap();
    let upstream = UpstreamTls::new(&strict(identity), &roots).unwrap();
    handshake(&upstream, &server(shown), true)
}

#[test]
fn a_self_signed_certificate_of_an_authority_passes_where_it_is_itself_trusted() {
    let leaf = Leaf {
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        ..Leaf::for_name(NAME)
    };
    let own = ServerCertificate::self_signed(&leaf).unwrap();
    for identity in [name(NAME), Identity::Address(Ipv4Addr::LOCALHOST.into())] {
        assert!(outcome_trusting(identity, &own, &own).is_ok());
    }
    let failure = outcome_trusting(name("other.example.test"), &own, &own).err();
    let failure = failure.unwrap();
    assert_eq!(failure.label(), "certificate_for_another_name", "{failure}");

    let same_name = ServerCertificate::self_signed(&leaf).unwrap();
    let failure = outcome_trusting(name(NAME), &own, &same_name).err();
    assert_eq!(failure, Some(TlsFailure::SelfSigned));
}

#[test]
fn a_trusted_certificate_counts_within_its_time_alone() {
    for (validity, label) in [
        (Validity::Past, "certificate_expired"),
        (Validity::Future, "certificate_not_yet_valid"),
    ] {
        let leaf = Leaf {
            validity,
            ..Leaf::for_name(NAME)
        };
        let own = ServerCertificate::self_signed(&leaf).unwrap();
        let failure = outcome_trusting(name(NAME), &own, &own).err().unwrap();
        assert_eq!(failure.label(), label, "{failure}");
    }
}

#[test]
fn a_trusted_certificate_must_be_for_servers_if_it_says_what_it_is_for() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new([NAME.to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    for (usages, passes) in [
        (vec![], true),
        (vec![rcgen::ExtendedKeyUsagePurpose::Any], true),
        (vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth], true),
        (vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth], false),
    ] {
        params.extended_key_usages = usages;
        let certificate = params.self_signed(&key).unwrap();
        let own = ServerCertificate {
            key_pem: key.serialize_pem(),
            chain: vec![certificate.der().clone()],
            pem: certificate.pem(),
            key: rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        };
        let outcome = outcome_trusting(name(NAME), &own, &own);
        assert_eq!(outcome.is_ok(), passes, "{:?}", outcome.err());
    }
}

#[test]
fn a_trusted_certificate_with_pins_must_pass_both() {
    let own = ServerCertificate::self_signed(&Leaf::for_name(NAME)).unwrap();
    let roots = Roots::trusting(&own.chain[0]).unwrap();
    let wrong = UpstreamTls::new(&pinned(name(NAME), &[[7; 32]]), &roots).unwrap();
    let failure = handshake(&wrong, &server(&own), true).err();
    let presented = pin(&own);
    assert_eq!(failure, Some(TlsFailure::PinMismatch { presented }));
}

#[test]
fn an_address_passes_only_where_the_certificate_carries_it() {
    let leaf = Leaf {
        addresses: vec![
            Ipv4Addr::new(192, 0, 2, 53).into(),
            Ipv6Addr::LOCALHOST.into(),
        ],
        ..Leaf::for_name(NAME)
    };
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&leaf).unwrap();
    for address in leaf.addresses {
        let identity = Identity::Address(address);
        assert!(
            outcome(&strict(identity), &authority, &certificate).is_ok(),
            "{address}"
        );
    }
    let other = Identity::Address(Ipv4Addr::new(192, 0, 2, 54).into());
    let failure = outcome(&strict(other), &authority, &certificate)
        .err()
        .unwrap();
    assert_eq!(failure.label(), "certificate_for_another_name");
}

#[test]
fn with_a_name_and_pins_both_must_pass() {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let right = pin(&certificate);
    let wrong = [7; 32];

    let backup_first = pinned(name(NAME), &[wrong, right]);
    assert!(outcome(&backup_first, &authority, &certificate).is_ok());

    let failure = outcome(&pinned(name(NAME), &[wrong]), &authority, &certificate)
        .err()
        .unwrap();
    assert_eq!(failure, TlsFailure::PinMismatch { presented: right });
    assert!(failure.text().contains(&pin_text(&right)), "{failure}");

    let other_name = pinned(name("other.example.test"), &[right]);
    let failure = outcome(&other_name, &authority, &certificate)
        .err()
        .unwrap();
    assert_eq!(failure.label(), "certificate_for_another_name");
}

#[test]
fn a_pin_alone_authenticates_a_certificate_that_nobody_vouches_for() {
    let leaf = Leaf {
        validity: Validity::Past,
        ..Leaf::for_name(NAME)
    };
    let certificate = ServerCertificate::self_signed(&leaf).unwrap();
    let other = TestAuthority::new().unwrap();
    let right = pin(&certificate);
    let pair = outcome(&pinned(Identity::PinOnly, &[right]), &other, &certificate).unwrap();
    assert_eq!(pair.server.server_name(), None);

    let wrong = pinned(Identity::PinOnly, &[[7; 32]]);
    let failure = outcome(&wrong, &other, &certificate).err().unwrap();
    assert_eq!(failure, TlsFailure::PinMismatch { presented: right });
}

#[test]
fn the_pin_of_a_certificate_above_is_not_enough() {
    let authority = TestAuthority::new().unwrap();
    let mut certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    certificate.chain.push(authority.certificate().clone());
    let above = pin_of(authority.certificate()).unwrap();
    let failure = outcome(
        &pinned(Identity::PinOnly, &[above]),
        &authority,
        &certificate,
    );
    let presented = pin(&certificate);
    assert_eq!(failure.err(), Some(TlsFailure::PinMismatch { presented }));
}

#[test]
fn with_a_name_the_pin_of_the_authority_that_vouches_for_it_passes() {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let above = pin_of(authority.certificate()).unwrap();
    let by_authority = pinned(name(NAME), &[above]);
    assert!(outcome(&by_authority, &authority, &certificate).is_ok());

    let other = TestAuthority::new().unwrap();
    let stranger = pin_of(other.certificate()).unwrap();
    let mut shown = certificate.clone();
    shown.chain.push(other.certificate().clone());
    let failure = outcome(&pinned(name(NAME), &[stranger]), &authority, &shown);
    let presented = pin(&certificate);
    assert_eq!(
        failure.err(),
        Some(TlsFailure::PinMismatch { presented }),
        "an authority that is merely shown proves nothing"
    );
}

#[test]
fn a_pin_to_report_fails_nothing_and_tells_the_key_that_came_instead() {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let right = pin(&certificate);
    let above = pin_of(authority.certificate()).unwrap();
    for (report_pins, expected) in [
        (vec![], None),
        (vec![right], None),
        (vec![above], None),
        (vec![[7; 32]], Some(right)),
    ] {
        let authentication = Authentication {
            report_pins,
            ..strict(name(NAME))
        };
        let upstream = upstream(&authentication, &authority);
        let pair = handshake(&upstream, &server(&certificate), true).unwrap();
        assert_eq!(upstream.pin_to_report(&pair.facts().certificates), expected);
    }
}

#[test]
fn an_upstream_that_asks_for_a_certificate_gets_that_of_the_settings() {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let own = Leaf {
        purpose: Purpose::Client,
        ..Leaf::for_name("client.example")
    };
    let own = authority.issue(&own).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{}{}", own.pem, own.key_pem)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let demanding = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())
        .unwrap();
    let demanding = Arc::new(demanding);
    let authentication = Authentication {
        client: Some(CertificateFiles {
            certificate: file.path().to_owned(),
            key: None,
        }),
        ..strict(name(NAME))
    };
    for (authentication, shown) in [
        (authentication, Some(own.chain.as_slice())),
        (strict(name(NAME)), None),
    ] {
        let upstream = upstream(&authentication, &authority);
        let mut pair = Pair::new(
            upstream.connect(false, KeyExchange::Classical).unwrap(),
            &demanding,
        );
        // With TLS 1.3 the client is done before the server has judged its certificate.
        assert_eq!(pair.settle().is_ok(), shown.is_some());
        assert_eq!(pair.server.peer_certificates(), shown);
    }
}

/// Shows one certificate and signs with the key of another.
#[derive(Debug)]
struct Impostor(Arc<rustls::sign::CertifiedKey>);

impl ResolvesServerCert for Impostor {
    fn resolve(
        &self,
        _hello: rustls::server::ClientHello<'_>,
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[test]
fn a_copied_certificate_without_its_key_never_passes() {
    let authority = TestAuthority::new().unwrap();
    let genuine = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let own = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&own.key).unwrap();
    let copied = Arc::new(rustls::sign::CertifiedKey::new(genuine.chain.clone(), key));
    let any = Authentication {
        strict: false,
        ..strict(name(NAME))
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Impostor(Arc::clone(&copied))));
        let server = Arc::new(server);
        for authentication in [
            &strict(name(NAME)),
            &pinned(Identity::PinOnly, &[pin(&genuine)]),
            &any,
        ] {
            let upstream = upstream(authentication, &authority);
            let failure = handshake(&upstream, &server, true).err().unwrap();
            assert_eq!(failure, TlsFailure::KeyNotProven);
        }
    }
}

#[test]
fn the_opportunistic_profile_takes_any_certificate() {
    let certificate = ServerCertificate::self_signed(&Leaf::for_name("elsewhere.test")).unwrap();
    let authority = TestAuthority::new().unwrap();
    let any = Authentication {
        strict: false,
        ..strict(name(NAME))
    };
    let pair = outcome(&any, &authority, &certificate).unwrap();
    assert_eq!(pair.server.server_name(), Some(NAME));
}

#[test]
fn what_could_authenticate_nobody_is_an_error_of_the_setup() {
    let roots = Roots::trusting(TestAuthority::new().unwrap().certificate()).unwrap();
    let nothing = strict(Identity::PinOnly);
    assert!(matches!(
        UpstreamTls::new(&nothing, &roots),
        Err(TlsSetupError::NothingToCheck)
    ));
    let contradiction = Authentication {
        strict: false,
        ..pinned(name(NAME), &[[7; 32]])
    };
    assert!(matches!(
        UpstreamTls::new(&contradiction, &roots),
        Err(TlsSetupError::PinsNotChecked)
    ));
}

#[test]
fn a_certificate_shows_its_names_days_and_pin() {
    let authority = TestAuthority::new().unwrap();
    let leaf = Leaf {
        addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        common_name: Some("demo".to_owned()),
        validity: Validity::Past,
        ..Leaf::for_name(NAME)
    };
    let certificate = authority.issue(&leaf).unwrap();
    let facts = CertificateFacts::read(&certificate.chain[0]).unwrap();
    assert_eq!(facts.names, [NAME, "127.0.0.1", "::1"]);
    assert_eq!(facts.subject, "CN=demo");
    assert_eq!(facts.issuer, "CN=dotgate demo authority");
    assert_eq!(facts.not_before, 978_307_200);
    assert_eq!(facts.not_after, 1_009_843_200);
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    assert_eq!(facts.days_left(at(1_009_843_200 - 3 * 86_400)), 3);
    assert_eq!(facts.days_left(at(1_009_843_200 + 1)), -1);
    assert_eq!(facts.pin, pin(&certificate));
}

#[test]
fn the_pin_is_that_of_the_key_and_outlives_the_certificate() {
    let authority = TestAuthority::new().unwrap();
    let certificate = authority.issue(&Leaf::for_name(NAME)).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&certificate.key).unwrap();
    let spki = key.public_key().unwrap();
    let hash = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .unwrap();
    assert_eq!(
        pin(&certificate),
        hash.common.hash_provider.hash(&spki).as_ref()
    );
}

#[test]
fn the_verifier_offers_no_signature_with_sha_1() {
    let provider = aws_lc_rs::default_provider();
    let verifier = verifier::Verifier::new(
        Arc::new(verifier::Check::Nothing),
        provider.signature_verification_algorithms,
        Arc::new(window::Window::new()),
    );
    let offered = verifier.supported_verify_schemes();
    assert!(!offered.contains(&rustls::SignatureScheme::RSA_PKCS1_SHA1));
    assert!(!offered.contains(&rustls::SignatureScheme::ECDSA_SHA1_Legacy));
    assert!(offered.contains(&rustls::SignatureScheme::ECDSA_NISTP256_SHA256));
}

/// A clock that a test sets, in seconds since 1970.
#[derive(Debug)]
struct Clock(AtomicU64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Relaxed);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

#[test]
fn without_a_clock_a_pin_is_enough_where_it_may_be_and_never_later() {
    let authority = TestAuthority::new().unwrap();
    // For another name, so that only its key speaks for it.
    let certificate = authority.issue(&Leaf::for_name("other.example")).unwrap();
    let roots = Roots::trusting(authority.certificate()).unwrap();
    let clockless = Authentication {
        pin_without_clock: true,
        ..pinned(name(NAME), &[pin(&certificate)])
    };
    let clock = Arc::new(Clock(AtomicU64::new(EARLIEST_CREDIBLE_TIME - 1)));
    let time: Arc<dyn TimeProvider> = Arc::<Clock>::clone(&clock);
    let upstream = UpstreamTls::with_time(&clockless, &roots, time).unwrap();
    assert!(handshake(&upstream, &server(&certificate), true).is_ok());
    // The same key again, resumed or not, once the clock can be right.
    clock.0.store(EARLIEST_CREDIBLE_TIME, Relaxed);
    let failure = handshake(&upstream, &server(&certificate), true).err();
    assert!(failure.is_some(), "accepted after the clock was set");

    clock.0.store(0, Relaxed);
    let time: Arc<dyn TimeProvider> = Arc::<Clock>::clone(&clock);
    let strict = pinned(name(NAME), &[pin(&certificate)]);
    let upstream = UpstreamTls::with_time(&strict, &roots, Arc::clone(&time)).unwrap();
    let failure = handshake(&upstream, &server(&certificate), true).err();
    assert!(failure.is_some(), "accepted by an upstream for all names");
    let wrong_pin = Authentication {
        pin_without_clock: true,
        ..pinned(name(NAME), &[[0; 32]])
    };
    let upstream = UpstreamTls::with_time(&wrong_pin, &roots, time).unwrap();
    let failure = handshake(&upstream, &server(&certificate), true).err();
    assert!(failure.is_some(), "accepted with another key");
}
