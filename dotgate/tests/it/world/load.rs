//! A client that asks new names at a steady pace, while a test does something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::client::Client;
use super::message::Response;
use super::wait::{now, until};

/// As many unanswered questions are a crowd.
const CROWD: usize = 20;

/// The client, while it asks.
pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    crowded: Arc<AtomicU64>,
    thread: JoinHandle<Vec<Response>>,
}

impl Load {
    /// Starts to ask every `gap`.
    pub(crate) fn start(mut client: Client, gap: Duration) -> Load {
        let is_over = Arc::new(AtomicBool::new(false));
        let [sent, crowded] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        let (over, counted) = (Arc::clone(&is_over), Arc::clone(&sent));
        let in_crowd = Arc::clone(&crowded);
        let thread = thread::spawn(move || {
            let mut responses = Vec::new();
            let mut due = now();
            while !over.load(Ordering::Relaxed) {
                let number = counted.fetch_add(1, Ordering::Relaxed);
                client.send(&format!("load-{number}.test"));
                let is_crowded = client.unanswered() > CROWD;
                in_crowd.fetch_add(u64::from(is_crowded), Ordering::Relaxed);
                due += gap;
                while let Some(response) = client.receive_within(due.saturating_sub(now())) {
                    responses.push(response);
                }
            }
            responses.extend(client.receive_all());
            responses
        });
        Load {
            is_over,
            sent,
            crowded,
            thread,
        }
    }

    /// How many of `count` more questions are asked while a crowd of others is unanswered.
    pub(crate) fn crowded_of(&self, count: u64) -> u64 {
        let before = self.crowded.load(Ordering::Relaxed);
        self.go_on_for(count);
        self.crowded.load(Ordering::Relaxed) - before
    }

    /// Waits until `count` more questions were asked.
    pub(crate) fn go_on_for(&self, count: u64) {
        let goal = self.sent.load(Ordering::Relaxed) + count;
        until("questions of the load", || {
            self.sent.load(Ordering::Relaxed) >= goal
        });
    }

    /// Stops asking, whatever is unanswered.
    pub(crate) fn abandon(self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Stops asking, and returns the responses to all that was asked.
    pub(crate) fn finish(self) -> Vec<Response> {
        self.is_over.store(true, Ordering::Relaxed);
        let sent = Arc::clone(&self.sent);
        let responses = self.thread.join().expect("the load's client failed");
        assert_eq!(responses.len() as u64, sent.load(Ordering::Relaxed));
        responses
    }
}
