//! The kinds of value a setting can have: how each is read from text, and how it is described to an operator.
//! Stands under the table of settings, which gives every kind its range; above it is the conversion to `Config`.
//! A kind never reads a file, a clock or the environment, and never replaces a wrong value by another one.
//! Units: durations are written with `ms`, `s` or `m`, sizes with nothing (bytes), `KiB`, `MiB` or `GiB`.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use domain::base::Name;
use ipnet::IpNet;

use super::address::{ScopedAddress, ScopedSocketAddress, read_prefix};
use super::fault::Fault;
use super::upstream::{self, UpstreamSpec};
use super::words::Word;

/// How a value is read and described.
pub trait Kind: fmt::Debug + Sync + 'static {
    /// What the text means.
    type Value;

    /// Reads `text`, which has no white space around it.
    fn read(&self, text: &str) -> Result<Self::Value, Fault>;

    /// Says what is expected, to follow the word "expected".
    fn expected(&self) -> String;

    /// Whether the file may hold an array.
    fn is_list(&self) -> bool {
        false
    }
}

/// A whole number from `lowest` to `highest`.
#[derive(Debug)]
pub struct Number<T> {
    /// The lowest number allowed.
    pub lowest: T,
    /// The highest number allowed.
    pub highest: T,
    /// What is counted, in the plural; empty where the setting's name says it.
    pub unit: &'static str,
}

impl<T> Kind for Number<T>
where
    T: Copy + fmt::Debug + fmt::Display + FromStr + PartialOrd + Sync + 'static,
{
    type Value = T;

    fn read(&self, text: &str) -> Result<T, Fault> {
        digits(text).ok_or(Fault::NotANumber)?;
        let number = text.parse().map_err(|_| Fault::OutOfRange)?;
        within(number, &self.lowest, &self.highest)
    }

    fn expected(&self) -> String {
        let Self {
            lowest,
            highest,
            unit,
        } = self;
        let of = if unit.is_empty() { "" } else { " of " };
        format!("a whole number{of}{unit} from {lowest} to {highest}")
    }
}

/// A number that the program finds itself unless the operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount<T> {
    /// The operator left it to the program.
    Auto,
    /// The operator wants this number.
    Exactly(T),
}

/// A value of kind `K`, or the word `auto`.
#[derive(Debug)]
pub struct OrAuto<K>(pub K);

impl<K: Kind> Kind for OrAuto<K> {
    type Value = Amount<K::Value>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        if text == "auto" {
            return Ok(Amount::Auto);
        }
        self.0.read(text).map(Amount::Exactly)
    }

    fn expected(&self) -> String {
        format!("{}, or auto", self.0.expected())
    }
}

/// A duration in whole milliseconds, seconds or minutes.
#[derive(Debug)]
pub struct Time {
    /// The shortest duration allowed.
    pub lowest: Duration,
    /// The longest duration allowed.
    pub highest: Duration,
}

impl Kind for Time {
    type Value = Duration;

    fn read(&self, text: &str) -> Result<Duration, Fault> {
        let (number, unit) = number_and_unit(text);
        digits(number).ok_or(Fault::NotADuration)?;
        let milliseconds_each = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            _ => return Err(Fault::NotADuration),
        };
        let milliseconds = scaled(number, milliseconds_each)?;
        within(
            Duration::from_millis(milliseconds),
            &self.lowest,
            &self.highest,
        )
    }

    fn expected(&self) -> String {
        let (lowest, highest) = (shown_duration(self.lowest), shown_duration(self.highest));
        format!("a duration from {lowest} to {highest}, a whole number followed by ms, s or m")
    }
}

/// A number of bytes, at most 4 GiB less one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub u32);

impl ByteCount {
    /// Makes a count of whole kibibytes.
    pub const fn kibibytes(count: u32) -> ByteCount {
        ByteCount(count * 1024)
    }

    /// Makes a count of whole mebibytes.
    pub const fn mebibytes(count: u32) -> ByteCount {
        ByteCount::kibibytes(count * 1024)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        match bytes {
            0 => write!(f, "0"),
            _ if bytes.is_multiple_of(1 << 20) => write!(f, "{}MiB", bytes >> 20),
            _ if bytes.is_multiple_of(1 << 10) => write!(f, "{}KiB", bytes >> 10),
            _ => write!(f, "{bytes}"),
        }
    }
}

/// A number of bytes.
#[derive(Debug)]
pub struct Size {
    /// The smallest size allowed.
    pub lowest: ByteCount,
    /// The largest size allowed.
    pub highest: ByteCount,
}

impl Kind for Size {
    type Value = ByteCount;

    fn read(&self, text: &str) -> Result<ByteCount, Fault> {
        let (number, unit) = number_and_unit(text);
        digits(number).ok_or(Fault::NotASize)?;
        let bytes_each = match unit {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(Fault::NotASize),
        };
        let bytes = u32::try_from(scaled(number, bytes_each)?).map_err(|_| Fault::OutOfRange)?;
        within(ByteCount(bytes), &self.lowest, &self.highest)
    }

    fn expected(&self) -> String {
        let Self { lowest, highest } = self;
        format!("a size from {lowest} to {highest}, in bytes or followed by KiB, MiB or GiB")
    }
}

/// `true` or `false`.
#[derive(Debug)]
pub struct Switch;

impl Kind for Switch {
    type Value = bool;

    fn read(&self, text: &str) -> Result<bool, Fault> {
        text.parse().map_err(|_| Fault::NotABoolean)
    }

    fn expected(&self) -> String {
        "true or false".to_owned()
    }
}

/// One word of a closed set.
#[derive(Debug)]
pub struct OneOf<W>(pub PhantomData<W>);

impl<W: Word> Kind for OneOf<W> {
    type Value = W;

    fn read(&self, text: &str) -> Result<W, Fault> {
        read_word(text)
    }

    fn expected(&self) -> String {
        words::<W>(" or ")
    }
}

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
        distinct(text, self.most, str::parse)
    }

    fn expected(&self) -> String {
        format!("1 to {} IP addresses, separated by commas", self.most)
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// Resolvers asked in the clear, with their ports.
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

/// Address prefixes.
#[derive(Debug)]
pub struct Prefixes {
    /// The most prefixes allowed.
    pub most: usize,
}

impl Kind for Prefixes {
    type Value = Vec<IpNet>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        distinct(text, self.most, read_prefix)
    }

    fn expected(&self) -> String {
        format!(
            "1 to {} IP addresses or prefixes, separated by commas",
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

/// One name.
#[derive(Debug)]
pub struct DomainName;

impl Kind for DomainName {
    /// Uncompressed and in lower case, with the root label.
    type Value = Vec<u8>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        let name = Name::<Vec<u8>>::from_str(text).map_err(|_| Fault::NotASuffix {
            item: text.to_owned(),
        })?;
        Ok(name.as_slice().to_ascii_lowercase())
    }

    fn expected(&self) -> String {
        "a domain name; . is the root".to_owned()
    }
}

/// Upstreams in their one-line form.
#[derive(Debug)]
pub struct Upstreams {
    /// The most upstreams allowed.
    pub most: usize,
}

impl Kind for Upstreams {
    type Value = Vec<UpstreamSpec>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        items(text, self.most, str::parse)
    }

    fn expected(&self) -> String {
        let most = self.most;
        format!(
            "1 to {most} of ADDR[@PORT][#AUTH-NAME][;pin=sha256/BASE64]... or \
             NAME[@PORT][;pin=sha256/BASE64]..., separated by commas"
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
        if text == "off" {
            return Ok(Vec::new());
        }
        distinct(text, self.most, str::parse)
    }

    fn expected(&self) -> String {
        let most = self.most;
        format!("1 to {most} of ADDR:PORT ([ADDR]:PORT for IPv6), separated by commas, or off")
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

/// The path of a file. Whether it can be read is found out by who reads it.
#[derive(Debug)]
pub struct FilePath;

impl Kind for FilePath {
    type Value = PathBuf;

    fn read(&self, text: &str) -> Result<PathBuf, Fault> {
        if text.is_empty() {
            Err(Fault::Empty)
        } else {
            Ok(PathBuf::from(text))
        }
    }

    fn expected(&self) -> String {
        "the path of a file".to_owned()
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

/// Writes a duration as a setting is written.
pub(super) fn shown_duration(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

fn read_word<W: Word>(text: &str) -> Result<W, Fault> {
    let found = W::ALL.iter().find(|candidate| candidate.word() == text);
    found.copied().ok_or_else(|| Fault::NotAWord {
        item: text.to_owned(),
    })
}

fn words<W: Word>(conjunction: &str) -> String {
    let words: Vec<&str> = W::ALL.iter().map(|word| word.word()).collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{}{conjunction}{last}", others.join(", ")),
        None => String::new(),
    }
}

/// Reads the items of a comma-separated list, of which there must be 1 to `most`.
fn items<T>(
    text: &str,
    most: usize,
    read: impl Fn(&str) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    if text.is_empty() {
        return Err(Fault::Empty);
    }
    let found = text.split(',').count();
    if found > most {
        return Err(Fault::TooMany { found });
    }
    text.split(',')
        .map(|item| match item.trim() {
            "" => Err(Fault::EmptyItem),
            item => read(item),
        })
        .collect()
}

/// Reads a list as `items` does, in which nothing may stand twice.
fn distinct<T: PartialEq>(
    text: &str,
    most: usize,
    read: impl Fn(&str) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let values = items(text, most, read)?;
    for (index, (value, item)) in values.iter().zip(text.split(',')).enumerate() {
        if values.iter().take(index).any(|earlier| earlier == value) {
            return Err(Fault::Duplicate {
                item: item.trim().to_owned(),
            });
        }
    }
    Ok(values)
}

fn within<T: PartialOrd>(value: T, lowest: &T, highest: &T) -> Result<T, Fault> {
    if value < *lowest || value > *highest {
        Err(Fault::OutOfRange)
    } else {
        Ok(value)
    }
}

/// Returns `text` if it is decimal digits and nothing else (`+5` is for Rust, not for operators).
pub(super) fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn number_and_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

fn scaled(digits: &str, each: u64) -> Result<u64, Fault> {
    let number: u64 = digits.parse().map_err(|_| Fault::OutOfRange)?;
    number.checked_mul(each).ok_or(Fault::OutOfRange)
}

#[cfg(test)]
mod tests;
