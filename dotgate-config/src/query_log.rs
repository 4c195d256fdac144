//! The query log: where it goes, which queries it has, and what it says of their clients and names.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use domain::base::Name;
use ipnet::IpNet;

use crate::address::read_prefix;
use crate::fault::Fault;
use crate::hints;
use crate::kinds::{FilePath, Kind, Time, items};
use crate::words::{LogFormat, Word};

/// The most items of a filter.
const FILTER_ITEMS_MAX: usize = 64;

/// The settings of the query log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryLogConfig {
    /// Where it goes.
    pub place: QueryLogPlace,
    /// How a query is written.
    pub format: LogFormat,
    /// Which queries it has.
    pub filter: QueryFilter,
    /// What it says of clients.
    pub clients: ClientForm,
    /// What it says of names.
    pub names: NameForm,
}

impl QueryLogConfig {
    /// What is said of queries, in the log and wherever single queries are shown.
    pub fn forms(&self) -> QueryForms {
        QueryForms {
            clients: self.clients,
            names: self.names,
        }
    }

    /// The file of the log, if it goes to one.
    pub fn file(&self) -> Option<&PathBuf> {
        match &self.place {
            QueryLogPlace::File(path) => Some(path),
            QueryLogPlace::Off | QueryLogPlace::Stdout => None,
        }
    }
}

/// What is said of the client and the name of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryForms {
    /// What is said of clients.
    pub clients: ClientForm,
    /// What is said of names.
    pub names: NameForm,
}

/// Where queries are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryLogPlace {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To this file.
    File(PathBuf),
}

/// Which queries are logged: those that each kind of item allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryFilter {
    /// Those that failed; with `slow`, those that are either.
    pub failed: bool,
    /// Those that took longer.
    pub slow: Option<Duration>,
    /// Those for these names and names below them, uncompressed and in lower case; all names if empty.
    pub suffixes: Vec<Vec<u8>>,
    /// Those of these clients; all clients if empty.
    pub clients: Vec<IpNet>,
    /// One in so many of them, 1 or more.
    pub sample: u32,
}

impl FromStr for QueryFilter {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        Filter.read(text)
    }
}

/// What is said of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientForm {
    /// Its address.
    Full,
    /// The first 24 bits of an IPv4 address, the first 56 of an IPv6 address.
    Prefix,
    /// A pseudonym.
    Hashed,
}

impl Word for ClientForm {
    const ALL: &'static [Self] = &[Self::Full, Self::Prefix, Self::Hashed];

    fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Prefix => "prefix",
            Self::Hashed => "hashed",
        }
    }
}

/// What is said of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameForm {
    /// The name.
    Full,
    /// Its registrable domain.
    Domain,
    /// A pseudonym.
    Hashed,
}

impl Word for NameForm {
    const ALL: &'static [Self] = &[Self::Full, Self::Domain, Self::Hashed];

    fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Domain => "domain",
            Self::Hashed => "hashed",
        }
    }
}

/// `off`, `stdout` or the path of a file.
#[derive(Debug)]
pub struct LogPlace;

impl Kind for LogPlace {
    type Value = QueryLogPlace;

    fn read(&self, text: &str) -> Result<QueryLogPlace, Fault> {
        if text.eq_ignore_ascii_case("off") {
            Ok(QueryLogPlace::Off)
        } else if text.eq_ignore_ascii_case("stdout") {
            Ok(QueryLogPlace::Stdout)
        } else {
            FilePath.read(text).map(QueryLogPlace::File)
        }
    }

    fn expected(&self) -> String {
        "off, stdout or the path of a file".to_owned()
    }
}

/// Conditions on queries, separated by commas; none for all queries.
#[derive(Debug)]
pub struct Filter;

enum Item {
    Failed,
    Slow(Duration),
    Suffix(Vec<u8>),
    Client(IpNet),
    Sample(u32),
}

impl Kind for Filter {
    type Value = QueryFilter;

    fn read(&self, text: &str) -> Result<QueryFilter, Fault> {
        let mut filter = QueryFilter {
            failed: false,
            slow: None,
            suffixes: Vec::new(),
            clients: Vec::new(),
            sample: 1,
        };
        if text.is_empty() {
            return Ok(filter);
        }
        for item in items(text, FILTER_ITEMS_MAX, read_item)? {
            match item {
                Item::Failed => filter.failed = true,
                Item::Slow(limit) => filter.slow = Some(limit),
                Item::Suffix(name) => filter.suffixes.push(name),
                Item::Client(prefix) => filter.clients.push(prefix),
                Item::Sample(of) => filter.sample = of,
            }
        }
        Ok(filter)
    }

    fn expected(&self) -> String {
        format!(
            "nothing, or up to {FILTER_ITEMS_MAX} of failed, slow>TIME, suffix=NAME, client=PREFIX and sample=1/N, \
             separated by commas"
        )
    }

    fn is_list(&self) -> bool {
        true
    }
}

fn read_item(item: &str) -> Result<Item, Fault> {
    let unknown = || Fault::NotAQueryFilter {
        item: item.to_owned(),
    };
    if item == "failed" {
        return Ok(Item::Failed);
    }
    if let Some(time) = item.strip_prefix("slow>") {
        let limit = Time {
            lowest: Duration::from_millis(1),
            highest: Duration::from_secs(30),
        };
        return limit.read(time.trim()).map(Item::Slow);
    }
    match item.split_once('=') {
        Some(("suffix", name)) => {
            let name = Name::<Vec<u8>>::from_str(name).map_err(|_| Fault::NotASuffix {
                item: name.to_owned(),
            })?;
            Ok(Item::Suffix(name.as_slice().to_ascii_lowercase()))
        }
        Some(("client", prefix)) => {
            let read = read_prefix(prefix);
            let read = read.map_err(|fault| fault.with_hint(hints::of_prefix(prefix)));
            read.map(Item::Client)
        }
        Some(("sample", part)) => {
            let of = part.strip_prefix("1/").and_then(|of| of.parse().ok());
            of.filter(|of| *of > 0)
                .map(Item::Sample)
                .ok_or_else(unknown)
        }
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_each_kind_of_item() {
        let text =
            "failed, slow>200ms,suffix=Example.com,suffix=test,client=192.0.2.0/24,sample=1/100";
        let filter = Filter.read(text).unwrap();
        assert!(filter.failed);
        assert_eq!(filter.slow, Some(Duration::from_millis(200)));
        let names: [&[u8]; 2] = [b"\x07example\x03com\0", b"\x04test\0"];
        assert_eq!(filter.suffixes, names);
        assert_eq!(filter.clients, ["192.0.2.0/24".parse().unwrap()]);
        assert_eq!(filter.sample, 100);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for wrong in [
            "fail",
            "slow",
            "slow>0s",
            "slow>fast",
            "suffix=a..b",
            "client=192.0.2.1/24",
            "sample=2/3",
            "sample=1/0",
            "failed,,slow>1s",
        ] {
            assert!(Filter.read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_is_a_word_or_a_file() {
        assert_eq!(LogPlace.read("off").unwrap(), QueryLogPlace::Off);
        assert_eq!(LogPlace.read("STDOUT").unwrap(), QueryLogPlace::Stdout);
        let file = LogPlace.read("/var/log/dotgate/queries.log").unwrap();
        assert_eq!(
            file,
            QueryLogPlace::File("/var/log/dotgate/queries.log".into())
        );
    }
}
