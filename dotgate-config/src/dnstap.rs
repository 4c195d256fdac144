//! Who reads dnstap.

use std::fmt;
use std::path::PathBuf;

use crate::address::ScopedSocketAddress;
use crate::fault::Fault;
use crate::kinds::{FilePath, Kind};

/// A reader of dnstap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnstapReader {
    /// At this Unix socket.
    Unix(PathBuf),
    /// At this TCP address.
    Tcp(ScopedSocketAddress),
}

impl fmt::Display for DnstapReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// `off`, or a reader.
#[derive(Debug)]
pub struct DnstapPlace;

impl Kind for DnstapPlace {
    type Value = Option<DnstapReader>;

    fn read(&self, text: &str) -> Result<Option<DnstapReader>, Fault> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(None);
        }
        match text.split_once(':') {
            Some(("unix", path)) => FilePath
                .read(path)
                .map(|path| Some(DnstapReader::Unix(path))),
            Some(("tcp", address)) => address.parse().map(|it| Some(DnstapReader::Tcp(it))),
            _ => Err(Fault::NotADnstapReader {
                item: text.to_owned(),
            }),
        }
    }

    fn expected(&self) -> String {
        "off, unix:PATH or tcp:ADDR:PORT".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_at_a_unix_socket_or_at_an_address() {
        let shown = |text: &str| DnstapPlace.read(text).unwrap().map(|it| it.to_string());
        assert_eq!(shown("off"), None);
        for text in [
            "unix:/run/dnstap.sock",
            "tcp:192.0.2.1:6000",
            "tcp:[2001:db8::1]:6000",
        ] {
            assert_eq!(shown(text).as_deref(), Some(text));
        }
        for wrong in [
            "",
            "/run/dnstap.sock",
            "unix:",
            "tcp:192.0.2.1",
            "udp:192.0.2.1:53",
            "on",
        ] {
            assert!(DnstapPlace.read(wrong).is_err(), "{wrong}");
        }
    }
}
