//! Orders of operators, which come at the admin endpoint and which the control thread carries out.

use std::sync::{Mutex, PoisonError};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// Orders of one kind that may wait for the control thread.
const WAITING: usize = 8;

/// Why an order is not carried out.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum NotDone {
    /// What was asked is not permitted or not possible, in words.
    #[error("{0}")]
    Refused(String),
    /// Another process takes over from this one, and would not learn of it.
    #[error("another process is taking over from this one; ask again in a second")]
    HandingOver,
    /// This process ends.
    #[error("this process is stopping; ask again in a second if another one takes its place")]
    Stopping,
}

/// A request, with the way back.
#[derive(Debug)]
pub(crate) struct Ordered<R> {
    pub(crate) request: R,
    reply: oneshot::Sender<Result<(), NotDone>>,
}

impl<R> Ordered<R> {
    /// Reports the outcome to the sender, if that one still waits.
    pub(crate) fn reply(self, outcome: Result<(), NotDone>) {
        drop(self.reply.send(outcome));
    }
}

/// The way of one kind of orders.
#[derive(Debug)]
pub(crate) struct Orders<R> {
    sender: mpsc::Sender<Ordered<R>>,
    /// Until the control thread takes it.
    incoming: Mutex<Option<mpsc::Receiver<Ordered<R>>>>,
}

impl<R> Default for Orders<R> {
    fn default() -> Orders<R> {
        let (sender, incoming) = mpsc::channel(WAITING);
        Orders {
            sender,
            incoming: Mutex::new(Some(incoming)),
        }
    }
}

impl<R> Orders<R> {
    /// Gives an order, and waits until it is carried out.
    ///
    /// # Errors
    /// Why it was not.
    pub(crate) async fn give(&self, request: R) -> Result<(), NotDone> {
        let (reply, outcome) = oneshot::channel();
        let sent = self.sender.send(Ordered { request, reply }).await;
        sent.map_err(|_| NotDone::Stopping)?;
        outcome.await.map_err(|_| NotDone::Stopping)?
    }

    /// Takes the orders, once.
    pub(crate) fn take(&self) -> Incoming<R> {
        let incoming = self.incoming.lock();
        Incoming(incoming.unwrap_or_else(PoisonError::into_inner).take())
    }
}

/// The orders, as the control thread gets them.
#[derive(Debug)]
pub(crate) struct Incoming<R>(Option<mpsc::Receiver<Ordered<R>>>);

impl<R> Incoming<R> {
    /// The next order.
    pub(crate) async fn next(&mut self) -> Ordered<R> {
        let order = match &mut self.0 {
            Some(orders) => orders.recv().await,
            None => None,
        };
        match order {
            Some(order) => order,
            None => std::future::pending().await,
        }
    }
}
