//! One connection of a scripted upstream: TLS, framing, and what the script says about each query.

use std::collections::{HashSet, VecDeque};
use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use domain::base::iana::Rcode;
use dotgate_message::{framed, split_frame};
use mio::net::TcpStream;
use rustls::{HandshakeKind, ServerConnection};
use socket2::SockRef;

use super::Shared;
use super::script::{End, Form, Opening, Script, Step};
use crate::world::message::Question;
use crate::world::wait::now;

/// Whether a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    GoesOn,
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Nothing is read or written.
    Frozen,
    /// FIN was sent; what still comes is dropped.
    HalfClosed,
}

/// A query and what is still to be done about it.
struct Task {
    question: Question,
    steps: VecDeque<Step>,
    /// When to continue; none while it is withheld.
    due: Option<Duration>,
}

pub(super) struct Connection {
    socket: TcpStream,
    number: u64,
    tls: ServerConnection,
    phase: Phase,
    is_noted: bool,
    has_sent_bytes: bool,
    plaintext: Vec<u8>,
    tasks: Vec<Task>,
    /// IDs of queries without an answer yet.
    unanswered: HashSet<u16>,
    /// Bytes that leave one by one, the pause between them, and when the next one is due.
    dripping: VecDeque<(u8, Duration)>,
    drip_due: Duration,
    /// Frames that wait for what drips.
    behind: Vec<u8>,
    is_mute: bool,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, number: u64, script: &Script) -> Connection {
        socket.set_nodelay(true).unwrap();
        let mut tls = ServerConnection::new(script.tls.clone()).unwrap();
        tls.set_buffer_limit(None);
        Connection {
            socket,
            number,
            tls,
            phase: match script.opening {
                Opening::Serve | Opening::Close => Phase::Serving,
                Opening::Ignore => Phase::Frozen,
            },
            is_noted: false,
            has_sent_bytes: false,
            plaintext: Vec::new(),
            tasks: Vec::new(),
            unanswered: HashSet::new(),
            dripping: VecDeque::new(),
            drip_due: Duration::ZERO,
            behind: Vec::new(),
            is_mute: false,
        }
    }

    /// When something is to be done by itself.
    pub(super) fn next_due(&self) -> Option<Duration> {
        if self.phase != Phase::Serving {
            return None;
        }
        let drip = (!self.dripping.is_empty()).then_some(self.drip_due);
        self.tasks
            .iter()
            .filter_map(|task| task.due)
            .chain(drip)
            .min()
    }

    pub(super) fn freeze(&mut self) {
        self.phase = Phase::Frozen;
    }

    /// Continues with withheld queries.
    pub(super) fn release(&mut self) {
        for task in &mut self.tasks {
            task.due.get_or_insert(Duration::ZERO);
        }
    }

    /// Reads what came, does what is due, writes.
    pub(super) fn serve(&mut self, shared: &Shared) -> Progress {
        if self.phase == Phase::Frozen {
            return Progress::GoesOn;
        }
        let read = self.read(shared);
        if self.phase == Phase::HalfClosed || read == Progress::Over {
            return read;
        }
        if self.act() == Progress::Over {
            return Progress::Over;
        }
        self.write()
    }

    fn read(&mut self, shared: &Shared) -> Progress {
        let mut buffer = vec![0; 65_536];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Progress::Over,
                Ok(_) if self.phase == Phase::HalfClosed => {}
                Ok(length) => {
                    if !std::mem::replace(&mut self.has_sent_bytes, true) {
                        shared.record().first_bytes.push(buffer[0]);
                    }
                    if self.receive(&buffer[..length], shared) == Progress::Over {
                        return Progress::Over;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::GoesOn,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Progress::Over,
            }
        }
    }

    fn receive(&mut self, mut bytes: &[u8], shared: &Shared) -> Progress {
        while !bytes.is_empty() && self.tls.read_tls(&mut bytes).is_ok_and(|taken| taken > 0) {
            let outcome = self.tls.process_new_packets();
            let mut reader = self.tls.reader();
            while let Ok(plaintext) = reader.fill_buf() {
                let length = plaintext.len();
                if length == 0 {
                    break;
                }
                self.plaintext.extend_from_slice(plaintext);
                reader.consume(length);
            }
            if outcome.is_err() {
                if !self.is_noted {
                    shared.record().failed_handshakes += 1;
                }
                drop(self.tls.write_tls(&mut self.socket));
                return Progress::Over;
            }
        }
        if !self.tls.is_handshaking() && !std::mem::replace(&mut self.is_noted, true) {
            let mut record = shared.record();
            match self.tls.handshake_kind() {
                Some(HandshakeKind::Resumed) => record.resumed_handshakes += 1,
                _ => record.full_handshakes += 1,
            }
        }
        self.take_queries(shared);
        Progress::GoesOn
    }

    fn take_queries(&mut self, shared: &Shared) {
        let plaintext = std::mem::take(&mut self.plaintext);
        let mut rest = &plaintext[..];
        while let Some((message, behind)) = split_frame(rest) {
            rest = behind;
            let question = Question::read(message);
            let steps = shared.script().steps(&question.name);
            let mut record = shared.record();
            if !self.unanswered.insert(question.id) {
                record.reused_ids += 1;
            }
            record.queries.push((self.number, question.clone()));
            drop(record);
            self.tasks.push(Task {
                question,
                steps: steps.into(),
                due: Some(Duration::ZERO),
            });
        }
        self.plaintext = rest.to_vec();
    }

    fn act(&mut self) -> Progress {
        let now = now();
        let mut tasks = std::mem::take(&mut self.tasks);
        for task in &mut tasks {
            while task.due.is_some_and(|due| due <= now) {
                let Some(step) = task.steps.pop_front() else {
                    break;
                };
                match step {
                    Step::Wait(pause) => task.due = Some(now + pause),
                    Step::Hold => {
                        task.due = None;
                        if task.steps.is_empty() {
                            task.steps.push_back(Step::Send(Form::Right));
                        }
                    }
                    Step::Send(form) => self.send(&task.question, form),
                    Step::Drip(pause) => {
                        let frame = framed(&task.question.answer());
                        self.dripping
                            .extend(frame.into_iter().map(|byte| (byte, pause)));
                        self.drip_due = now;
                        self.unanswered.remove(&task.question.id);
                    }
                    Step::End(end) => {
                        if self.write() == Progress::Over || self.end(end) == Progress::Over {
                            return Progress::Over;
                        }
                        return Progress::GoesOn;
                    }
                }
            }
        }
        tasks.retain(|task| !task.steps.is_empty());
        self.tasks.append(&mut tasks);
        self.drip(now);
        Progress::GoesOn
    }

    fn send(&mut self, question: &Question, form: Form) {
        if form != Form::WrongId {
            self.unanswered.remove(&question.id);
        }
        if self.is_mute {
            return;
        }
        let frame = match form {
            Form::LengthAlone => {
                self.is_mute = true;
                vec![0, 200]
            }
            form => framed(&message(question, form)),
        };
        if self.dripping.is_empty() {
            self.tls.writer().write_all(&frame).unwrap();
        } else {
            self.behind.extend_from_slice(&frame);
        }
    }

    fn drip(&mut self, now: Duration) {
        while self.drip_due <= now {
            let Some((byte, pause)) = self.dripping.pop_front() else {
                break;
            };
            self.tls.writer().write_all(&[byte]).unwrap();
            self.drip_due = now + pause;
        }
        if self.dripping.is_empty() && !self.behind.is_empty() {
            let behind = std::mem::take(&mut self.behind);
            self.tls.writer().write_all(&behind).unwrap();
        }
    }

    fn write(&mut self) -> Progress {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(0) => return Progress::Over,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::GoesOn,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Progress::Over,
            }
        }
        Progress::GoesOn
    }

    /// Ends it in one way. Where it said FIN it still takes what comes, so that FIN is not overtaken by RST.
    pub(super) fn end(&mut self, end: End) -> Progress {
        match end {
            End::Fin => {}
            End::Notify => self.tls.send_close_notify(),
            End::Reset => {
                SockRef::from(&self.socket)
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
                return Progress::Over;
            }
            End::MidFrame => {
                let delayed = self
                    .tasks
                    .first()
                    .map(|task| framed(&task.question.answer()));
                let frame = delayed.expect("a query that is withheld");
                self.tls
                    .writer()
                    .write_all(&frame[..frame.len() / 2])
                    .unwrap();
            }
            End::Alert => {
                // A record from nowhere makes TLS send the alert bad_record_mac.
                let fed = self.tls.read_tls(&mut &STRAY_RECORD[..]).is_ok();
                assert!(fed && self.tls.process_new_packets().is_err());
            }
            End::BadRecord => {
                drop(self.socket.write(&STRAY_RECORD));
            }
        }
        let written = self.write();
        if written == Progress::Over || self.socket.shutdown(Shutdown::Write).is_err() {
            return Progress::Over;
        }
        self.phase = Phase::HalfClosed;
        Progress::GoesOn
    }
}

/// An application data record (RFC 8446 section 5.2) that no key decrypts.
const STRAY_RECORD: [u8; 37] = {
    let mut record = [0x5a; 37];
    (record[0], record[1], record[2]) = (23, 3, 3);
    (record[3], record[4]) = (0, 32);
    record
};

fn message(question: &Question, form: Form) -> Vec<u8> {
    const KEEPALIVE: u16 = 11;
    const EDE: u16 = 15;
    let with = |change: fn(&mut Vec<u8>)| {
        let mut message = question.answer();
        change(&mut message);
        message
    };
    match form {
        Form::Right => question.answer(),
        Form::WrongId => with(|message| message[1] ^= 0xff),
        // The first letter of the first label.
        Form::WrongQuestion => with(|message| message[13] ^= 1),
        Form::NotAResponse => with(|message| message[2] &= 0x7f),
        Form::Garbage => with(|message| message[2..].fill(0xee)),
        Form::Empty => Vec::new(),
        Form::Short => with(|message| message.truncate(4)),
        Form::Truncated => {
            let mut message = question.error(Rcode::NOERROR);
            message[2] |= 2;
            message
        }
        Form::ServerFailure => question.error(Rcode::SERVFAIL),
        Form::Prohibited => question.refusal(EDE, &[0, 18]),
        Form::NoEdns if question.has_opt => question.error_without_opt(Rcode::FORMERR),
        Form::NoEdns => question.answer(),
        Form::KeepaliveZero => question.answer_with(&[(KEEPALIVE, &[0, 0])]),
        Form::Long => question.long(65_535),
        Form::Kilobyte => question.long(1_000),
        Form::LengthAlone => Vec::new(),
    }
}
