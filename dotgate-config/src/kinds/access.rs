//! The kind of value that is a list of clients, each with or without the listener at which it holds.

use std::str::FromStr as _;

use dotgate_core::AccessScope;
use dotgate_core::labels::ClientTransport;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Kind;
use super::lists::{ANY, distinct};
use crate::access::{AccessEntry, AccessNetwork};
use crate::address::{ScopedAddress, ScopedSocketAddress, read_prefix};
use crate::fault::Fault;
use crate::hints;

/// The word for the networks of this host's interfaces.
const LOCAL_NETWORKS: &str = "localnets";

/// Entries of a list of clients.
#[derive(Debug)]
pub struct AccessEntries {
    /// The most entries allowed.
    pub most: usize,
}

impl Kind for AccessEntries {
    type Value = Vec<AccessEntry>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        let listed = distinct(text, self.most, read_entry)?;
        Ok(listed.into_iter().flatten().collect())
    }

    fn expected(&self) -> String {
        format!(
            "1 to {} IP addresses or prefixes, {ANY} for all or {LOCAL_NETWORKS} for the networks of this host, each with or \
             without @LISTENER, separated by commas; LISTENER is {} or a listening address",
            self.most,
            transports(", ")
        )
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// The words of all transports.
fn transports(separator: &str) -> String {
    let words = ClientTransport::ALL.iter().map(|it| it.label());
    words.collect::<Vec<_>>().join(separator)
}

fn read_entry(item: &str) -> Result<Vec<AccessEntry>, Fault> {
    let (clients, scope) = match item.split_once('@') {
        None => (item, AccessScope::Everywhere),
        Some((clients, listener)) => (clients, read_scope(item, listener)?),
    };
    let networks = if clients.eq_ignore_ascii_case(ANY) {
        let all = [IpNet::from(Ipv4Net::default()), Ipv6Net::default().into()];
        all.map(AccessNetwork::Prefix).to_vec()
    } else if clients.eq_ignore_ascii_case(LOCAL_NETWORKS) {
        vec![AccessNetwork::Local]
    } else {
        let prefix = read_prefix(clients);
        let prefix = prefix.map_err(|fault| fault.with_hint(hints::of_prefix(clients)));
        vec![AccessNetwork::Prefix(prefix?)]
    };
    let entry = |network| AccessEntry { network, scope };
    Ok(networks.into_iter().map(entry).collect())
}

fn read_scope(item: &str, listener: &str) -> Result<AccessScope, Fault> {
    let mut transports_all = ClientTransport::ALL.iter();
    let is_meant = |it: &&ClientTransport| it.label().eq_ignore_ascii_case(listener);
    if let Some(transport) = transports_all.find(is_meant) {
        return Ok(AccessScope::Transport(*transport));
    }
    let not_a_listener = |hint: Option<String>| {
        let item = item.to_owned();
        Fault::NotAListener { item }.with_hint(hint)
    };
    match ScopedAddress::from_str(listener) {
        Ok(address) if address.ip().is_unspecified() => Err(not_a_listener(Some(
            "an entry without @ holds at every address".to_owned(),
        ))),
        Ok(address) => Ok(AccessScope::Address(address.ip())),
        Err(_) => {
            let is_with_port = ScopedSocketAddress::from_str(listener).is_ok();
            let hint = "the address alone, without its port".to_owned();
            Err(not_a_listener(is_with_port.then_some(hint)))
        }
    }
}
