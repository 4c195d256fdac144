//! Listening addresses that this host does not have yet: late DHCP, an IPv6 address in duplicate detection, a VPN.
//!
//! One missing address does not prevent serving the others. Where the system can do that, its sockets are bound ahead
//! and serve from the moment the address is there; elsewhere they are bound and given to the workers as soon as the
//! control thread finds it. Only a port that somebody else has is an error.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use dotgate_net::presence::{is_absence, look_for};
use dotgate_net::{Named, Presence};

use super::Forwarder;
use super::bind::Awaited;
use crate::log::message::say;
use crate::take_over::Inherited;
use crate::worker::{LateSockets, WorkerCommand};

impl Forwarder {
    /// Logs which listening addresses are not there yet.
    pub(super) fn log_awaited(&self) {
        for awaited in &self.awaited {
            say!(
                ADDRESS_AWAITED,
                address = %awaited.address,
                reason = awaited.reason
            );
        }
        let count = self.running.listeners().len();
        let unbound = self.awaited.iter().filter(|awaited| !awaited.is_bound);
        if self.awaited.len() == count + unbound.count() && !self.awaited.is_empty() {
            say!(NO_ADDRESS);
        }
    }

    /// Whether a listening address is not there yet.
    pub fn is_awaiting(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Looks for the listening addresses that were not there yet, and serves those that are.
    pub fn look_for_addresses(&mut self) {
        for mut awaited in std::mem::take(&mut self.awaited) {
            match self.begin_to_serve(&awaited) {
                Ok(address) => say!(ADDRESS_FOUND, address = %Named(address)),
                Err(problem) => {
                    let reason = problem.to_string();
                    if !is_absence(&problem) && reason != awaited.reason {
                        say!(ADDRESS_UNUSABLE, address = %awaited.address, reason = reason);
                    }
                    awaited.reason = reason;
                    self.awaited.push(awaited);
                }
            }
        }
        self.publish_awaited();
    }

    /// Lets the admin endpoint know which addresses are not there yet.
    pub(super) fn publish_awaited(&self) {
        let texts = self.awaited.iter().map(|it| it.address.to_string());
        self.running.set_awaited(texts.collect());
    }

    /// Gives the workers the sockets of an address that is there now.
    fn begin_to_serve(&mut self, awaited: &Awaited) -> io::Result<SocketAddr> {
        let address = awaited.address.resolve()?;
        look_for(address)?;
        if awaited.is_bound {
            return Ok(address);
        }
        let mut nothing = Inherited::default();
        let bound = self.binding.sockets_at(
            awaited.listener,
            &awaited.address,
            Presence::Required,
            &mut nothing,
        )?;
        if let Some(handed_over) = &self.handed_over {
            handed_over.add(bound.second_descriptors()?);
        }
        let address = bound.address;
        self.running.add_listener(bound.listener, address);
        let workers = self.running.workers().iter();
        let mut udp = bound.udp.into_iter().map(Arc::new);
        let mut quic = bound.quic.into_iter().map(Arc::new);
        let mut streams = bound.streams.into_iter();
        for worker in workers {
            let (udp, quic) = (udp.next(), quic.next());
            for socket in udp.iter().chain(&quic) {
                worker.watch(socket);
            }
            worker.command(WorkerCommand::Listen(Arc::new(LateSockets {
                udp,
                streams: Mutex::new(streams.next()),
                quic,
            })));
        }
        Ok(address)
    }
}
