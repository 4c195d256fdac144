//! The pages that the program makes from its own tables: `dotgate check --print`.

use std::io::{self, Write};

use super::manual;
use crate::config::reference;
use crate::metrics;

/// A page made from the table of settings, or from that of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `docs/settings.md`.
    Settings,
    /// `etc/full.toml`.
    FullFile,
    /// `docs/metrics.md`.
    Metrics,
    /// `docs/man/dotgate.8`.
    Manual,
}

impl Page {
    pub(super) const ALL: [Page; 4] = [Page::Settings, Page::FullFile, Page::Metrics, Page::Manual];

    /// Returns the name of the page's file.
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Page::Settings => "settings.md",
            Page::FullFile => "full.toml",
            Page::Metrics => "metrics.md",
            Page::Manual => "dotgate.8",
        }
    }

    /// Returns the page.
    pub fn text(self) -> String {
        match self {
            Page::Settings => reference::settings_page(),
            Page::FullFile => reference::full_file(),
            Page::Metrics => metrics::reference_page(),
            Page::Manual => manual::page(),
        }
    }

    /// Writes the page and returns the exit status.
    pub fn write(self, out: &mut dyn Write) -> io::Result<u8> {
        out.write_all(self.text().as_bytes())?;
        out.flush()?;
        Ok(0)
    }
}
