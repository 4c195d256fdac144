//! Who may ask.

use std::net::IpAddr;

use dotgate_core::AccessScope;

use super::ServerConfig;
use crate::access::{AccessConfig, AccessEntry, AccessFault};
use crate::address::ScopedSocketAddress;
use crate::origin::Origin;
use crate::problem::Problem;
use crate::reader::Reader;
use crate::settings as table;

/// Reads who may ask at the listeners of `server`.
pub(super) fn read(reader: &mut Reader<'_>, server: Option<&ServerConfig>) -> Option<AccessConfig> {
    let listeners = server.map(ServerConfig::addresses);
    let allow = reader.value_with_origin(&table::ACCESS_ALLOW);
    let deny = reader.value_with_origin(&table::ACCESS_DENY);
    let answer = reader.value(&table::ACCESS_ANSWER);
    for (variable, entries) in [
        ("DOTGATE_ACCESS_ALLOW", &allow),
        ("DOTGATE_ACCESS_DENY", &deny),
    ] {
        let (Some((entries, origin)), Some(listeners)) = (entries, &listeners) else {
            continue;
        };
        refuse_missing_listeners(reader, (variable, entries, origin), listeners);
    }
    Some(AccessConfig {
        allow: allow?.0,
        deny: deny.map(|(deny, _)| deny).unwrap_or_default(),
        answer: answer?,
    })
}

fn refuse_missing_listeners(
    reader: &mut Reader<'_>,
    (variable, entries, origin): (&'static str, &[AccessEntry], &Origin),
    listeners: &[ScopedSocketAddress],
) {
    let serves = |address: IpAddr| {
        listeners.iter().any(|listener| {
            let all =
                listener.ip().is_unspecified() && listener.ip().is_ipv4() == address.is_ipv4();
            listener.ip() == address || all
        })
    };
    for entry in entries {
        if let AccessScope::Address(address) = entry.scope
            && !serves(address)
        {
            let fault = AccessFault::NoSuchListener { variable, address };
            let origin = origin.clone();
            reader.problems.push(Problem::Access { origin, fault });
        }
    }
}
