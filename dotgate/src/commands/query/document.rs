//! What `dotgate query --json` prints: one object with all that the lines for a person say.
//!
//! `docs/query.md` has the members. Within `schema` 1 members are added and none is changed or taken away. Text that
//! somebody else wrote is in JSON strings, where control characters are escaped.

use std::io;

use domain::base::ToName as _;
use domain::base::iana::{OptRcode, Rtype};
use domain::base::message::RecordSection;
use domain::base::wire::ParseError;
use dotgate_config::UpstreamConfig;
use dotgate_tls::{CertificateFacts, HandshakeFacts, UnixTime};
use serde::Serialize;

use super::client::Response;
use super::conclusion::{Conclusion, extended_error};
use super::message::{data_text, flag_names};
use super::probe::{Alpn, Pipelined, Probe, ProbeFailure, Resumption};
use super::question::QueryName;
use super::report::failure_text;
use super::rule::Rule;

/// The version of the schema.
const SCHEMA: u32 = 1;

/// The document. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    schema: u32,
    /// The name that was asked, as an A-label and with its last dot.
    name: String,
    /// The name that was typed, where it has other letters.
    typed: Option<String>,
    record_type: String,
    /// What decides who answers; empty if another server was asked.
    #[serde(flatten)]
    rule: Rule,
    /// Each upstream, as it was looked at before the question was asked.
    upstreams: Vec<UpstreamDocument>,
    response: Option<ResponseDocument>,
    /// `answered`, `error` or `no response`.
    outcome: &'static str,
    /// The outcome in words.
    summary: String,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct UpstreamDocument {
    upstream: String,
    /// `dot` or `plain`.
    transport: &'static str,
    /// What its certificate must be.
    demanded: String,
    address: Option<String>,
    connect_ms: Option<f64>,
    handshake_ms: Option<f64>,
    tls: Option<TlsDocument>,
    /// How a hybrid handshake failed before this classical one, as a large ClientHello does on some paths.
    fell_back: Option<String>,
    /// Whether it is what is demanded. If not, the data in `tls` is not verified.
    authenticated: bool,
    /// Where it ended, and why.
    failure: Option<String>,
    response_rcode: Option<String>,
    response_ms: Option<f64>,
    /// Whether a response overtook that of a question asked before.
    answers_out_of_order: Option<bool>,
    /// The idle limit that it offers, in seconds.
    keepalive_seconds: Option<f64>,
    resumes_sessions: Option<bool>,
}

#[derive(Debug, Serialize)]
struct TlsDocument {
    version: &'static str,
    cipher_suite: &'static str,
    key_exchange: Option<String>,
    alpn: Option<String>,
    certificate: Option<CertificateDocument>,
}

#[derive(Debug, Serialize)]
struct CertificateDocument {
    names: Vec<String>,
    issuer: String,
    days_left: i64,
    /// As `DNS_HOST` takes it, behind `;pin=`.
    pin: String,
}

#[derive(Debug, Serialize)]
struct ResponseDocument {
    /// Who answered: an upstream, the address of a server, or `dotgate` itself.
    server: String,
    took_ms: f64,
    rcode: String,
    flags: Vec<&'static str>,
    /// The first Extended DNS Error.
    extended_error: Option<ExtendedError>,
    answer: Vec<RecordDocument>,
    authority: Vec<RecordDocument>,
    additional: Vec<RecordDocument>,
}

#[derive(Debug, Serialize)]
struct ExtendedError {
    code: u16,
    text: String,
}

#[derive(Debug, Serialize)]
struct RecordDocument {
    name: String,
    ttl: u32,
    class: String,
    record_type: String,
    data: String,
}

impl Document {
    pub(super) fn new(
        asked: &QueryName,
        record_type: Rtype,
        (upstreams, rule): (Vec<UpstreamDocument>, Rule),
        response: Option<(&Response, String)>,
        conclusion: &Conclusion,
    ) -> Document {
        Document {
            schema: SCHEMA,
            name: asked.name.fmt_with_dot().to_string(),
            typed: asked.typed.clone(),
            record_type: record_type.to_string(),
            rule,
            upstreams,
            response: response.map(|(response, server)| ResponseDocument::of(response, server)),
            outcome: conclusion.word(),
            summary: conclusion.to_string(),
        }
    }

    /// Writes it in one line.
    pub(super) fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }
}

impl UpstreamDocument {
    /// A plain upstream, of which nothing is known before it is asked.
    pub(super) fn of_plain(upstream: &UpstreamConfig) -> UpstreamDocument {
        UpstreamDocument {
            upstream: upstream.label.clone(),
            transport: "plain",
            demanded: upstream.demand(),
            ..UpstreamDocument::default()
        }
    }

    /// A plain upstream that was asked over UDP, with its response or the reason for none.
    pub(super) fn of_plain_asked(
        upstream: &UpstreamConfig,
        outcome: Result<Response, String>,
    ) -> UpstreamDocument {
        let document = UpstreamDocument::of_plain(upstream);
        match outcome {
            Ok(response) => UpstreamDocument {
                address: Some(response.server.to_string()),
                response_rcode: Some(response.message.opt_rcode().to_string()),
                response_ms: Some(millis(response.took)),
                ..document
            },
            Err(failure) => UpstreamDocument {
                failure: Some(failure),
                ..document
            },
        }
    }

    /// Whether it responded without error, and is what is demanded.
    pub(super) fn is_healthy(&self) -> bool {
        self.failure.is_none() && self.response_rcode.as_deref() == Some("NOERROR")
    }

    /// It in one line.
    pub(super) fn line(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.failure.clone());
        parts.extend(self.address.clone());
        let in_time = |what: &str, time: f64| format!("{what} {time:.1} ms");
        parts.extend(self.connect_ms.map(|time| in_time("connect", time)));
        parts.extend(self.handshake_ms.map(|time| in_time("handshake", time)));
        if let Some(tls) = &self.tls {
            parts.push(tls.version.to_owned());
            parts.extend(tls.key_exchange.clone());
            let certificate = tls.certificate.as_ref();
            parts.extend(certificate.map(|it| format!("certificate {} days", it.days_left)));
        }
        if let (Some(rcode), Some(time)) = (&self.response_rcode, self.response_ms) {
            parts.push(in_time(&format!("response {rcode}"), time));
        } else if self.failure.is_none() {
            parts.push("no response".to_owned());
        }
        let outcome = if self.is_healthy() { "OK" } else { "FAILED" };
        format!("{}: {outcome}: {}", self.upstream, parts.join(", "))
    }

    /// What to write behind an upstream to pin its key.
    pub(super) fn pin(&self) -> Option<String> {
        let certificate = self.tls.as_ref()?.certificate.as_ref()?;
        Some(format!("{};pin={}", self.upstream, certificate.pin))
    }

    pub(super) fn of(
        upstream: &UpstreamConfig,
        outcome: &Result<Probe, ProbeFailure>,
    ) -> UpstreamDocument {
        let document = UpstreamDocument {
            transport: "dot",
            ..UpstreamDocument::of_plain(upstream)
        };
        match outcome {
            Ok(probe) => document.with_probe(probe),
            Err(ProbeFailure::Name(problem)) => UpstreamDocument {
                failure: Some(format!("bootstrap: {problem}")),
                ..document
            },
            Err(ProbeFailure::Session {
                address,
                failure,
                shown,
            }) => UpstreamDocument {
                address: Some(address.to_string()),
                tls: shown.as_deref().map(|facts| TlsDocument::of(facts, None)),
                failure: Some(failure_text(failure)),
                ..document
            },
        }
    }

    fn with_probe(self, probe: &Probe) -> UpstreamDocument {
        let alpn = match &probe.alpn {
            Alpn::Chosen(chosen) => chosen.clone(),
            Alpn::Refused => None,
        };
        let document = UpstreamDocument {
            address: Some(probe.address.to_string()),
            connect_ms: Some(millis(probe.connect)),
            handshake_ms: Some(millis(probe.handshake)),
            tls: Some(TlsDocument::of(&probe.facts, alpn)),
            fell_back: probe.fell_back.as_ref().map(failure_text),
            authenticated: true,
            resumes_sessions: Some(matches!(probe.resumption, Resumption::Resumed(_))),
            ..self
        };
        match &probe.pipelined {
            Ok(pipelined) => document.with_responses(pipelined),
            Err(failure) => UpstreamDocument {
                failure: Some(failure_text(failure)),
                ..document
            },
        }
    }

    fn with_responses(self, pipelined: &Pipelined) -> UpstreamDocument {
        let rcode = |code| OptRcode::masked_from_int(code).to_string();
        UpstreamDocument {
            response_rcode: pipelined.response.map(|(code, _)| rcode(code)),
            response_ms: pipelined.response.map(|(_, took)| millis(took)),
            answers_out_of_order: Some(pipelined.is_out_of_order),
            keepalive_seconds: pipelined.keepalive.map(|tenths| f64::from(tenths) / 10.0),
            ..self
        }
    }
}

impl TlsDocument {
    fn of(facts: &HandshakeFacts, alpn: Option<String>) -> TlsDocument {
        let certificate = facts.certificates.first().map(CertificateFacts::read);
        TlsDocument {
            version: facts.version,
            cipher_suite: facts.cipher_suite,
            key_exchange: facts.key_exchange.clone(),
            alpn,
            certificate: certificate
                .and_then(Result::ok)
                .map(|certificate| CertificateDocument {
                    days_left: certificate.days_left(UnixTime::now()),
                    pin: certificate.pin_text(),
                    names: certificate.names,
                    issuer: certificate.issuer,
                }),
        }
    }
}

impl ResponseDocument {
    fn of(response: &Response, server: String) -> ResponseDocument {
        let message = &response.message;
        ResponseDocument {
            server,
            took_ms: millis(response.took),
            rcode: message.opt_rcode().to_string(),
            flags: flag_names(message.header()).collect(),
            extended_error: extended_error(message)
                .map(|(code, text)| ExtendedError { code, text }),
            answer: records(message.answer()),
            authority: records(message.authority()),
            additional: records(message.additional()),
        }
    }
}

/// The records of a section, up to the first that cannot be parsed; the OPT record is none.
fn records(section: Result<RecordSection<'_, Vec<u8>>, ParseError>) -> Vec<RecordDocument> {
    let Ok(section) = section else {
        return Vec::new();
    };
    let records = section.map_while(Result::ok);
    let records = records.filter(|record| record.rtype() != Rtype::OPT);
    let documents = records.map(|record| RecordDocument {
        name: record.owner().fmt_with_dot().to_string(),
        ttl: record.ttl().as_secs(),
        class: record.class().to_string(),
        record_type: record.rtype().to_string(),
        data: data_text(&record),
    });
    documents.collect()
}

/// Microseconds are exact enough.
fn millis(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
