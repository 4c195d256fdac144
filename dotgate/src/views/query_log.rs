//! The query log: one line for each query, to standard output or a file.
//!
//! Everything is written by the thread of the views, so that a full disk or a blocked pipe costs records and nothing else.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use dotgate_config::{LogFormat, QueryLogConfig, QueryLogPlace};
use thiserror::Error;

use super::filter::passes;
use super::line::{QueryLine, Shown};
use super::ring::TimedRecord;
use crate::log::message::say;

/// Bytes that are written at once.
const WRITE_BYTES: usize = 64 * 1024;

/// Who may read a new file: its owner and its group.
const MODE: u32 = 0o640;

/// Why queries cannot be logged.
#[derive(Debug, Error)]
pub enum QueryLogError {
    /// The file cannot be opened for writing.
    #[error(
        "DOTGATE_QUERY_LOG: cannot write {}: {source}\n  Create its folder, and let the user of dotgate write to it.",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is there, and no regular file: opening a pipe could wait without end.
    #[error(
        "DOTGATE_QUERY_LOG: {} is not a regular file\n  Name a file, or use stdout with a pipe behind it.",
        path.display()
    )]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
}

/// A query log that is about to be written.
#[derive(Debug)]
pub(super) struct QueryLogSetup {
    config: QueryLogConfig,
    output: File,
}

impl QueryLogSetup {
    /// Opens what the settings name; none if queries are not logged.
    pub(super) fn open(config: &QueryLogConfig) -> Result<Option<QueryLogSetup>, QueryLogError> {
        let output = match &config.place {
            QueryLogPlace::Off => return Ok(None),
            QueryLogPlace::Stdout => stdout()?,
            QueryLogPlace::File(path) => open(path)?,
        };
        Ok(Some(QueryLogSetup {
            config: config.clone(),
            output,
        }))
    }
}

/// A descriptor of its own: the command that serves has the standard library's lock.
fn stdout() -> Result<File, QueryLogError> {
    let descriptor = io::stdout().as_fd().try_clone_to_owned();
    descriptor
        .map(File::from)
        .map_err(|source| QueryLogError::Open {
            path: "stdout".into(),
            source,
        })
}

fn open(path: &Path) -> Result<File, QueryLogError> {
    let path = path.to_owned();
    if path.exists() && !path.is_file() {
        return Err(QueryLogError::NotAFile { path });
    }
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).mode(MODE).open(&path);
    opened.map_err(|source| QueryLogError::Open { path, source })
}

/// The query log.
pub(super) struct QueryLog {
    config: QueryLogConfig,
    output: File,
    buffer: Vec<u8>,
    /// Lines in the buffer.
    lines: u64,
    /// Lines that were lost since a write failed; none if the last one succeeded.
    lost: Option<u64>,
    /// Lines that were lost since this was asked last.
    newly_lost: u64,
    /// Queries that passed the filter, for samples.
    passed: u32,
}

impl QueryLog {
    /// Begins to write.
    pub(super) fn new(setup: QueryLogSetup) -> QueryLog {
        QueryLog {
            config: setup.config,
            output: setup.output,
            buffer: Vec::new(),
            lines: 0,
            lost: None,
            newly_lost: 0,
            passed: 0,
        }
    }

    /// Writes a query, if it passes the filter.
    pub(super) fn write(&mut self, record: &TimedRecord, shown: &Shown<'_>) {
        if !passes(&self.config.filter, &record.query) || !self.is_sampled() {
            return;
        }
        let line = QueryLine::of(record, self.config.forms(), shown);
        match self.config.format {
            LogFormat::Text => line.write_text(&mut self.buffer),
            LogFormat::Json => line.write_json(&mut self.buffer),
        }
        self.lines += 1;
        if self.buffer.len() >= WRITE_BYTES {
            self.flush();
        }
    }

    /// Lines that were lost since this was asked last.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.newly_lost)
    }

    fn is_sampled(&mut self) -> bool {
        self.passed = self.passed.wrapping_add(1);
        self.passed.is_multiple_of(self.config.filter.sample)
    }

    /// Writes the rest of the buffer.
    pub(super) fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let written = self.output.write_all(&self.buffer);
        self.buffer.clear();
        let lines = std::mem::take(&mut self.lines);
        let place = || match &self.config.place {
            QueryLogPlace::Off | QueryLogPlace::Stdout => "stdout".to_owned(),
            QueryLogPlace::File(path) => path.display().to_string(),
        };
        match (written, self.lost) {
            (Ok(()), None) => {}
            (Ok(()), Some(lost)) => {
                self.lost = None;
                say!(QUERY_LOG_AGAIN, place = place(), lost = lost);
            }
            (Err(error), lost) => {
                if lost.is_none() {
                    say!(QUERY_LOG_LOST, place = place(), reason = %error);
                }
                self.lost = Some(lost.unwrap_or(0) + lines);
                self.newly_lost += lines;
                // The last line may have been written in part.
                self.buffer.push(b'\n');
            }
        }
    }
}

#[cfg(test)]
mod tests;
