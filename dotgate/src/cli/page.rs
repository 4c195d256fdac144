//! The pages that the program makes from its own tables: `dotgate check --print`.

use std::io::{self, Write};

use dotgate_config::{reference, schema};

use super::manual;
use crate::admin::openapi;
use crate::log;
use crate::metrics;

/// A page made from one of the tables in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `docs/settings.md`.
    Settings,
    /// `etc/full.toml`.
    FullFile,
    /// `docs/metrics.md`.
    Metrics,
    /// `docs/log-messages.md`.
    LogMessages,
    /// `docs/man/dotgate.8`.
    Manual,
    /// `docs/openapi.json`.
    OpenApi,
    /// `etc/dotgate.schema.json`.
    FileSchema,
}

impl Page {
    pub(super) const ALL: [Page; 7] = [
        Page::Settings,
        Page::FullFile,
        Page::Metrics,
        Page::LogMessages,
        Page::Manual,
        Page::OpenApi,
        Page::FileSchema,
    ];

    /// Returns the name of the page's file.
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Page::Settings => "settings.md",
            Page::FullFile => "full.toml",
            Page::Metrics => "metrics.md",
            Page::LogMessages => "log-messages.md",
            Page::Manual => "dotgate.8",
            Page::OpenApi => "openapi.json",
            Page::FileSchema => "dotgate.schema.json",
        }
    }

    /// Returns the page.
    pub fn text(self) -> String {
        match self {
            Page::Settings => reference::settings_page(),
            Page::FullFile => reference::full_file(),
            Page::Metrics => metrics::reference_page(),
            Page::LogMessages => log::reference_page(),
            Page::Manual => manual::page(),
            Page::OpenApi => openapi::description(),
            Page::FileSchema => schema::file(),
        }
    }

    /// Writes the page.
    pub fn write(self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.text().as_bytes())?;
        out.flush()
    }
}
