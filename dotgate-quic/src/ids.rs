//! Connection IDs that name the worker whose connection it is, to those who have the key.
//!
//! The kernel spreads datagrams over workers by address and port. If a NAT gives a client another port, its packets may reach another worker,
//! which passes them on to the one that the ID names. To everybody else an ID is random: the number is masked with a keyed hash of
//! the other bytes (RFC 9000 section 5.1).

use std::hash::Hasher;
use std::time::Duration;

use dotgate_core::WorkerId;
use quinn_proto::{ConnectionId, ConnectionIdGenerator, HashedConnectionIdGenerator, InvalidCid};
use siphasher::sip::SipHasher13;

/// Bytes of an ID: those of quinn's generator, then the number of the worker.
const RANDOM_LEN: usize = 8;
const ID_LEN: usize = RANDOM_LEN + 1;

/// The bit of a packet's first byte that says that it has a long header, as in the handshake (RFC 9000 section 17.2). The next bit says
/// nothing: it may have either value (RFC 9287).
const LONG_HEADER: u8 = 0x80;

/// What IDs are made and read with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdKeys {
    validity: u64,
    mask: (u64, u64),
}

impl IdKeys {
    /// None if the secret is too short.
    pub(crate) fn new(secret: &[u8]) -> Option<IdKeys> {
        let number = |at: usize| {
            let bytes = secret.get(at..)?.first_chunk()?;
            Some(u64::from_be_bytes(*bytes))
        };
        Some(IdKeys {
            validity: number(0)?,
            mask: (number(8)?, number(16)?),
        })
    }

    /// The worker that has the connection of a packet. None if the packet has a long header, or no ID of ours.
    pub(crate) fn owner(&self, packet: &[u8]) -> Option<WorkerId> {
        let (first, rest) = packet.split_first()?;
        let id = rest.get(..ID_LEN).filter(|_| first & LONG_HEADER == 0)?;
        let (random, worker) = id.split_at_checked(RANDOM_LEN)?;
        let generator = HashedConnectionIdGenerator::from_key(self.validity);
        generator.validate(&ConnectionId::new(random)).ok()?;
        Some(WorkerId(worker.first()? ^ self.mask_for(random)))
    }

    fn mask_for(&self, random: &[u8]) -> u8 {
        let mut hasher = SipHasher13::new_with_keys(self.mask.0, self.mask.1);
        hasher.write(random);
        hasher.finish() as u8
    }
}

/// Makes the IDs of one worker.
pub(crate) struct WorkerIds {
    random: HashedConnectionIdGenerator,
    keys: IdKeys,
    worker: WorkerId,
}

impl WorkerIds {
    pub(crate) fn new(keys: IdKeys, worker: WorkerId) -> WorkerIds {
        WorkerIds {
            random: HashedConnectionIdGenerator::from_key(keys.validity),
            keys,
            worker,
        }
    }
}

impl ConnectionIdGenerator for WorkerIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let random = self.random.generate_cid();
        let worker = self.worker.0 ^ self.keys.mask_for(&random);
        ConnectionId::new(&[&random[..], &[worker]].concat())
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        match id.split_at_checked(RANDOM_LEN) {
            Some((random, [_])) => self.random.validate(&ConnectionId::new(random)),
            Some(_) | None => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        ID_LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(first: u8, id: &ConnectionId) -> Vec<u8> {
        [&[first], &id[..], &[0; 20]].concat()
    }

    #[test]
    fn an_id_names_its_worker_to_those_with_the_key_alone() {
        let keys = IdKeys::new(&[7; 32]).unwrap();
        let others = IdKeys::new(&[8; 32]).unwrap();
        let mut last_bytes = std::collections::BTreeSet::new();
        for worker in (0..=255).map(WorkerId) {
            let mut ids = WorkerIds::new(keys, worker);
            for _ in 0..4 {
                let id = ids.generate_cid();
                assert_eq!(id.len(), ids.cid_len());
                assert!(ids.validate(&id).is_ok());
                for first in [0x00, 0x40, 0x7f] {
                    assert_eq!(keys.owner(&packet(first, &id)), Some(worker));
                }
                // A long header has an ID that the client may have chosen.
                assert_eq!(keys.owner(&packet(0xc0, &id)), None);
                assert_eq!(others.owner(&packet(0x40, &id)), None);
                last_bytes.insert((worker, id[RANDOM_LEN]));
            }
        }
        // The IDs of one worker do not end alike.
        assert!(last_bytes.len() > 900, "{}", last_bytes.len());
    }

    #[test]
    fn what_is_no_packet_names_nobody() {
        let keys = IdKeys::new(&[7; 32]).unwrap();
        for length in 0..30 {
            assert_eq!(keys.owner(&vec![0x40; length]), None);
        }
        let ids = WorkerIds::new(keys, WorkerId(1));
        for length in 0..20 {
            assert!(ids.validate(&ConnectionId::new(&vec![0; length])).is_err());
        }
    }
}
