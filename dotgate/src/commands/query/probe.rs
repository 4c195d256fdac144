//! A look at one upstream: what its handshake shows, how it answers several questions at once, whether it resumes.
//!
//! It is between the command and its sessions. It opens two sessions to an upstream that is healthy, and one more
//! where ALPN is refused or a large ClientHello does not get through. Where the certificate does not pass, one
//! session without authentication shows it, and on that no query is ever sent. RFC 7766 section 6.2.1.1 (order of
//! responses), RFC 7828 (keepalive), RFC 8446 section 2.2 (resumption).

use std::net::SocketAddr;
use std::time::Duration;

use domain::base::iana::{Class, Rtype};
use dotgate_config::Authentication;
use dotgate_core::{KeyExchange, KeyExchangePolicy};
use dotgate_net::Egress;
use dotgate_tls::{HandshakeFacts, Roots, TlsFailure, UpstreamTls};
use dotgate_wire::{NameCase, Question, UpstreamQuery, UpstreamResponse, write_query};

use super::client::QueryParameters;
use super::session::{Offer, Session, SessionFailure};
use crate::bootstrap::LookupError;

/// The wire form of the root.
const ROOT: &[u8] = &[0];

/// One upstream and what is needed to look at it.
pub(super) struct Target<'a> {
    pub(super) authentication: &'a Authentication,
    pub(super) tls: &'a UpstreamTls,
    pub(super) roots: &'a Roots,
    /// Where connections leave from.
    pub(super) egress: &'a Egress,
    pub(super) key_exchange: KeyExchangePolicy,
    /// What all responses together may take.
    pub(super) wait: Duration,
}

/// What became of ALPN.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Alpn {
    /// The upstream chose this protocol, or none.
    Chosen(Option<String>),
    /// It refused the handshake until nothing was offered.
    Refused,
}

/// What the second session showed.
#[derive(Debug)]
pub(super) enum Resumption {
    /// It resumed the first.
    Resumed(Duration),
    /// It started again.
    Full(Duration),
    /// It did not come about.
    Failed(SessionFailure),
}

/// How several questions on one session were answered.
#[derive(Debug, Default)]
pub(super) struct Pipelined {
    /// How many were asked at once.
    pub(super) asked: usize,
    /// How many were answered in time.
    pub(super) answered: usize,
    /// The RCODE of the response to the question of interest, and the time it took.
    pub(super) response: Option<(u16, Duration)>,
    /// Whether a response overtook that of a question asked before.
    pub(super) is_out_of_order: bool,
    /// The idle limit that was offered, in units of 100 ms (RFC 7828 section 3.1).
    pub(super) keepalive: Option<u16>,
}

/// What is known of an upstream that is healthy.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) address: SocketAddr,
    pub(super) connect: Duration,
    pub(super) handshake: Duration,
    pub(super) facts: HandshakeFacts,
    /// Whether none of its pins to report matches.
    pub(super) has_pin_mismatch: bool,
    pub(super) alpn: Alpn,
    /// Why no hybrid handshake came about before this classical one.
    pub(super) fell_back: Option<SessionFailure>,
    /// The responses, or how the session ended before the last.
    pub(super) pipelined: Result<Pipelined, SessionFailure>,
    pub(super) resumption: Resumption,
}

/// Where it ended otherwise.
#[derive(Debug)]
pub(super) enum ProbeFailure {
    /// The name was not resolved.
    Name(LookupError),
    /// No session came about. If the certificate is at fault, these are the facts of a handshake that took it.
    Session {
        /// Where.
        address: SocketAddr,
        /// Why.
        failure: SessionFailure,
        /// Unverified data.
        shown: Option<Box<HandshakeFacts>>,
    },
}

/// The first session to an upstream.
struct Opened {
    session: Session,
    offer: Offer,
    fell_back: Option<SessionFailure>,
}

impl Target<'_> {
    /// Looks at the first address that takes a TCP connection; at least one must be given.
    pub(super) fn look_at_any(
        &self,
        addresses: &[SocketAddr],
        asked: &QueryParameters,
    ) -> Result<Probe, ProbeFailure> {
        let mut last = Err(ProbeFailure::Name(LookupError::NO_ADDRESS));
        for &address in addresses {
            last = self.look_at(address, asked);
            let is_closed = matches!(
                last,
                Err(ProbeFailure::Session {
                    failure: SessionFailure::Connect(_),
                    ..
                })
            );
            if !is_closed {
                break;
            }
        }
        last
    }

    fn look_at(&self, address: SocketAddr, asked: &QueryParameters) -> Result<Probe, ProbeFailure> {
        let opened = self.open(address);
        let Opened {
            mut session,
            offer,
            fell_back,
        } = opened.map_err(|failure| self.failed(address, failure))?;
        let alpn = match session.facts.alpn.clone() {
            chosen if offer.alpn => Alpn::Chosen(chosen),
            _ => Alpn::Refused,
        };
        let pipelined = pipeline(&mut session, asked, self.wait);
        let (connect, handshake) = (session.connect, session.handshake);
        let facts = session.facts.clone();
        session.close();
        let resumption = self.resume(address, offer);
        Ok(Probe {
            address,
            connect,
            handshake,
            has_pin_mismatch: self.tls.pin_to_report(&facts.certificates).is_some(),
            facts,
            alpn,
            fell_back,
            pipelined,
            resumption,
        })
    }

    /// Opens the first session, with less on offer where more is refused.
    fn open(&self, address: SocketAddr) -> Result<Opened, SessionFailure> {
        let mut offer = Offer {
            alpn: true,
            key_exchange: self.key_exchange.first(),
        };
        let mut fell_back = None;
        loop {
            match Session::open(address, self.egress, self.tls, offer) {
                Ok(session) => {
                    return Ok(Opened {
                        session,
                        offer,
                        fell_back,
                    });
                }
                Err(SessionFailure::Tls(failure)) if offer.alpn && failure.is_alpn_rejected() => {
                    offer.alpn = false;
                }
                Err(failure)
                    if self.key_exchange.falls_back()
                        && offer.key_exchange == KeyExchange::Hybrid
                        && failure.may_be_size() =>
                {
                    offer.key_exchange = KeyExchange::Classical;
                    fell_back = Some(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn resume(&self, address: SocketAddr, offer: Offer) -> Resumption {
        match Session::open(address, self.egress, self.tls, offer) {
            Ok(session) => {
                let (resumed, handshake) = (session.facts.resumed, session.handshake);
                session.close();
                if resumed {
                    Resumption::Resumed(handshake)
                } else {
                    Resumption::Full(handshake)
                }
            }
            Err(failure) => Resumption::Failed(failure),
        }
    }

    fn failed(&self, address: SocketAddr, failure: SessionFailure) -> ProbeFailure {
        let shown = match &failure {
            SessionFailure::Tls(reason) => self.look_without_trust(address, reason),
            SessionFailure::Connect(_) | SessionFailure::HandshakeTimedOut => None,
        };
        ProbeFailure::Session {
            address,
            failure,
            shown,
        }
    }

    /// The facts of a handshake in which any certificate passes, where a certificate was the reason. The session is
    /// closed again with nothing sent on it.
    fn look_without_trust(
        &self,
        address: SocketAddr,
        reason: &TlsFailure,
    ) -> Option<Box<HandshakeFacts>> {
        if !reason.fault().is_lasting() {
            return None;
        }
        let anybody = Authentication {
            identity: self.authentication.identity.clone(),
            pins: Vec::new(),
            report_pins: Vec::new(),
            client: None,
            pin_without_clock: false,
            strict: false,
        };
        let tls = UpstreamTls::new(&anybody, self.roots).ok()?;
        let offer = Offer {
            alpn: true,
            key_exchange: self.key_exchange.first(),
        };
        let session = Session::open(address, self.egress, &tls, offer).ok()?;
        let facts = session.facts.clone();
        session.close();
        Some(Box::new(facts))
    }
}

/// Asks several questions at once, the one of interest first: an answer that has to be fetched then comes after
/// those that every resolver has at hand.
fn pipeline(
    session: &mut Session,
    asked: &QueryParameters,
    wait: Duration,
) -> Result<Pipelined, SessionFailure> {
    let questions = questions(asked);
    let mut frames = Vec::new();
    for (id, question) in (0..).zip(&questions) {
        let query = UpstreamQuery {
            id,
            question,
            dnssec_ok: false,
            checking_disabled: false,
            edns: true,
            pads: true,
            name_case: NameCase::LOWER,
            asks_keepalive: id == 0,
        };
        write_query(&mut frames, &query);
    }
    let mut pipelined = Pipelined {
        asked: questions.len(),
        ..Pipelined::default()
    };
    let mut answer = UpstreamResponse::new();
    let mut waiting: Vec<u16> = (0..).take(questions.len()).collect();
    session.exchange(frames, wait, |message, took| {
        let place = answer.load(message).ok().and_then(|()| {
            let question = questions.get(usize::from(answer.id()))?;
            let is_right = question.matches(answer.question()) || answer.question().is_empty();
            let place = waiting.iter().position(|id| *id == answer.id());
            place.filter(|_| is_right)
        });
        let Some(place) = place else {
            return false;
        };
        waiting.remove(place);
        pipelined.answered += 1;
        pipelined.is_out_of_order |= place > 0;
        if answer.id() == 0 {
            pipelined.response = Some((answer.rcode(), took));
        }
        let keepalive = answer.edns().and_then(|edns| edns.keepalive);
        pipelined.keepalive = pipelined.keepalive.or(keepalive);
        waiting.is_empty()
    })?;
    Ok(pipelined)
}

/// The question of interest, then others for names that reveal nothing else.
fn questions(asked: &QueryParameters) -> Vec<Question> {
    let name = asked.name.as_slice();
    let mut questions: Vec<Question> = Vec::new();
    for (name, rtype) in [
        (name, asked.record_type),
        (name, Rtype::AAAA),
        (ROOT, Rtype::NS),
        (ROOT, Rtype::SOA),
    ] {
        let question = Question::new(name, rtype.to_int(), Class::IN.to_int());
        let is_new = |question: &Question| {
            !questions
                .iter()
                .any(|earlier| earlier.matches(question.as_bytes()))
        };
        if let Some(question) = question.filter(is_new) {
            questions.push(question);
        }
    }
    questions
}
