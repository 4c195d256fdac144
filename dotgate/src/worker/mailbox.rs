//! The mailboxes between workers: bounded, and a worker that sleeps is woken once per turn of the sender.
//!
//! Carries messages about questions that two engines share; nothing about clients.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use dotgate_core::{Count, Engine, FlightMessage};
use mio::Waker;

/// Flight messages that may wait for a worker. One that does not fit is dropped: its reader times out.
pub const MAILBOX_MESSAGES: usize = 4_096;

/// The way to one worker.
#[derive(Clone, Debug)]
pub struct Mailbox {
    /// Its mailbox.
    pub messages: SyncSender<FlightMessage>,
    /// Wakes it.
    pub waker: Arc<Waker>,
}

/// The way to all workers.
#[derive(Debug, Default)]
pub(super) struct Mailboxes {
    mailboxes: Vec<Mailbox>,
    /// The workers to wake after flight messages are sent.
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

    /// Sends what the engine has written.
    pub(super) fn send(&mut self, engine: &mut Engine) {
        while let Some((to, message)) = engine.poll_flight_message() {
            let mailbox = self.mailboxes.get(to.index());
            let is_sent = mailbox.is_some_and(|mailbox| mailbox.messages.try_send(message).is_ok());
            match self.has_mail.get_mut(to.index()) {
                Some(has_mail) if is_sent => *has_mail = true,
                _ => engine.counters().add(Count::MailboxMessagesDropped),
            }
        }
        for (mailbox, has_mail) in self.mailboxes.iter().zip(&mut self.has_mail) {
            if std::mem::take(has_mail) {
                // The waker fails only with its poll loop, and then the worker has ended.
                drop(mailbox.waker.wake());
            }
        }
    }
}
