//! Local data as the operator wrote it: the records of the settings and the hosts file, made into what the engines
//! answer from.
//!
//! It is between the configuration and the start, a reload, and `dotgate check`, all of which read it here. Whatever is
//! wrong has the whole refused, with file and line. Never on the path of a query.
//!
//! Limits: [`FILE_MAX`](crate::lines::FILE_MAX) bytes of a file, [`HOSTS_MAX`] names with an address in a hosts file.

mod hosts;
mod rules;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dotgate_config::{Escaped, LocalConfig};
use dotgate_core::{LocalData, LocalDataBuilder, LocalFault, RecordId};
use dotgate_wire::rtype;
use thiserror::Error;

pub use self::hosts::{HostEntry, read as read_hosts};
pub use self::rules::rules_for;
use crate::filter::{ListError, LoadedFilter};
use crate::lines::{FileError, NameFault, read_file};

/// The most names with an address in a hosts file.
pub const HOSTS_MAX: usize = 1_000_000;

/// Why local data cannot be used.
#[derive(Debug, Error)]
pub enum LocalError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line of a file is wrong.
    #[error("{}:{line}: {fault}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u32,
        /// What is wrong with it.
        fault: LineFault,
    },
    /// A list cannot be used.
    #[error(transparent)]
    List(#[from] ListError),
    /// Records are right one by one, but cannot be served together.
    #[error("{place}: {fault}{}", Other(.other.as_deref()))]
    Records {
        /// Where the record is.
        place: String,
        /// What is wrong with it.
        fault: LocalFault,
        /// Where the other record is.
        other: Option<String>,
    },
}

/// The place of a second record, at the end of a sentence.
struct Other<'a>(Option<&'a str>);

impl fmt::Display for Other<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(place) => write!(f, "\n  the other one: {place}"),
            None => Ok(()),
        }
    }
}

/// What is wrong with a line of a file.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LineFault {
    /// It does not begin with an address.
    #[error("{} is not an IP address\n  expected: ADDRESS NAME [NAME]..., as in 192.168.1.10 nas.home.arpa", Escaped(.0))]
    NotAnAddress(String),
    /// It has an address alone.
    #[error(
        "the address has no name\n  expected: ADDRESS NAME [NAME]..., as in 192.168.1.10 nas.home.arpa"
    )]
    NoName,
    /// It has something that is not a name.
    #[error(transparent)]
    NotAName(#[from] NameFault),
    /// It is one too many.
    #[error("more than {HOSTS_MAX} names with an address")]
    TooMany,
}

/// Local data, read and found to be right.
#[derive(Clone, Debug, Default)]
pub struct Local {
    data: Option<Arc<LocalData>>,
    /// Names with an address in the hosts file.
    hosts: usize,
    filter: LoadedFilter,
}

impl Local {
    /// Reads all that the settings name.
    ///
    /// # Errors
    /// The first [`LocalError`].
    pub fn load(config: &LocalConfig) -> Result<Local, LocalError> {
        Local::load_after(config, &LoadedFilter::default())
    }

    /// The same where a filter is active, which stays if nothing about it has changed.
    ///
    /// # Errors
    /// As [`Local::load`].
    pub fn load_after(config: &LocalConfig, before: &LoadedFilter) -> Result<Local, LocalError> {
        let filter = LoadedFilter::load(&config.filter, config.ttl, before)?;
        let ttl = u32::try_from(config.ttl.as_secs()).unwrap_or(u32::MAX);
        let mut loading = Loading {
            config,
            ttl,
            builder: LocalDataBuilder::new(),
        };
        for (id, record) in (0..).zip(&config.records) {
            let ttl = record.ttl.unwrap_or(ttl);
            loading.add((&record.name, record.rtype), ttl, &record.rdata, id)?;
        }
        let mut hosts = 0;
        if let Some(path) = &config.hosts_file {
            hosts = loading.read_hosts(path)?;
        }
        let Loading { builder, .. } = loading;
        if builder.is_empty() {
            return Ok(Local {
                data: None,
                hosts,
                filter,
            });
        }
        // Without randomness of the system the hashes are known to all, which is no more than a nuisance.
        let seed = getrandom::u64().unwrap_or_default();
        let data = builder.finish(seed, ttl);
        let data = data.map_err(|fault| error_of(config, fault))?;
        Ok(Local {
            data: Some(Arc::new(data)),
            hosts,
            filter,
        })
    }

    /// What the engines answer from; none if no name is local.
    pub fn data(&self) -> Option<Arc<LocalData>> {
        self.data.clone()
    }

    /// What is filtered.
    pub fn filter(&self) -> &LoadedFilter {
        &self.filter
    }

    /// Says what there is, in lines for people.
    pub fn describe(&self, config: &LocalConfig) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(path) = &config.hosts_file {
            lines.push(format!(
                "hosts file {}: {} names with an address",
                path.display(),
                self.hosts
            ));
        }
        if let Some(data) = &self.data {
            lines.push(format!(
                "local data: {} names (reverse names included), {} records, {} bytes of memory",
                data.names(),
                data.records(),
                data.bytes()
            ));
        }
        lines.extend(self.filter.describe());
        lines
    }
}

/// Local data being read.
struct Loading<'c> {
    config: &'c LocalConfig,
    ttl: u32,
    builder: LocalDataBuilder,
}

impl Loading<'_> {
    fn add(
        &mut self,
        (name, rtype): (&[u8], u16),
        ttl: u32,
        rdata: &[u8],
        id: RecordId,
    ) -> Result<(), LocalError> {
        let added = self.builder.add(name, rtype, ttl, rdata, id);
        added.map_err(|fault| error_of(self.config, fault))
    }

    fn read_hosts(&mut self, path: &Path) -> Result<usize, LocalError> {
        let text = read_file(path)?;
        let first_id = first_of_hosts(self.config);
        let mut count = 0;
        hosts::read(&text, |line, entry| {
            let wrong = |fault| LocalError::Line {
                path: path.to_owned(),
                line,
                fault,
            };
            let entry = entry.map_err(wrong)?;
            count += 1;
            if count > HOSTS_MAX {
                return Err(wrong(LineFault::TooMany));
            }
            let id = first_id.saturating_add(line);
            let name = entry.name.as_slice();
            match entry.address {
                IpAddr::V4(address) => self.add((name, rtype::A), self.ttl, &address.octets(), id),
                IpAddr::V6(address) => {
                    self.add((name, rtype::AAAA), self.ttl, &address.octets(), id)
                }
            }
        })?;
        Ok(count)
    }
}

/// The number of what stands in line 0 of the hosts file, behind those of the settings.
fn first_of_hosts(config: &LocalConfig) -> RecordId {
    RecordId::try_from(config.records.len()).unwrap_or(RecordId::MAX)
}

/// Where a record is, for people.
fn place_of(config: &LocalConfig, id: RecordId) -> String {
    let first = first_of_hosts(config);
    let written = usize::try_from(id)
        .ok()
        .and_then(|id| config.records.get(id));
    match (written, &config.hosts_file) {
        (Some(record), _) => format!("{}: {}", record.place, Escaped(&record.text)),
        (None, Some(path)) => format!("{}:{}", path.display(), id.saturating_sub(first)),
        (None, None) => "local data".to_owned(),
    }
}

fn error_of(config: &LocalConfig, fault: LocalFault) -> LocalError {
    let (id, other) = match fault {
        LocalFault::CnameAndOther(id, other) => (Some(id), Some(other)),
        LocalFault::LongChain(id) | LocalFault::LargeSet(id) => (Some(id), None),
        LocalFault::TooLarge => (None, None),
    };
    LocalError::Records {
        place: id.map_or_else(|| "local data".to_owned(), |id| place_of(config, id)),
        fault,
        other: other.map(|id| place_of(config, id)),
    }
}

#[cfg(test)]
mod tests;
