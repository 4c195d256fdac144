//! What a scripted upstream does with one query: the reactions of its script, as bytes and endings of connections.

use std::time::Duration;

use crate::connection::{Arrival, Segment};
use crate::message::{self, OptForm, ResponseForm};
use crate::network::{Event, Network};
use crate::record::BEGINNING;
use crate::script::{Data, Invalid, Place, Reaction};

/// TTLs of changing data, in seconds.
const TTLS: [u32; 8] = [0, 1, 2, 5, 12, 30, 300, 86_400];

impl Network {
    pub(crate) fn react(
        &mut self,
        connection: usize,
        query: &[u8],
        reaction: Reaction,
        time: Duration,
    ) {
        let right = self.right_form(connection, query);
        let answer = |form: ResponseForm| message::frame(&message::response(query, &form));
        let say = |octets| Event::Speak(connection, Segment::Octets(octets));
        match reaction {
            Reaction::Answer => self.arrange_in(time, say(answer(right))),
            Reaction::AnswerWithTtl(ttl) => {
                self.arrange_in(time, say(answer(ResponseForm { ttl, ..right })));
            }
            Reaction::AnswerWithoutSoa => {
                let has_soa = false;
                self.arrange_in(time, say(answer(ResponseForm { has_soa, ..right })));
            }
            Reaction::AnswerAfter(later) => self.arrange_in(time + later, say(answer(right))),
            Reaction::AnswerWithKeepalive(tenths) => {
                let opt = OptForm::Keepalive(tenths);
                self.arrange_in(time, say(answer(ResponseForm { opt, ..right })));
            }
            Reaction::AnswerWithoutOpt => {
                let opt = OptForm::Absent;
                self.arrange_in(time, say(answer(ResponseForm { opt, ..right })));
            }
            Reaction::Drip(apart) => self.drip(connection, &answer(right), apart),
            Reaction::Twice(later) => {
                self.arrange_in(time, say(answer(right)));
                self.arrange_in(time + later, say(answer(right)));
            }
            Reaction::Never => {}
            Reaction::Hold => {
                let upstream = self.connections[connection].upstream;
                self.upstreams[upstream]
                    .held
                    .push((connection, query.to_vec()));
            }
            Reaction::Error {
                rcode,
                ede,
                has_question,
            } => {
                let form = ResponseForm {
                    rcode,
                    opt: ede.map_or(OptForm::Plain, OptForm::Ede),
                    has_question,
                    ..right
                };
                self.arrange_in(time, say(answer(form)));
            }
            Reaction::KnowsNoEdns => {
                let rcode = u8::from(query.get(10..12) == Some(&[0, 1]));
                let opt = OptForm::Absent;
                self.arrange_in(
                    time,
                    say(answer(ResponseForm {
                        rcode,
                        opt,
                        ..right
                    })),
                );
            }
            Reaction::Truncated => {
                let is_truncated = true;
                self.arrange_in(
                    time,
                    say(answer(ResponseForm {
                        is_truncated,
                        ..right
                    })),
                );
            }
            Reaction::Invalid(invalid, later) => {
                self.mislead(connection, query, invalid, time);
                if let Some(later) = later {
                    self.arrange_in(time + later, say(answer(right)));
                }
            }
            Reaction::Close(place) => self.end(connection, &answer(right), place, Segment::Fin),
            Reaction::Reset(place) => self.end(connection, &answer(right), place, Segment::Reset),
        }
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

    /// Sends an answer octet by octet; nothing else of this connection comes between.
    fn drip(&mut self, connection: usize, octets: &[u8], apart: Duration) {
        self.note_spoken(connection, octets);
        // A long answer drips no longer than a few minutes.
        let piece = octets.len().div_ceil(4_000).max(1);
        for octets in octets.chunks(piece) {
            self.send_down(connection, Arrival::Octets(octets.to_vec()), apart);
        }
    }

    fn end(&mut self, connection: usize, answer: &[u8], place: Place, end: Segment) {
        let sent = match place {
            Place::Before => 0,
            Place::Within(per_mille) => answer.len() * usize::from(per_mille) / 1_000,
            Place::After => answer.len(),
        };
        let octets = answer[..sent.min(answer.len())].to_vec();
        if !octets.is_empty() {
            self.speak(connection, Segment::Octets(octets));
        }
        self.speak(connection, end);
    }

    fn mislead(&mut self, connection: usize, query: &[u8], invalid: Invalid, time: Duration) {
        let mut messages = Vec::new();
        let right = message::response(query, &self.right_form(connection, query));
        match invalid {
            Invalid::WrongId => {
                let mut wrong = right;
                let unanswered = &self.connections[connection].unanswered;
                // The ID of another question in flight would be an answer to that one.
                while let [high, low, ..] = wrong[..]
                    && unanswered.contains_key(&u16::from_be_bytes([high, low]))
                {
                    wrong[1] = low.wrapping_add(1);
                    wrong[0] = high.wrapping_add(u8::from(low == 255));
                }
                messages.push(wrong);
            }
            Invalid::WrongQuestion => {
                let id = query.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
                let other = message::query(id, "planted.example", &message::QueryForm::default());
                messages.push(message::response(&other, &ResponseForm::RIGHT));
            }
            Invalid::QueryBack => messages.push(query.to_vec()),
            Invalid::Garbage(octets) => messages.push(self.garbage(octets)),
            Invalid::Half => messages.push(right[..right.len() / 2].to_vec()),
            Invalid::Flood(frames) => {
                for _ in 0..frames {
                    messages.push(self.garbage(20));
                }
            }
        }
        let octets: Vec<u8> = messages.iter().flat_map(|m| message::frame(m)).collect();
        self.arrange_in(time, Event::Speak(connection, Segment::Octets(octets)));
    }

    fn garbage(&mut self, octets: u16) -> Vec<u8> {
        (0..octets)
            .map(|_| self.random.below(256) as u8 & 0x7f)
            .collect()
    }
}
