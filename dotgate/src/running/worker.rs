//! A running worker as other threads see it: commands in, heartbeats and counts out.

use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use dotgate_core::{Counters, Moment};
use dotgate_net::UdpSocket;
use mio::Waker;

use crate::worker::{Heartbeat, Mailbox, Worker, WorkerCommand};

/// A worker that is made and not yet started.
pub(crate) struct PreparedWorker {
    pub(crate) worker: Worker,
    pub(crate) commands: Sender<WorkerCommand>,
    pub(crate) mailbox: Mailbox,
    pub(crate) pulse: Arc<Heartbeat>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) udp: Vec<Weak<UdpSocket>>,
}

/// Starts the workers, each of which then knows the way to all.
///
/// # Errors
/// The system's, if it gives no thread.
pub(crate) fn spawn_all(made: Vec<PreparedWorker>) -> io::Result<Vec<RunningWorker>> {
    let mailboxes: Vec<Mailbox> = made.iter().map(|made| made.mailbox.clone()).collect();
    let start = |(number, mut made): (usize, PreparedWorker)| {
        made.worker.meet(mailboxes.clone());
        let thread = thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || made.worker.run())?;
        Ok(RunningWorker {
            thread,
            commands: made.commands,
            waker: made.mailbox.waker,
            pulse: made.pulse,
            counters: made.counters,
            udp: Mutex::new(made.udp),
        })
    };
    made.into_iter().enumerate().map(start).collect()
}

/// A running worker.
#[derive(Debug)]
pub struct RunningWorker {
    thread: JoinHandle<()>,
    commands: Sender<WorkerCommand>,
    waker: Arc<Waker>,
    pulse: Arc<Heartbeat>,
    counters: Arc<Counters>,
    /// Weak, so that the sockets of a worker that ended take no datagrams from the others.
    udp: Mutex<Vec<Weak<UdpSocket>>>,
}

impl RunningWorker {
    /// Counts what one more socket of it drops.
    pub(crate) fn watch(&self, socket: &Arc<UdpSocket>) {
        let mut watched = self.udp.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push(Arc::downgrade(socket));
    }

    /// Gives it an order. One that has ended needs none.
    pub fn command(&self, command: WorkerCommand) {
        if self.commands.send(command).is_ok() {
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
        let watched = self.udp.lock().unwrap_or_else(PoisonError::into_inner);
        let sockets = watched.iter().filter_map(Weak::upgrade);
        let drops = sockets.filter_map(|socket| socket.dropped_datagrams());
        drops.map(u64::from).reduce(|all, more| all + more)
    }
}
