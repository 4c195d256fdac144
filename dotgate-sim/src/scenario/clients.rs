//! Clients of a scenario: their connections over TCP and TLS, and the cookies that they have got.

use std::net::IpAddr;

use crate::message::{self, QueryForm};
use crate::record::Path;

use super::state::Run;
use super::step::ClientDeed;

/// The cookie of the one client over UDP (RFC 7873 section 4.1).
const CLIENT_COOKIE: [u8; 8] = *b"of-a-cli";

/// The same with what somebody who has seen no response makes up behind it: version 1, a time, and a hash.
pub(super) const GUESSED: [u8; 24] = *b"of-a-cli\x01\0\0\0\0\0\0\0guessed!";

impl Run<'_> {
    /// The cookie with which the one client over UDP asks now. Clients keep the last one (RFC 7873 section 5.3).
    pub(super) fn own_cookie(&mut self) -> Vec<u8> {
        let record = self.sim.record();
        let owner = address(0);
        let of_owner = |path: Path| matches!(path, Path::Udp { peer, .. } if peer.ip() == owner);
        for response in &record.responses[self.cookies.looked_at..] {
            let (cookie, query) = (&response.seen.cookie, &record.queries[response.query]);
            // It believes no response to what it has not asked.
            let is_forged = query.message.ends_with(&GUESSED);
            if !cookie.is_empty() && of_owner(query.path) && !is_forged {
                self.cookies.last = Some(cookie.clone());
            }
        }
        self.cookies.looked_at = record.responses.len();
        let last = self.cookies.last.clone();
        last.unwrap_or_else(|| CLIENT_COOKIE.to_vec())
    }

    /// The connection on which a client sends its query with this number.
    pub(super) fn connection_of(&mut self, name: &str, number: usize) -> Option<usize> {
        let client = self.streams.get_mut(name)?;
        let place = number % client.streams.len().max(1);
        let stream = client.streams.get_mut(place)?;
        if client.reconnects
            && let Some(next) = self.sim.reconnect(*stream)
        {
            *stream = next;
            client.replaced += 1;
        }
        Some(*stream)
    }

    pub(super) fn client(&mut self, name: &str, deed: ClientDeed) {
        if let ClientDeed::Connects {
            times,
            from_one_address,
            kind,
            reconnects,
        } = deed
        {
            let client = self.streams.entry(name.to_owned()).or_default();
            client.reconnects = reconnects;
            for number in 0..times {
                let host = if from_one_address { 0 } else { 1 + number };
                let worker = number % self.sim.workers();
                let stream = self.sim.open_stream(worker, address(host), kind);
                client.streams.push(stream);
            }
            return;
        }
        let client = self.streams.get(name).cloned();
        for stream in client.unwrap_or_default().streams {
            match deed {
                ClientDeed::Connects { .. } => {}
                ClientDeed::CompletesTls => self.sim.secure_stream(stream),
                ClientDeed::SendsHalfAQuery => {
                    let query = message::query(1, "half.example", &QueryForm::default());
                    let mut framed = message::framed(&query);
                    framed.truncate(framed.len() / 2);
                    self.sim.send_on(stream, framed);
                }
                ClientDeed::SendsMalformed { times } => {
                    for number in 0..times {
                        self.sim.send_on(stream, malformed(number));
                    }
                }
                ClientDeed::StopsReading => self.sim.read_on(stream, false),
                ClientDeed::ReadsAgain => self.sim.read_on(stream, true),
                ClientDeed::Ends => self.sim.end_stream(stream),
                ClientDeed::Leaves => self.sim.reset_stream(stream),
            }
        }
    }
}

/// A framed message that is no query.
fn malformed(number: u32) -> Vec<u8> {
    let form = QueryForm {
        opcode: 2,
        ..QueryForm::default()
    };
    let mut message = message::query(number as u16, "malformed.example", &form);
    if number % 2 == 1 {
        message = message::query(number as u16, "", &QueryForm::default());
        // A header without a question.
        message.truncate(12);
        message[5] = 0;
    }
    message::framed(&message)
}

/// One of 250 addresses of clients.
pub(super) fn address(host: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, (1 + host % 250) as u8])
}
