//! The kinds of value a setting can have: how each is read from text, and how it is described to an operator.
//! It is under the table of settings, which gives every kind its range; above it is the conversion to `Config`.
//! A kind never reads a file, a clock or the environment, and never replaces a wrong value by another one.
//! Units: durations are written with `ms`, `s`, `m`, `h` or `d`; sizes with nothing (bytes), `KiB`, `MiB`, `GiB` (powers of
//! 1024), `KB`, `MB` or `GB` (powers of 1000), in any letter case.

mod access;
mod lists;
mod portal;
mod routes;
mod strategy;
mod user;

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use domain::base::Name;
use serde_json::{Value, json};

pub(super) use self::access::AccessEntries;
pub(super) use self::lists::items;
pub(super) use self::lists::{
    AdminAddresses, FilePaths, FolderPaths, HostNames, ListenAddresses, ListenerAddresses,
    Prefixes, Records, Resolvers, SomeOf, Suffixes, Upstreams,
};
pub(super) use self::portal::Portal;
pub use self::portal::{PortalPolicy, read_resolver};
pub use self::routes::Suffix;
pub(super) use self::routes::{
    Domains, Nat64, RouteSpec, Routes, SUFFIXES_MAX, read_dns64, read_suffixes, read_upstreams,
};
pub(super) use self::strategy::{HexKey, Percent};
pub(super) use self::user::UserName;
pub use self::user::UserSpec;
use super::fault::Fault;
use super::hints;
use super::numbers::{bytes, digits, milliseconds, number_and_unit};
use super::upstream::read_path;
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

    /// What stands between the items of a list.
    fn separator(&self) -> char {
        ','
    }

    /// The JSON Schema of a value in the file.
    fn schema(&self) -> Value {
        match self.is_list() {
            true => json!({ "type": ["array", "string"], "items": { "type": "string" } }),
            false => json!({ "type": "string", "minLength": 1 }),
        }
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

    fn schema(&self) -> Value {
        let number = |bound: &T| bound.to_string().parse::<u64>().unwrap_or(u64::MAX);
        json!({
            "type": ["integer", "string"],
            "minimum": number(&self.lowest),
            "maximum": number(&self.highest),
            "pattern": "^[0-9]+$",
        })
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
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Amount::Auto);
        }
        self.0.read(text).map(Amount::Exactly)
    }

    fn expected(&self) -> String {
        format!("{}, or auto", self.0.expected())
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [{ "const": "auto" }, self.0.schema()] })
    }
}

/// A value of kind `K`, or the word `off`.
#[derive(Debug)]
pub struct OrOff<K>(pub K);

impl<K: Kind> Kind for OrOff<K> {
    type Value = Option<K::Value>;

    fn read(&self, text: &str) -> Result<Self::Value, Fault> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(None);
        }
        self.0.read(text).map(Some)
    }

    fn expected(&self) -> String {
        format!("{}, or off", self.0.expected())
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [{ "const": "off" }, self.0.schema()] })
    }
}

/// A duration in whole milliseconds, seconds, minutes, hours or days.
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
        let not_a_duration = || Fault::NotADuration.with_hint(hints::of_duration(text));
        digits(number).ok_or_else(not_a_duration)?;
        let milliseconds_each = milliseconds(unit).ok_or_else(not_a_duration)?;
        let milliseconds = scaled(number, milliseconds_each)?;
        within(
            Duration::from_millis(milliseconds),
            &self.lowest,
            &self.highest,
        )
    }

    fn expected(&self) -> String {
        let (lowest, highest) = (shown_duration(self.lowest), shown_duration(self.highest));
        format!(
            "a duration from {lowest} to {highest}, a whole number followed by ms, s, m, h or d"
        )
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" })
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
        let not_a_size = || Fault::NotASize.with_hint(hints::of_size(text));
        digits(number).ok_or_else(not_a_size)?;
        let bytes_each = bytes(unit).ok_or_else(not_a_size)?;
        let bytes = u32::try_from(scaled(number, bytes_each)?).map_err(|_| Fault::OutOfRange)?;
        within(ByteCount(bytes), &self.lowest, &self.highest)
    }

    fn expected(&self) -> String {
        let Self { lowest, highest } = self;
        format!(
            "a size from {lowest} to {highest}, in bytes or followed by KiB, MiB, GiB (1024), KB, MB or GB (1000)"
        )
    }

    fn schema(&self) -> Value {
        json!({
            "type": ["integer", "string"],
            "minimum": self.lowest.0,
            "maximum": self.highest.0,
            "pattern": "^[0-9]+([KkMmGg]?[Ii]?[Bb])?$",
        })
    }
}

/// `true` or `false`, or what people write for it.
#[derive(Debug)]
pub struct Switch;

impl Kind for Switch {
    type Value = bool;

    fn read(&self, text: &str) -> Result<bool, Fault> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(Fault::NotABoolean),
        }
    }

    fn expected(&self) -> String {
        "true or false".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": ["boolean", "string"], "enum": [true, false, "true", "false", "yes", "no", "on", "off"] })
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

    fn schema(&self) -> Value {
        json!({ "type": "string", "enum": all_words::<W>() })
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

/// The path of a file. Whether it can be read is found out by who reads it.
#[derive(Debug)]
pub struct FilePath;

impl Kind for FilePath {
    type Value = PathBuf;

    fn read(&self, text: &str) -> Result<PathBuf, Fault> {
        read_path(text)
    }

    fn expected(&self) -> String {
        "the path of a file".to_owned()
    }
}

/// Where a Unix socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketPlace {
    /// The program finds the place.
    Auto,
    /// There is none.
    Off,
    /// At this path.
    At(PathBuf),
}

/// The path of a Unix socket, or `auto` or `off`.
#[derive(Debug)]
pub struct SocketPath;

impl Kind for SocketPath {
    type Value = SocketPlace;

    fn read(&self, text: &str) -> Result<SocketPlace, Fault> {
        if text.eq_ignore_ascii_case("auto") {
            Ok(SocketPlace::Auto)
        } else if text.eq_ignore_ascii_case("off") {
            Ok(SocketPlace::Off)
        } else {
            FilePath.read(text).map(SocketPlace::At)
        }
    }

    fn expected(&self) -> String {
        "the path of a Unix socket, or auto or off".to_owned()
    }
}

/// Writes a duration as a setting is written.
pub(super) fn shown_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        _ if duration.subsec_millis() != 0 => format!("{}ms", duration.as_millis()),
        0 => "0s".to_owned(),
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ => format!("{seconds}s"),
    }
}

pub(super) fn read_word<W: Word>(text: &str) -> Result<W, Fault> {
    let is_meant = |candidate: &&W| candidate.word().eq_ignore_ascii_case(text);
    let found = W::ALL.iter().find(is_meant);
    found.copied().ok_or_else(|| {
        let item = text.to_owned();
        Fault::NotAWord { item }.with_hint(W::hint(text))
    })
}

fn all_words<W: Word>() -> Vec<&'static str> {
    W::ALL.iter().map(|word| word.word()).collect()
}

fn words<W: Word>(conjunction: &str) -> String {
    let words = all_words::<W>();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{}{conjunction}{last}", others.join(", ")),
        None => String::new(),
    }
}

fn within<T: PartialOrd>(value: T, lowest: &T, highest: &T) -> Result<T, Fault> {
    if value < *lowest || value > *highest {
        Err(Fault::OutOfRange)
    } else {
        Ok(value)
    }
}

fn scaled(digits: &str, each: u64) -> Result<u64, Fault> {
    let number: u64 = digits.parse().map_err(|_| Fault::OutOfRange)?;
    number.checked_mul(each).ok_or(Fault::OutOfRange)
}

#[cfg(test)]
mod tests;
