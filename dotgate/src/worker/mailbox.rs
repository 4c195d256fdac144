//! The mailboxes between workers: bounded, and a worker that sleeps is woken once per turn of the sender.
//!
//! Carries messages about questions that two engines share, and datagrams of QUIC that reached the wrong worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;

use dotgate_core::labels::QuicPacket;
use dotgate_core::{Count, Engine, FlightMessage, WorkerId};
use mio::Waker;

use super::quic::MisdirectedPacket;

/// Messages that may wait for a worker. One that does not fit is dropped: its reader times out.
pub const MAILBOX_MESSAGES: usize = 4_096;

/// Of these, datagrams of QUIC, whose number is up to clients: they leave room for flight messages, and take a worker less than a
/// millisecond. Further ones are dropped, and clients send them again.
const MAILBOX_PACKETS: usize = 256;

/// What one worker has for another one.
#[derive(Debug)]
pub enum Message {
    /// About a question that both share.
    Flight(FlightMessage),
    /// A datagram of a connection of the other one.
    Packet(MisdirectedPacket, PacketPlace),
}

/// A place among the datagrams that may wait for a worker. It is free again when this is dropped.
#[derive(Debug)]
pub struct PacketPlace(Arc<AtomicUsize>);

impl PacketPlace {
    fn take(waiting: &Arc<AtomicUsize>) -> Option<PacketPlace> {
        let may_wait = |count: usize| {
            count < MAILBOX_PACKETS || dotgate_wire::planted!("packets-fill-the-mailbox")
        };
        let next = |count| may_wait(count).then_some(count + 1);
        let taken = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.ok().map(|_| PacketPlace(Arc::clone(waiting)))
    }
}

impl Drop for PacketPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The way to one worker.
#[derive(Clone, Debug)]
pub struct Mailbox {
    /// Its mailbox.
    pub messages: SyncSender<Message>,
    /// Wakes it.
    pub waker: Arc<Waker>,
    /// Datagrams that wait in the mailbox.
    pub packets: Arc<AtomicUsize>,
}

/// The way to all workers.
#[derive(Debug, Default)]
pub(super) struct Mailboxes {
    mailboxes: Vec<Mailbox>,
    /// The workers to wake after messages are sent.
    has_mail: Vec<bool>,
}

impl Mailboxes {
    pub(super) fn new(mailboxes: Vec<Mailbox>) -> Mailboxes {
        let has_mail = vec![false; mailboxes.len()];
        Mailboxes {
            mailboxes,
            has_mail,
        }
    }

    /// How many workers there are.
    pub(super) fn len(&self) -> usize {
        self.mailboxes.len()
    }

    /// Puts a message into the mailbox of a worker, which `send` wakes.
    pub(super) fn put(&mut self, to: WorkerId, message: Message, engine: &Engine) {
        let mailbox = self.mailboxes.get(to.index());
        let is_sent = mailbox.is_some_and(|mailbox| mailbox.messages.try_send(message).is_ok());
        match self.has_mail.get_mut(to.index()) {
            Some(has_mail) if is_sent => *has_mail = true,
            _ => engine.counters().add(Count::MailboxMessagesDropped),
        }
    }

    /// The same for a datagram, which is dropped if too many wait for that worker.
    pub(super) fn put_packet(&mut self, to: WorkerId, packet: MisdirectedPacket, engine: &Engine) {
        let mailbox = self.mailboxes.get(to.index());
        match mailbox.and_then(|mailbox| PacketPlace::take(&mailbox.packets)) {
            Some(place) => self.put(to, Message::Packet(packet, place), engine),
            None => engine.clients().count_quic(QuicPacket::Dropped),
        }
    }

    /// Sends what the engine has written.
    pub(super) fn send(&mut self, engine: &mut Engine) {
        while let Some((to, message)) = engine.poll_flight_message() {
            self.put(to, Message::Flight(message), engine);
        }
        for (mailbox, has_mail) in self.mailboxes.iter().zip(&mut self.has_mail) {
            if std::mem::take(has_mail) {
                // The waker fails only with its poll loop, and then the worker has ended.
                drop(mailbox.waker.wake());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use dotgate_core::{Counters, Settings, Shared, UpstreamId, UpstreamSettings};
    use dotgate_quic::ReceivedPacket;
    use mio::{Poll, Token};

    use super::*;

    const OWN: WorkerId = WorkerId(0);

    fn packet() -> MisdirectedPacket {
        let listener = ([127, 0, 0, 1], 853).into();
        let packet = ReceivedPacket {
            peer: ([192, 0, 2, 1], 1_000).into(),
            local: None,
            bytes: &[0x40; 50],
        };
        MisdirectedPacket::of(packet, listener)
    }

    #[test]
    fn packets_of_clients_leave_room_for_flight_messages() {
        let upstreams = vec![UpstreamSettings::new(UpstreamId(0), "nowhere")];
        let settings = Arc::new(Settings::for_upstreams(upstreams));
        let counters = Arc::new(Counters::new());
        let engine = Engine::new(OWN, settings, Shared::alone(), counters, [7; 32]);
        let poll = Poll::new().unwrap();
        let (messages, received) = sync_channel(MAILBOX_MESSAGES);
        let mut mailboxes = Mailboxes::new(vec![Mailbox {
            messages,
            waker: Arc::new(Waker::new(poll.registry(), Token(0)).unwrap()),
            packets: Arc::default(),
        }]);
        for _ in 0..2 * MAILBOX_MESSAGES {
            mailboxes.put_packet(OWN, packet(), &engine);
        }
        let answered = FlightMessage::Answered {
            flight: 1,
            bytes: [].into(),
            is_authenticated: false,
        };
        mailboxes.put(OWN, Message::Flight(answered), &engine);
        let waiting: Vec<Message> = received.try_iter().collect();
        assert_eq!(waiting.len(), MAILBOX_PACKETS + 1);
        assert!(matches!(waiting.last(), Some(Message::Flight(_))));
        assert_eq!(engine.counters().get(Count::MailboxMessagesDropped), 0);
        // Those that were taken make room.
        drop(waiting);
        mailboxes.put_packet(OWN, packet(), &engine);
        assert!(matches!(received.try_recv(), Ok(Message::Packet(..))));
    }
}
