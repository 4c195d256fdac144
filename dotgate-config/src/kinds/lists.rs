//! The kinds of value that are lists: items separated by commas, or an array in the file.
//! A comma at the end is ignored, so that lists can be joined by programs; nothing between two commas is a fault.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;

use domain::base::Name;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::json;

use super::{Kind, all_words, read_word, words};
use crate::address::{ScopedAddress, ScopedSocketAddress, read_prefix};
use crate::fault::Fault;
use crate::hints;
use crate::providers;
use crate::records::{LocalRecord, read_record, split_records};
use crate::upstream::{self, Parameter, UpstreamSpec};
use crate::words::Word;

/// Words of a closed set, each at most once, or none.
#[derive(Debug)]
pub struct SomeOf<W>(pub PhantomData<W>);

impl<W: Word> Kind for SomeOf<W> {
    type Value = Vec<W>;

    fn read(&self, text: &str) -> Result<Vec<W>, Fault> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        distinct(text, W::ALL.len(), read_word)
    }

    fn expected(&self) -> String {
        format!(
            "nothing, or some of {}, separated by commas",
            words::<W>(" and ")
        )
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "type": ["array", "string"], "items": { "enum": all_words::<W>() } })
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// IP addresses to listen on.
#[derive(Debug)]
pub struct ListenAddresses {
    /// The most addresses allowed.
    pub most: usize,
}

impl Kind for ListenAddresses {
    type Value = Vec<ScopedAddress>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        distinct(text, self.most, |item| {
            item.parse()
                .map_err(|fault: Fault| fault.with_hint(hints::of_listener(item)))
        })
    }

    fn expected(&self) -> String {
        format!("1 to {} IP addresses, separated by commas", self.most)
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// Resolvers queried without TLS, with their ports.
#[derive(Debug)]
pub struct Resolvers {
    /// The most addresses allowed.
    pub most: usize,
    /// The port of those written without one.
    pub port: u16,
}

impl Kind for Resolvers {
    type Value = Vec<ScopedSocketAddress>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        distinct(text, self.most, |item| {
            let (address, port) = upstream::split_port(item)?;
            let address = upstream::read_address(address)?;
            Ok(address.with_port(port.unwrap_or(self.port)))
        })
    }

    fn expected(&self) -> String {
        let Self { most, port } = self;
        format!("1 to {most} of ADDR or ADDR@PORT (port {port} if not given), separated by commas")
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// The word for all addresses, IPv4 and IPv6.
pub(super) const ANY: &str = "any";

/// Address prefixes.
#[derive(Debug)]
pub struct Prefixes {
    /// The most prefixes allowed.
    pub most: usize,
}

impl Kind for Prefixes {
    type Value = Vec<IpNet>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        let listed = distinct(text, self.most, |item| {
            if item.eq_ignore_ascii_case(ANY) {
                let all = [IpNet::from(Ipv4Net::default()), Ipv6Net::default().into()];
                return Ok(all.to_vec());
            }
            let prefix = read_prefix(item);
            let prefix = prefix.map_err(|fault| fault.with_hint(hints::of_prefix(item)));
            Ok(vec![prefix?])
        })?;
        Ok(listed.into_iter().flatten().collect())
    }

    fn expected(&self) -> String {
        format!(
            "1 to {} IP addresses or prefixes, separated by commas, or {ANY} for all",
            self.most
        )
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// Names, each standing for itself and everything below it.
#[derive(Debug)]
pub struct Suffixes {
    /// The most names allowed.
    pub most: usize,
}

impl Kind for Suffixes {
    /// Uncompressed and in lower case, with the root label.
    type Value = Vec<Vec<u8>>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        distinct(text, self.most, |item| {
            let name = Name::<Vec<u8>>::from_str(item).map_err(|_| Fault::NotASuffix {
                item: item.to_owned(),
            })?;
            Ok(name.as_slice().to_ascii_lowercase())
        })
    }

    fn expected(&self) -> String {
        format!("nothing, or 1 to {} names, separated by commas", self.most)
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// Upstreams in their one-line form.
#[derive(Debug)]
pub struct Upstreams {
    /// The most upstreams allowed.
    pub most: usize,
}

impl Upstreams {
    /// Those of one group.
    pub(crate) const OF_A_GROUP: Upstreams = Upstreams { most: 16 };
}

impl Kind for Upstreams {
    type Value = Vec<UpstreamSpec>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        let listed = items(text, self.most, providers::read)?;
        let upstreams: Vec<UpstreamSpec> = listed.into_iter().flatten().collect();
        let found = upstreams.len();
        if found > self.most {
            return Err(Fault::TooMany { found });
        }
        Ok(upstreams)
    }

    fn expected(&self) -> String {
        let most = self.most;
        format!(
            "1 to {most} of ADDR[@PORT][#AUTH-NAME][;PARAMETER]... or NAME[@PORT][;PARAMETER]..., or of the words {}, \
             separated by commas; PARAMETER is one of {}",
            providers::words(),
            Parameter::forms()
        )
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// Addresses with their ports, or none by the word `off`.
#[derive(Debug)]
pub struct AdminAddresses {
    /// The most addresses allowed.
    pub most: usize,
}

impl Kind for AdminAddresses {
    type Value = Vec<ScopedSocketAddress>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(Vec::new());
        }
        distinct(text, self.most, |item| {
            item.parse()
                .map_err(|fault: Fault| fault.with_hint(hints::of_admin_listener(item)))
        })
    }

    fn expected(&self) -> String {
        let most = self.most;
        format!("1 to {most} of ADDR:PORT ([ADDR]:PORT for IPv6), separated by commas, or off")
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// Addresses with their ports.
#[derive(Debug)]
pub struct ListenerAddresses {
    /// The most addresses allowed.
    pub most: usize,
}

impl Kind for ListenerAddresses {
    type Value = Vec<ScopedSocketAddress>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        distinct(text, self.most, |item| {
            item.parse()
                .map_err(|fault: Fault| fault.with_hint(hints::of_admin_listener(item)))
        })
    }

    fn expected(&self) -> String {
        let most = self.most;
        format!("1 to {most} of ADDR:PORT ([ADDR]:PORT for IPv6), separated by commas")
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// DNS names of hosts, in lower case.
#[derive(Debug)]
pub struct HostNames {
    /// The most names allowed.
    pub most: usize,
}

impl Kind for HostNames {
    type Value = Vec<String>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        distinct(text, self.most, |item| {
            let name = upstream::read_name(item)?;
            Ok(name.as_ref().to_ascii_lowercase())
        })
    }

    fn expected(&self) -> String {
        format!("1 to {} DNS names, separated by commas", self.most)
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// DNS records in presentation format, separated by semicolons.
#[derive(Debug)]
pub struct Records {
    /// The most records allowed.
    pub most: usize,
}

impl Kind for Records {
    type Value = Vec<LocalRecord>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        let records = split_records(text);
        let found = records.len();
        if found > self.most {
            return Err(Fault::TooMany { found });
        }
        let read = |item: &str| {
            read_record(item).map_err(|why| Fault::NotARecord {
                item: item.to_owned(),
                why,
            })
        };
        records.into_iter().map(read).collect()
    }

    fn expected(&self) -> String {
        format!(
            "at most {} records, NAME [TTL] TYPE DATA as in a zone file, separated by semicolons",
            self.most
        )
    }

    fn is_list(&self) -> bool {
        true
    }

    fn separator(&self) -> char {
        ';'
    }
}

/// The paths of files.
#[derive(Debug)]
pub struct FilePaths {
    /// The most files allowed.
    pub most: usize,
}

impl Kind for FilePaths {
    type Value = Vec<PathBuf>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        distinct(text, self.most, |item| Ok(PathBuf::from(item)))
    }

    fn expected(&self) -> String {
        format!("the paths of 1 to {} files, separated by commas", self.most)
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// The paths of folders, separated by colons as in `PATH`.
#[derive(Debug)]
pub struct FolderPaths;

impl Kind for FolderPaths {
    type Value = Vec<PathBuf>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        let folders = std::env::split_paths(text).filter(|path| !path.as_os_str().is_empty());
        let folders: Vec<PathBuf> = folders.collect();
        if folders.is_empty() {
            Err(Fault::Empty)
        } else {
            Ok(folders)
        }
    }

    fn expected(&self) -> String {
        "the paths of folders, separated by colons".to_owned()
    }
}

/// Reads the items of a comma-separated list, of which there must be 1 to `most`.
pub(crate) fn items<T>(
    text: &str,
    most: usize,
    read: impl Fn(&str) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    if text.is_empty() {
        return Err(Fault::Empty);
    }
    let parts = parts(text);
    let found = parts.len();
    if found > most {
        return Err(Fault::TooMany { found });
    }
    parts
        .into_iter()
        .map(|item| match item {
            "" => Err(Fault::EmptyItem),
            item => read(item).map_err(|fault| fault.with_hint(hints::of_spaces(item))),
        })
        .collect()
}

/// Reads a list as `items` does, in which nothing may stand twice.
pub(super) fn distinct<T: PartialEq>(
    text: &str,
    most: usize,
    read: impl Fn(&str) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let values = items(text, most, read)?;
    for (index, (value, item)) in values.iter().zip(parts(text)).enumerate() {
        if values.iter().take(index).any(|earlier| earlier == value) {
            return Err(Fault::Duplicate {
                item: item.to_owned(),
            });
        }
    }
    Ok(values)
}

/// The items as written, without white space around them, and without the nothing behind a last comma.
fn parts(text: &str) -> Vec<&str> {
    let trimmed = text.trim_end();
    let listed = trimmed.strip_suffix(',').unwrap_or(trimmed);
    listed.split(',').map(str::trim).collect()
}
