//! A value as text, and where it was written.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the table's.
    Default,
    /// On the command line, behind this option.
    Option(&'static str),
    /// In this variable.
    Variable(String),
    /// At the admin endpoint, by this owner of routes.
    Owner(String),
    /// In the file.
    File {
        /// The file as it was named.
        path: Arc<Path>,
        /// The line, counted from 1.
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::Option(option) => write!(f, "{option}"),
            Self::Variable(variable) => write!(f, "{variable}"),
            Self::Owner(owner) => write!(f, "routes of {owner}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// One value as text, with no white space around it. The items of a list are separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceValue {
    /// The value.
    pub text: String,
    /// Where it was written.
    pub origin: Origin,
}
