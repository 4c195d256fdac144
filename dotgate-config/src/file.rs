//! The configuration file: TOML, with the settings of the table, `[[upstream]]`, `[[route]]` and `[[record]]` tables.
//! It fills `Spec` with text and line numbers. It does not interpret values, and has no defaults.
//! Limit: a file of more than 1 MiB is rejected.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::origin::{Origin, SourceValue};
use super::problem::{FileFault, Problem};
use super::setting::{AnySetting, TableKey};
use super::settings::{DNS_HOST, LOCAL_RECORDS, RECORD_KEYS, ROUTE_KEYS, TABLE, UPSTREAM_KEYS};
use super::spec::{KeyTable, Lookup, Spec};
use super::{hints, nearest};

/// The longest file that is read, in bytes: a thousand times a long one, so a wrong path does no harm.
const FILE_MAX: u64 = 1 << 20;

/// The names of the tables that hold an upstream, a route or a local record each.
const UPSTREAM: &str = "upstream";
const ROUTE: &str = "route";
const RECORD: &str = "record";

/// Reads the file at `path` into `spec`.
pub(super) fn read(path: &Path, spec: &mut Spec, problems: &mut Vec<Problem>) {
    match read_text(path) {
        Ok(text) => {
            let mut found = Vec::new();
            let mut reader = Reader {
                path: path.into(),
                text: &text,
                spec,
                problems: &mut found,
            };
            reader.read();
            // The TOML tables are sorted by name, but a person goes through the file from its top.
            found.sort_by_key(Problem::line);
            problems.extend(found);
        }
        Err(fault) => {
            spec.file_is_unread = true;
            let path = path.to_owned();
            problems.push(Problem::File { path, fault });
        }
    }
}

fn read_text(path: &Path) -> Result<String, FileFault> {
    let unreadable = |source| FileFault::Unreadable { source };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let length = file
        .take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if length as u64 > FILE_MAX {
        return Err(FileFault::TooLong { most: FILE_MAX });
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to());
        FileFault::NotUtf8 {
            line: line_at(before.unwrap_or_default()),
        }
    })
}

/// The line, counted from 1, behind this part of a file.
fn line_at(before: &[u8]) -> usize {
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// A file being read.
struct Reader<'a> {
    path: Arc<Path>,
    text: &'a str,
    spec: &'a mut Spec,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn read(&mut self) {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        self.spec.file_is_unread = !errors.is_empty();
        if self.spec.file_is_unread {
            if let Some(language) = hints::other_language(&self.path, self.text) {
                let path = self.path.to_path_buf();
                let fault = FileFault::OtherLanguage { language };
                self.problems.push(Problem::File { path, fault });
                return;
            }
            for error in errors {
                let span = error.span().unwrap_or_default();
                let origin = self.origin(&span);
                let mut message = error.message().to_owned();
                if let Some(hint) = hints::of_toml_line(self.line_of(&span)) {
                    message = format!("{message} ({hint})");
                }
                self.problems.push(Problem::FileSyntax { origin, message });
            }
            return;
        }
        for (name, value) in table.get_ref() {
            match value.get_ref() {
                DeValue::Array(_) if name.get_ref() == UPSTREAM => {
                    self.spec.upstream_tables = self.read_tables(value, UPSTREAM, &UPSTREAM_KEYS);
                }
                DeValue::Array(_) if name.get_ref() == ROUTE => {
                    self.spec.route_tables = self.read_tables(value, ROUTE, &ROUTE_KEYS);
                }
                DeValue::Array(_) if name.get_ref() == RECORD => {
                    self.spec.record_tables = self.read_tables(value, RECORD, &RECORD_KEYS);
                }
                DeValue::Table(keys) => self.read_section(name, keys),
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => self.unknown_key(
                    name.span(),
                    name.get_ref().to_string(),
                    nearest::key("", name.get_ref()),
                ),
            }
        }
        self.refuse_lists_in_two_forms();
    }

    fn read_section(&mut self, name: &Spanned<Cow<'_, str>>, keys: &DeTable<'_>) {
        let section = name.get_ref().as_ref();
        let of_section = |subject: &AnySetting| {
            subject
                .entry()
                .section_and_key()
                .is_some_and(|(known, _)| known == section)
        };
        if !TABLE.iter().any(of_section) {
            let shown = format!("[{section}]");
            self.unknown_key(name.span(), shown, nearest::section(section));
            return;
        }
        for (key, value) in keys {
            let names = Some((section, key.get_ref().as_ref()));
            match TABLE
                .iter()
                .find(|subject| subject.entry().section_and_key() == names)
            {
                Some(&subject) => {
                    let written = self.written(value, subject.separator(), |origin, found| {
                        Problem::WrongType {
                            origin,
                            subject,
                            found,
                        }
                    });
                    self.spec.set(subject, written);
                }
                None => {
                    let shown = format!("[{section}] {}", key.get_ref());
                    let nearest = dotted(key.get_ref(), value.get_ref())
                        .or_else(|| nearest::key(section, key.get_ref()));
                    self.unknown_key(key.span(), shown, nearest);
                }
            }
        }
    }

    fn read_tables(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        name: &str,
        known: &[&'static TableKey],
    ) -> Vec<KeyTable> {
        let mut tables = Vec::new();
        for item in value.get_ref().as_array().into_iter().flatten() {
            match item.get_ref().as_table() {
                Some(keys) => {
                    let origin = self.origin(&item.span());
                    tables.push(self.read_table(origin, keys, name, known));
                }
                None => {
                    let nearest = Some(format!("[[{name}]]"));
                    self.unknown_key(item.span(), name.to_owned(), nearest);
                }
            }
        }
        tables
    }

    fn read_table(
        &mut self,
        origin: Origin,
        keys: &DeTable<'_>,
        table_name: &str,
        known: &[&'static TableKey],
    ) -> KeyTable {
        let mut table = KeyTable {
            origin,
            values: BTreeMap::new(),
            is_broken: false,
        };
        for (key, value) in keys {
            let name = key.get_ref().as_ref();
            let Some(&key_of_table) = known.iter().find(|known| known.key == name) else {
                let shown = format!("[[{table_name}]] {name}");
                self.unknown_key(key.span(), shown, nearest::table_key(name, known));
                table.is_broken = true;
                continue;
            };
            let separator = key_of_table.is_list.then_some(',');
            let written = self.written(value, separator, |origin, found| {
                Problem::WrongTypeInTable {
                    origin,
                    key: key_of_table,
                    found,
                }
            });
            match written {
                Some(written) => {
                    table.values.insert(key_of_table.key, written);
                }
                None => table.is_broken = true,
            }
        }
        table
    }

    fn refuse_lists_in_two_forms(&mut self) {
        let both: [(_, AnySetting); 2] = [(UPSTREAM, &DNS_HOST), (RECORD, &LOCAL_RECORDS)];
        for (table, subject) in both {
            let first = self.spec.tables_of(subject).first();
            if let (Some(first), Lookup::Value(written)) = (first, self.spec.lookup(subject)) {
                let (origin, other) = (first.origin.clone(), written.origin.clone());
                self.problems.push(Problem::InTwoForms {
                    origin,
                    table,
                    subject,
                    other,
                });
            }
        }
    }

    fn written(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        separator: Option<char>,
        wrong_type: impl FnOnce(Origin, &'static str) -> Problem,
    ) -> Option<SourceValue> {
        let origin = self.origin(&value.span());
        match text_of(value.get_ref(), separator) {
            Ok(text) => Some(SourceValue { text, origin }),
            Err(found) => {
                self.problems.push(wrong_type(origin, found));
                None
            }
        }
    }

    fn unknown_key(&mut self, span: Range<usize>, key: String, nearest: Option<String>) {
        let origin = self.origin(&span);
        self.problems.push(Problem::UnknownKey {
            origin,
            key,
            nearest,
        });
    }

    fn origin(&self, span: &Range<usize>) -> Origin {
        let before = self.text.as_bytes().get(..span.start);
        Origin::File {
            path: Arc::clone(&self.path),
            line: line_at(before.unwrap_or_default()),
        }
    }

    /// The whole line at which a part of the file begins.
    fn line_of(&self, span: &Range<usize>) -> &str {
        let before = self.text.as_bytes().get(..span.start);
        let number = line_at(before.unwrap_or_default());
        self.text.lines().nth(number - 1).unwrap_or_default()
    }
}

/// What is meant by `section.key = ...` below the header of another section, where TOML takes it for a part of that.
fn dotted(key: &str, value: &DeValue<'_>) -> Option<String> {
    let inner = value.as_table()?.keys().next()?;
    let names = Some((key, inner.get_ref().as_ref()));
    let is_known = |subject: &&AnySetting| subject.entry().section_and_key() == names;
    TABLE.iter().any(|subject| is_known(&subject)).then(|| {
        let inner = inner.get_ref();
        format!("[{key}] {inner}; dotted keys belong above the first section")
    })
}

/// Returns a value as the environment would hold it, or the name of its type if it can hold no such thing.
fn text_of(value: &DeValue<'_>, separator: Option<char>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.trim().to_owned()),
        DeValue::Integer(integer) => Ok(decimal(integer)),
        DeValue::Boolean(boolean) => Ok(boolean.to_string()),
        DeValue::Array(items) if let Some(separator) = separator => {
            let texts = items.iter().map(|item| text_of(item.get_ref(), None));
            Ok(texts
                .collect::<Result<Vec<String>, &'static str>>()?
                .join(separator.encode_utf8(&mut [0; 4])))
        }
        DeValue::Array(_) | DeValue::Datetime(_) | DeValue::Float(_) | DeValue::Table(_) => {
            Err(value.type_str())
        }
    }
}

/// Returns a number in decimal, or as it is written if it is more than any setting can be.
fn decimal(integer: &DeInteger<'_>) -> String {
    let number = i64::from_str_radix(integer.as_str(), integer.radix());
    number.map_or_else(|_| integer.as_str().to_owned(), |number| number.to_string())
}
