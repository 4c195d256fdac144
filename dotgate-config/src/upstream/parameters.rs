//! What follows an upstream, `;KEY=VALUE` each: the keys that it may have and where queries to it leave from.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::path::PathBuf;

use data_encoding::BASE64;
use dotgate_net::Egress;

use super::super::address::is_interface_name;
use super::super::fault::{Fault, PINS_MAX};
use super::super::numbers::digits;
use super::{Pin, read_address};

/// A parameter that an upstream may have in the one-line form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Parameter {
    Pin,
    PinReport,
    ClientCert,
    ClientKey,
    Source,
    Interface,
    Mark,
    Weight,
}

impl Parameter {
    /// All of them, in the order in which they are described.
    const ALL: [Parameter; 8] = [
        Parameter::Pin,
        Parameter::PinReport,
        Parameter::ClientCert,
        Parameter::ClientKey,
        Parameter::Source,
        Parameter::Interface,
        Parameter::Mark,
        Parameter::Weight,
    ];

    /// How it is written: its key, and the kind of its value.
    const fn form(self) -> (&'static str, &'static str) {
        match self {
            Parameter::Pin => ("pin", "sha256/BASE64"),
            Parameter::PinReport => ("pin-report", "sha256/BASE64"),
            Parameter::ClientCert => ("client-cert", "FILE"),
            Parameter::ClientKey => ("client-key", "FILE"),
            Parameter::Source => ("source", "ADDR"),
            Parameter::Interface => ("interface", "NAME"),
            Parameter::Mark => ("mark", "N"),
            Parameter::Weight => ("weight", "N"),
        }
    }

    /// How all of them are written, for people.
    pub(crate) fn forms() -> String {
        Parameter::ALL.map(|it| it.to_string()).join(", ")
    }

    fn of_key(key: &str) -> Option<Parameter> {
        Parameter::ALL.into_iter().find(|it| it.form().0 == key)
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value) = self.form();
        write!(f, "{key}={value}")
    }
}

/// The parameters of one upstream.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Parameters {
    pub(crate) pins: Vec<Pin>,
    pub(crate) report_pins: Vec<Pin>,
    pub(crate) client_cert: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
    pub(crate) egress: Egress,
    pub(crate) weight: Option<NonZeroU8>,
}

impl Parameters {
    /// Reads `KEY=VALUE` items. Pins may be repeated, everything else is there once.
    pub(super) fn read<'a>(items: impl Iterator<Item = &'a str>) -> Result<Parameters, Fault> {
        let mut parameters = Parameters::default();
        for item in items {
            let written = item.split_once('=');
            let known = written.and_then(|(key, value)| Some((Parameter::of_key(key)?, value)));
            let (parameter, value) = known.ok_or_else(|| Fault::UnknownParameter {
                item: item.to_owned(),
                known: Parameter::forms(),
            })?;
            let egress = &mut parameters.egress;
            match parameter {
                Parameter::Pin => parameters.pins.push(read_pin(value)?),
                Parameter::PinReport => parameters.report_pins.push(read_pin(value)?),
                Parameter::ClientCert => {
                    set(&mut parameters.client_cert, read_path(value)?, item)?;
                }
                Parameter::ClientKey => set(&mut parameters.client_key, read_path(value)?, item)?,
                Parameter::Source => set(&mut egress.source, read_source(value)?, item)?,
                Parameter::Interface => set(&mut egress.interface, read_interface(value)?, item)?,
                Parameter::Mark => set(&mut egress.mark, read_mark(value)?, item)?,
                Parameter::Weight => set(&mut parameters.weight, read_weight(value)?, item)?,
            }
        }
        check_pins(&parameters.pins)?;
        check_pins(&parameters.report_pins)?;
        Ok(parameters)
    }

    /// Whether one of them is about TLS.
    pub(super) fn are_of_tls(&self) -> bool {
        let has_pins = !self.pins.is_empty() || !self.report_pins.is_empty();
        has_pins || self.client_cert.is_some() || self.client_key.is_some()
    }

    /// Finds a key without its certificate.
    pub(super) fn check_client(&self) -> Result<(), Fault> {
        match (&self.client_cert, &self.client_key) {
            (None, Some(key)) => Err(Fault::ClientKeyAlone {
                item: key.display().to_string(),
            }),
            (Some(_), _) | (None, None) => Ok(()),
        }
    }

    /// Finds a source address that cannot reach `target`.
    pub(crate) fn check_source(&self, target: IpAddr) -> Result<(), Fault> {
        match self.egress.source {
            Some(from) if from.is_ipv4() != target.is_ipv4() => {
                Err(Fault::OtherFamily { from, target })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// How an upstream's label shows where its queries leave from: two upstreams may differ in that alone.
pub(super) fn suffix(egress: &Egress) -> String {
    let Egress {
        source,
        interface,
        mark,
    } = egress;
    let mut text = String::new();
    if let Some(source) = source {
        text += &format!(";source={source}");
    }
    if let Some(interface) = interface {
        text += &format!(";interface={interface}");
    }
    if let Some(mark) = mark {
        text += &format!(";mark={mark}");
    }
    text
}

fn set<T>(place: &mut Option<T>, value: T, item: &str) -> Result<(), Fault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::Duplicate {
            item: item.to_owned(),
        }),
    }
}

/// Reads pins, of which there may be none.
pub(crate) fn read_pins<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<Pin>, Fault> {
    let pins = texts.map(read_pin).collect::<Result<Vec<Pin>, Fault>>()?;
    check_pins(&pins)?;
    Ok(pins)
}

fn check_pins(pins: &[Pin]) -> Result<(), Fault> {
    match pins.len() {
        found if found > PINS_MAX => Err(Fault::TooManyPins { found }),
        _ => Ok(()),
    }
}

fn read_pin(text: &str) -> Result<Pin, Fault> {
    let digest = text
        .strip_prefix("sha256/")
        .and_then(|text| BASE64.decode(text.as_bytes()).ok());
    digest
        .and_then(|digest| Pin::try_from(digest).ok())
        .ok_or_else(|| Fault::NotAPin {
            item: text.to_owned(),
        })
}

/// Reads the path of a file.
pub(crate) fn read_path(text: &str) -> Result<PathBuf, Fault> {
    match text {
        "" => Err(Fault::Empty),
        _ => Ok(PathBuf::from(text)),
    }
}

/// Reads a source address. One that is link-local has the zone of the upstream's address.
pub(crate) fn read_source(text: &str) -> Result<IpAddr, Fault> {
    if let Ok(address) = text.parse::<IpAddr>()
        && !address.is_unspecified()
        && !address.is_multicast()
    {
        return Ok(address);
    }
    // Says what is wrong with it.
    read_address(text).map(|address| address.ip())
}

/// Reads an interface's name, which need not exist yet.
pub(crate) fn read_interface(text: &str) -> Result<String, Fault> {
    is_interface_name(text)
        .then(|| text.to_owned())
        .ok_or_else(|| Fault::NotAnInterface {
            item: text.to_owned(),
        })
}

/// Reads a mark, decimal or hexadecimal after `0x`, as ip-rule(8) takes them.
pub(crate) fn read_mark(text: &str) -> Result<u32, Fault> {
    let mark = match text.strip_prefix("0x") {
        Some(rest) if rest.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u32::from_str_radix(rest, 16).ok()
        }
        Some(_) => None,
        None => digits(text).and_then(|text| text.parse().ok()),
    };
    mark.ok_or_else(|| Fault::NotAMark {
        item: text.to_owned(),
    })
}

/// The heaviest upstream: so many times the queries of one that has no weight.
const WEIGHT_MAX: u8 = 100;

/// Reads an upstream's share of the queries of its group.
pub(crate) fn read_weight(text: &str) -> Result<NonZeroU8, Fault> {
    let weight = digits(text).and_then(|text| text.parse::<NonZeroU8>().ok());
    weight
        .filter(|weight| weight.get() <= WEIGHT_MAX)
        .ok_or_else(|| Fault::NotAWeight {
            item: text.to_owned(),
        })
}
