//! Clients over QUIC, as the driver reports them: whose addresses have to be validated, and what their messages may not have.

use std::net::IpAddr;
use std::num::NonZeroU32;

use dotgate_message::{Compose as _, query};

use super::lab::{Lab, settings};
use crate::admit::RateSettings;
use crate::counters::labels::StreamEnd;
use crate::limits;
use crate::settings::Settings;
use crate::stream::StreamKind;

fn client(number: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, u8::try_from(number).unwrap()])
}

/// With room for more connections than matter here.
fn lab() -> Lab {
    Lab::with(Settings {
        streams_max: 1_000,
        streams_per_client_max: 1_000,
        ..settings(1)
    })
}

#[test]
fn above_some_handshakes_in_progress_addresses_have_to_be_validated() {
    let mut lab = lab();
    let mut streams = Vec::new();
    for number in 0..limits::STREAM_HANDSHAKES_UNVALIDATED {
        assert!(
            !lab.engine.clients().must_validate(client(number)),
            "{number}"
        );
        let kind = StreamKind::Doq;
        let opened = lab
            .engine
            .clients_mut()
            .stream_opened(lab.now, (client(number), kind).into());
        streams.push(opened.unwrap());
    }
    assert!(lab.engine.clients().must_validate(client(250)));
    lab.engine
        .clients_mut()
        .stream_secured(lab.now, streams[0], false);
    assert!(!lab.engine.clients().must_validate(client(250)));
}

#[test]
fn above_some_handshakes_of_one_address_it_has_to_be_validated() {
    let mut lab = lab();
    for _ in 0..limits::STREAM_HANDSHAKES_UNVALIDATED_PER_CLIENT {
        assert!(!lab.engine.clients().must_validate(client(1)));
        let kind = StreamKind::Doq;
        let opened = lab
            .engine
            .clients_mut()
            .stream_opened(lab.now, (client(1), kind).into());
        assert!(opened.is_some());
    }
    assert!(lab.engine.clients().must_validate(client(1)));
    assert!(!lab.engine.clients().must_validate(client(2)));
}

#[test]
fn where_a_rate_is_charged_to_addresses_they_have_to_be_validated() {
    for rates in [
        RateSettings {
            connections: NonZeroU32::new(9),
            ..RateSettings::OFF
        },
        RateSettings {
            handshakes: NonZeroU32::new(9),
            ..RateSettings::OFF
        },
    ] {
        let lab = Lab::with(Settings {
            rates,
            ..settings(1)
        });
        assert!(lab.engine.clients().must_validate(client(1)));
    }
}

#[test]
fn a_keepalive_ends_the_connection() {
    let mut lab = Lab::opened(1);
    let stream = lab.connect_by(StreamKind::Doq, "192.0.2.9").unwrap();
    lab.engine
        .clients_mut()
        .stream_secured(lab.now, stream, false);
    let mut asked = query(0, "x.localhost").with_edns();
    *asked.last_mut().unwrap() = 4;
    asked.extend([0, 11, 0, 0]);
    lab.engine.stream_message(lab.now, stream, None, &asked);
    lab.settle();
    assert_eq!(lab.closed_streams, [stream]);
    let clients = lab.engine.counters().clients();
    assert_eq!(clients.stream_ends(StreamEnd::Quic), 1);
}
