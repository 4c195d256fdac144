//! A running worker as other threads reach it: orders in, signs of life and counts out.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use dotgate_core::{Counters, Moment};
use dotgate_net::UdpSocket;
use mio::Waker;

use crate::worker::{Order, Pulse};

/// A running worker.
#[derive(Debug)]
pub struct RunningWorker {
    pub(super) thread: JoinHandle<()>,
    pub(super) orders: Sender<Order>,
    pub(super) waker: Waker,
    pub(super) pulse: Arc<Pulse>,
    pub(super) counters: Arc<Counters>,
    /// Weak, so that the sockets of a worker that ended take no datagrams from the others.
    pub(super) udp: Vec<Weak<UdpSocket>>,
}

impl RunningWorker {
    /// Gives it an order. One that has ended needs none.
    pub fn order(&self, order: Order) {
        if self.orders.send(order).is_ok() {
            self.wake();
        }
    }

    /// Has it turn, if it sleeps.
    pub fn wake(&self) {
        // The waker fails only with its poll loop, and then the worker has ended.
        drop(self.waker.wake());
    }

    /// When it last turned.
    pub fn last_turn(&self) -> Moment {
        self.pulse.last_turn()
    }

    /// Whether its thread has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// What it counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Datagrams that the kernel dropped because the receive buffers of its sockets were full. None where the
    /// system does not tell.
    pub fn dropped_datagrams(&self) -> Option<u64> {
        let sockets = self.udp.iter().filter_map(Weak::upgrade);
        let drops = sockets.filter_map(|socket| socket.dropped_datagrams());
        drops.map(u64::from).reduce(|all, more| all + more)
    }
}
