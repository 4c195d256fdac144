//! What the table of settings holds for each: its names, what holds without it, and its kind.
//! It is under the table; code that iterates over all settings uses `Described`.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use super::fault::Fault;
use super::kinds::Kind;

/// The beginning of all variables that are dotgate's own.
pub(super) const PREFIX: &str = "DOTGATE_";

/// One setting and how its value is read.
#[derive(Debug)]
pub struct Setting<K> {
    /// What does not depend on the kind.
    pub entry: Entry,
    /// The kind of its value, with its range.
    pub kind: K,
}

/// What is known of a setting apart from its kind.
#[derive(Debug)]
pub struct Entry {
    /// What it is called.
    pub names: Names,
    /// When another value holds.
    pub reload: Reload,
    /// What holds if it is not set.
    pub unset: Unset,
    /// What it does, in one sentence.
    pub doc: &'static str,
    /// A value for examples, other than the default where that shows more.
    pub example: &'static str,
}

/// What a setting is called in the environment and in the file.
#[derive(Debug)]
pub enum Names {
    /// A plain variable, and `[section] key`.
    Plain {
        /// The variable.
        variable: &'static str,
        /// The section of the file.
        section: &'static str,
        /// The key in the section.
        key: &'static str,
    },
    /// `DOTGATE_<SECTION>_<KEY>`, and `[section] key`.
    Prefixed {
        /// The section of the file.
        section: &'static str,
        /// The key in the section.
        key: &'static str,
    },
    /// A variable that the file cannot replace.
    VariableOnly(&'static str),
}

/// When another value of a setting holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reload {
    /// As soon as the configuration is reloaded.
    Live,
    /// Once the program restarts, or is replaced.
    Restart,
}

/// What holds if a setting is not set.
#[derive(Debug)]
pub enum Unset {
    /// The program does not start.
    Required,
    /// This value, as the operator would write it.
    Default(&'static str),
    /// Nothing takes its place.
    Nothing,
}

impl Entry {
    /// Returns the variable.
    pub fn variable(&self) -> Cow<'static, str> {
        match self.names {
            Names::Plain { variable, .. } | Names::VariableOnly(variable) => {
                Cow::Borrowed(variable)
            }
            Names::Prefixed { section, key } => Cow::Owned(prefixed(section, key)),
        }
    }

    /// Returns the section and the key in the file.
    pub fn section_and_key(&self) -> Option<(&'static str, &'static str)> {
        match self.names {
            Names::Plain { section, key, .. } | Names::Prefixed { section, key } => {
                Some((section, key))
            }
            Names::VariableOnly(_) => None,
        }
    }

    /// Whether the program starts only if it is set.
    pub fn is_required(&self) -> bool {
        matches!(self.unset, Unset::Required)
    }
}

/// The variable for a section and a key.
pub(super) fn prefixed(section: &str, key: &str) -> String {
    format!("{PREFIX}{section}_{key}").to_ascii_uppercase()
}

/// A setting of any kind, as the table holds it.
pub trait Described: fmt::Debug + Sync {
    /// Returns what does not depend on the kind.
    fn entry(&self) -> &Entry;

    /// Says what values are expected.
    fn expected(&self) -> String;

    /// What stands between the items of a list; none for what is no list. The file may hold an array of them.
    fn separator(&self) -> Option<char>;

    /// The JSON Schema of a value in the file.
    fn schema(&self) -> Value;

    /// Reads a value and forgets it.
    fn check(&self, text: &str) -> Result<(), Fault>;
}

impl<K: Kind> Described for Setting<K> {
    fn entry(&self) -> &Entry {
        &self.entry
    }

    fn expected(&self) -> String {
        self.kind.expected()
    }

    fn separator(&self) -> Option<char> {
        self.kind.is_list().then(|| self.kind.separator())
    }

    fn schema(&self) -> Value {
        self.kind.schema()
    }

    fn check(&self, text: &str) -> Result<(), Fault> {
        self.kind.read(text).map(|_| ())
    }
}

/// A setting of the table.
pub type AnySetting = &'static dyn Described;

/// One key of the file's tables that are there several times, such as `[[upstream]]`.
#[derive(Debug)]
pub struct TableKey {
    /// The name of the tables.
    pub table: &'static str,
    /// The key.
    pub key: &'static str,
    /// Whether the file may hold an array.
    pub is_list: bool,
    /// What values are expected.
    pub expected: &'static str,
    /// What it does, in one sentence.
    pub doc: &'static str,
    /// A value as the file holds it.
    pub example: &'static str,
}
