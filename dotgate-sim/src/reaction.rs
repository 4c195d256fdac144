//! What a scripted upstream does with one query: the reactions of its script, as bytes and endings of connections.

use std::time::Duration;

use dotgate_core::Link;

use crate::event::{Arrival, Event, Segment};
use crate::message::{self, OptForm, ResponseForm};
use crate::network::Network;
use crate::record::{BEGINNING, Path};
use crate::script::{Data, Invalid, Place, Reaction};

/// TTLs of changing data, in seconds.
const TTLS: [u32; 8] = [0, 1, 2, 5, 12, 30, 300, 86_400];

impl Network {
    /// Reacts to a query that takes the upstream `time`. Returns when the upstream has finished with it; none if it
    /// never does.
    pub(crate) fn react(
        &mut self,
        connection: usize,
        query: &[u8],
        reaction: Reaction,
        time: Duration,
    ) -> Option<Duration> {
        let right = self.right_form(connection, query);
        let is_over_udp = self.connections[connection].link == Link::Datagrams;
        let (form, later) = match reaction {
            Reaction::Invalid(Invalid::WrongCase, _) | Reaction::TruncatedOverUdp
                if !is_over_udp =>
            {
                (right, Duration::ZERO)
            }
            Reaction::Answer => (right, Duration::ZERO),
            Reaction::AnswerAfter(later) => (right, later),
            Reaction::AnswerWithTtl(ttl) => (ResponseForm { ttl, ..right }, Duration::ZERO),
            Reaction::AnswerWithoutSoa => {
                let has_soa = false;
                (ResponseForm { has_soa, ..right }, Duration::ZERO)
            }
            Reaction::AnswerWithKeepalive(tenths) => {
                let opt = OptForm::Keepalive(tenths);
                (ResponseForm { opt, ..right }, Duration::ZERO)
            }
            Reaction::AnswerWithoutOpt => {
                let opt = OptForm::None;
                (ResponseForm { opt, ..right }, Duration::ZERO)
            }
            Reaction::Twice(later) => {
                let second = message::response(query, &right);
                self.say_in(time + later, connection, query, vec![second]);
                (right, Duration::ZERO)
            }
            Reaction::Error {
                rcode,
                ede,
                has_question,
                after,
            } => {
                let opt = ede.map_or(OptForm::Plain, OptForm::Ede);
                let form = ResponseForm {
                    rcode,
                    opt,
                    has_question,
                    ..right
                };
                (form, after)
            }
            Reaction::KnowsNoEdns => {
                let rcode = u8::from(query.get(10..12) == Some(&[0, 1]));
                let opt = OptForm::None;
                (
                    ResponseForm {
                        rcode,
                        opt,
                        ..right
                    },
                    Duration::ZERO,
                )
            }
            Reaction::Truncated | Reaction::TruncatedOverUdp => {
                let is_truncated = true;
                (
                    ResponseForm {
                        is_truncated,
                        ..right
                    },
                    Duration::ZERO,
                )
            }
            Reaction::Invalid(invalid, later) => {
                self.mislead(connection, query, invalid, time);
                let Some(later) = later else {
                    return Some(time);
                };
                (right, later)
            }
            Reaction::Drip(_)
            | Reaction::Never
            | Reaction::SendBack
            | Reaction::Hold
            | Reaction::Stall
            | Reaction::Close(_)
            | Reaction::Reset(_) => return self.misbehave(connection, query, reaction),
        };
        let response = message::response(query, &form);
        self.say_in(time + later, connection, query, vec![response]);
        Some(time + later)
    }

    /// Arranges that the upstream sends these messages on the connection of a query, or to its socket.
    fn say_in(&mut self, span: Duration, connection: usize, query: &[u8], messages: Vec<Vec<u8>>) {
        if self.connections[connection].link != Link::Datagrams {
            let bytes = messages.iter().flat_map(|it| message::framed(it)).collect();
            return self.arrange_in(span, Event::Speak(connection, Segment::Bytes(bytes)));
        }
        let id = query.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
        for message in messages {
            self.arrange_in(
                span,
                Event::Speak(connection, Segment::Datagram(id, message)),
            );
        }
    }

    /// What concerns the connection more than the query.
    fn misbehave(
        &mut self,
        connection: usize,
        query: &[u8],
        reaction: Reaction,
    ) -> Option<Duration> {
        let right = self.right_form(connection, query);
        let answer = || message::framed(&message::response(query, &right));
        let is_stream = self.connections[connection].link != Link::Datagrams;
        match reaction {
            // A datagram is whole, and one that is not answered keeps nothing else.
            Reaction::Drip(_) if !is_stream => {
                let right = message::response(query, &right);
                self.say_in(Duration::ZERO, connection, query, vec![right]);
                return Some(Duration::ZERO);
            }
            Reaction::Stall if !is_stream => {}
            Reaction::Drip(apart) => return Some(self.drip(connection, &answer(), apart)),
            Reaction::Hold => {
                let upstream = self.connections[connection].upstream;
                let withheld = &mut self.upstreams[upstream].withheld;
                withheld.push((connection, query.to_vec()));
            }
            Reaction::Stall => self.connections[connection].is_stalled = true,
            Reaction::SendBack => self.send_back(query),
            Reaction::Close(place) => self.end(connection, &answer(), place, Segment::Fin),
            Reaction::Reset(place) => self.end(connection, &answer(), place, Segment::Reset),
            _ => {}
        }
        None
    }

    /// Sends a query to dotgate over UDP, from an address and port of its own.
    fn send_back(&mut self, query: &[u8]) {
        let number = self.record.queries.len();
        let port = u16::try_from(number).unwrap_or(u16::MAX);
        let peer = ([192, 0, 2, 254], port).into();
        let path = Path::Udp { worker: 0, peer };
        self.record.add_query(self.now, path, 0, query.to_vec());
        if let Some(query) = self.record.queries.last_mut() {
            query.is_sent_back = true;
        }
        self.arrange_in(Duration::from_micros(100), Event::Datagram(number));
    }

    /// What the right answer to a query holds now.
    fn right_form(&self, connection: usize, query: &[u8]) -> ResponseForm {
        let upstream = self.connections[connection].upstream;
        let question = message::question(query);
        let right = ResponseForm::RIGHT;
        match self.upstreams[upstream].script.data {
            Data::Lasting(version) => ResponseForm { version, ..right },
            Data::Changing(every) => {
                let changes = self.now.since(BEGINNING).as_micros() / every.as_micros().max(1);
                ResponseForm {
                    version: changes as u32,
                    ttl: TTLS[message::share(question, TTLS.len() as u32) as usize],
                    // Every fourth name is denied without a proof.
                    has_soa: message::share(question, 4) != 0,
                    ..right
                }
            }
        }
    }

    /// Sends an answer byte by byte; nothing else of this connection comes between.
    fn drip(&mut self, connection: usize, bytes: &[u8], apart: Duration) -> Duration {
        self.note_spoken(connection, bytes);
        // A long answer drips no longer than a few minutes.
        let piece = bytes.len().div_ceil(4_000).max(1);
        for bytes in bytes.chunks(piece) {
            self.send_down(connection, Arrival::Bytes(bytes.to_vec()), apart);
        }
        self.check_answer_bound(connection);
        apart * bytes.len().div_ceil(piece) as u32
    }

    fn end(&mut self, connection: usize, answer: &[u8], place: Place, end: Segment) {
        let sent = match place {
            Place::Before => 0,
            Place::Within(per_mille) => answer.len() * usize::from(per_mille) / 1_000,
            Place::After => answer.len(),
        };
        let bytes = answer[..sent.min(answer.len())].to_vec();
        if !bytes.is_empty() {
            self.speak(connection, Segment::Bytes(bytes));
        }
        self.speak(connection, end);
    }

    fn mislead(&mut self, connection: usize, query: &[u8], invalid: Invalid, time: Duration) {
        let mut messages = Vec::new();
        let right = message::response(query, &self.right_form(connection, query));
        match invalid {
            Invalid::WrongIds(count) => {
                let id = query.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
                let unanswered = &self.connections[connection].unanswered;
                // The ID of another question in flight would be an answer to that one.
                let ids = (1..=u16::MAX).map(|distance| id.wrapping_add(distance));
                let ids = ids.filter(|id| !unanswered.contains_key(id));
                for id in ids.take(usize::from(count)) {
                    let mut wrong = right.clone();
                    if let Some(first) = wrong.first_chunk_mut() {
                        *first = id.to_be_bytes();
                    }
                    messages.push(wrong);
                }
            }
            Invalid::WrongQuestion => {
                let id = query.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
                let other = message::query(id, "planted.example", &message::QueryForm::default());
                messages.push(message::response(&other, &ResponseForm::RIGHT));
            }
            Invalid::WrongCase => {
                let mut asked = query.to_vec();
                asked[12..].make_ascii_lowercase();
                let planted = self.right_form(connection, query);
                let version = planted.version + 1_000;
                let planted = ResponseForm { version, ..planted };
                messages.push(message::response(&asked, &planted));
            }
            Invalid::QueryBack => messages.push(query.to_vec()),
            Invalid::Garbage(bytes) => messages.push(self.garbage(bytes)),
            Invalid::Half => messages.push(right[..right.len() / 2].to_vec()),
            Invalid::Flood(frames) => {
                for _ in 0..frames {
                    messages.push(self.garbage(20));
                }
            }
        }
        self.say_in(time, connection, query, messages);
    }

    fn garbage(&mut self, bytes: u16) -> Vec<u8> {
        (0..bytes)
            .map(|_| self.random.below(256) as u8 & 0x7f)
            .collect()
    }
}
