//! One connection of a scripted server: the steps of its queries, and its limits.

use std::collections::{HashSet, VecDeque};
use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::net::TcpStream;

use super::channel::{Channel, framed};
use super::forms::{Answer, message};
use super::query::ReceivedQuery;
use super::script::{End, Form, Limits, Opening, Script, Step};
use super::server::now;
use super::{Shared, UpstreamError};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Nothing is read or written.
    Frozen,
    /// FIN was sent. What still arrives is ignored, because the kernel would send RST if it were not read.
    HalfClosed,
}

/// A query and its remaining steps.
struct Task {
    query: ReceivedQuery,
    steps: VecDeque<Step>,
    /// When to continue; none while it is withheld.
    due: Option<Duration>,
}

/// A connection. An error of its methods means that it is over.
pub(super) struct Connection {
    channel: Channel,
    number: u64,
    phase: Phase,
    answer: Answer,
    limits: Limits,
    tasks: Vec<Task>,
    /// Message IDs of queries without a response.
    unanswered: HashSet<u16>,
    /// Bytes that are sent one by one, each with the pause behind it, and when the next one is due.
    dripping: VecDeque<(u8, Duration)>,
    drip_due: Duration,
    /// Frames behind the dripping bytes.
    behind: Vec<u8>,
    is_mute: bool,
    /// When the connection was accepted, or its last query was received.
    active_at: Duration,
}

impl Connection {
    pub(super) fn new(
        socket: TcpStream,
        number: u64,
        script: &Script,
    ) -> Result<Self, UpstreamError> {
        Ok(Self {
            channel: Channel::new(socket, script.tls.clone())?,
            number,
            phase: match script.opening {
                Opening::Serve | Opening::Close => Phase::Serving,
                Opening::Ignore => Phase::Frozen,
            },
            answer: script.answer,
            limits: script.limits,
            tasks: Vec::new(),
            unanswered: HashSet::new(),
            dripping: VecDeque::new(),
            drip_due: Duration::ZERO,
            behind: Vec::new(),
            is_mute: false,
            active_at: now(),
        })
    }

    /// When to serve it, even if nothing arrives.
    pub(super) fn next_due(&self) -> Option<Duration> {
        if self.phase != Phase::Serving {
            return None;
        }
        let drip = (!self.dripping.is_empty()).then_some(self.drip_due);
        let steps = self.tasks.iter().filter_map(|task| task.due);
        let limits = [drip, self.unread_until(), self.idle_until()];
        steps.chain(limits.into_iter().flatten()).min()
    }

    fn unread_until(&self) -> Option<Duration> {
        Some(self.channel.blocked_since()? + self.limits.unread?)
    }

    fn idle_until(&self) -> Option<Duration> {
        let is_idle = self.tasks.is_empty() && self.channel.blocked_since().is_none();
        let idle = self.limits.idle.filter(|_| is_idle)?;
        Some(self.active_at + idle)
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

    /// Reads what has arrived, does what is due, and writes.
    pub(super) fn serve(&mut self, shared: &Shared) -> io::Result<()> {
        match self.phase {
            Phase::Frozen => return Ok(()),
            Phase::HalfClosed => return self.channel.discard(),
            Phase::Serving => {}
        }
        let now = now();
        self.channel.write(now)?;
        self.channel.read(shared, self.limits.recorded)?;
        self.take_queries(shared, now)?;
        self.act(now)?;
        if self.phase == Phase::HalfClosed {
            return Ok(());
        }
        self.channel.write(now)?;
        self.check_limits(now)
    }

    fn take_queries(&mut self, shared: &Shared, now: Duration) -> io::Result<()> {
        for message in self.channel.take_messages() {
            self.active_at = now;
            let Some(query) = ReceivedQuery::read(&message) else {
                shared.record().invalid += 1;
                return Err(ErrorKind::InvalidData.into());
            };
            let steps = shared.script().steps(&query.name);
            let mut record = shared.record();
            record.received += 1;
            record.invalid += u64::from(query.question().is_none());
            record.reused_ids += u64::from(!self.unanswered.insert(query.id));
            if record.queries.len() < self.limits.recorded {
                record.queries.push((self.number, query.clone()));
            }
            drop(record);
            self.tasks.push(Task {
                query,
                steps: steps.into(),
                due: Some(Duration::ZERO),
            });
        }
        Ok(())
    }

    /// Does all steps that are due.
    fn act(&mut self, now: Duration) -> io::Result<()> {
        let mut tasks = std::mem::take(&mut self.tasks);
        let is_delayed = |task: &&Task| task.due.is_some_and(|due| due > now);
        let mut delayed = tasks.iter().filter(is_delayed).count();
        let mut ends = None;
        for task in &mut tasks {
            while ends.is_none()
                && task.due.is_some_and(|due| due <= now)
                && let Some(step) = task.steps.pop_front()
            {
                match step {
                    Step::Wait(pause) if delayed < self.limits.delayed => {
                        task.due = Some(now + pause);
                        delayed += 1;
                    }
                    Step::Wait(_) => {}
                    Step::Hold => {
                        task.due = None;
                        if task.steps.is_empty() {
                            task.steps.push_back(Step::Send(Form::Right));
                        }
                    }
                    Step::Send(form) => self.send(&task.query, form)?,
                    Step::Drip(pause) => {
                        let frame = self.right_frame(&task.query)?;
                        self.dripping
                            .extend(frame.into_iter().map(|byte| (byte, pause)));
                        self.drip_due = now;
                        self.unanswered.remove(&task.query.id);
                    }
                    Step::End(end) => ends = Some(end),
                }
            }
        }
        tasks.retain(|task| !task.steps.is_empty());
        self.tasks = tasks;
        if let Some(end) = ends {
            self.channel.write(now)?;
            return self.end(end);
        }
        self.drip(now)
    }

    fn right_frame(&self, query: &ReceivedQuery) -> io::Result<Vec<u8>> {
        let message = message(query, Form::Right, self.answer);
        framed(&message.ok_or(ErrorKind::InvalidData)?)
    }

    fn send(&mut self, query: &ReceivedQuery, form: Form) -> io::Result<()> {
        if form != Form::WrongId {
            self.unanswered.remove(&query.id);
        }
        if self.is_mute {
            return Ok(());
        }
        let frame = match form {
            Form::LengthAlone => {
                self.is_mute = true;
                vec![0, 200]
            }
            form => framed(&message(query, form, self.answer).ok_or(ErrorKind::InvalidData)?)?,
        };
        if self.dripping.is_empty() {
            return self.channel.send(&frame);
        }
        self.behind.extend_from_slice(&frame);
        Ok(())
    }

    fn drip(&mut self, now: Duration) -> io::Result<()> {
        while self.drip_due <= now {
            let Some((byte, pause)) = self.dripping.pop_front() else {
                break;
            };
            self.channel.send(&[byte])?;
            self.drip_due = now + pause;
        }
        if self.dripping.is_empty() && !self.behind.is_empty() {
            let behind = std::mem::take(&mut self.behind);
            self.channel.send(&behind)?;
        }
        Ok(())
    }

    fn check_limits(&mut self, now: Duration) -> io::Result<()> {
        if self.unread_until().is_some_and(|due| due <= now) {
            return Err(ErrorKind::TimedOut.into());
        }
        if self.idle_until().is_some_and(|due| due <= now) {
            self.channel.send_close_notify();
            self.channel.write(now)?;
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Ends it in one way.
    pub(super) fn end(&mut self, end: End) -> io::Result<()> {
        match end {
            End::Fin => {}
            End::Notify => self.channel.send_close_notify(),
            End::Reset => {
                self.channel.reset()?;
                return Err(ErrorKind::ConnectionReset.into());
            }
            End::MidFrame => {
                let withheld = self.tasks.first().ok_or(ErrorKind::NotFound)?;
                let frame = self.right_frame(&withheld.query)?;
                self.channel.send(&frame[..frame.len() / 2])?;
            }
            End::Alert => self.channel.send_alert(),
            End::BadRecord => self.channel.write_stray_record()?,
        }
        self.channel.write(now())?;
        self.channel.shut_down()?;
        self.phase = Phase::HalfClosed;
        Ok(())
    }
}
