//! Takes the values of settings from what was written, or from the table where nothing was.
//! It is between `Spec` and `Config`. Continues after a problem, so that all are found at once.

use super::fault::Fault;
use super::kinds::Kind;
use super::origin::{Origin, SourceValue};
use super::problem::Problem;
use super::setting::{Described, Setting, Unset};
use super::spec::{Lookup, Spec};

/// Reads values and keeps the problems.
pub(super) struct Reader<'a> {
    pub(super) spec: &'a Spec,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// Returns the value of a setting that is required or has a default, or `None` after a problem.
    pub(super) fn value<K: Kind>(&mut self, setting: &'static Setting<K>) -> Option<K::Value> {
        self.value_with_origin(setting).map(|(value, _)| value)
    }

    /// Returns what `value` does, with where it was written.
    pub(super) fn value_with_origin<K: Kind>(
        &mut self,
        setting: &'static Setting<K>,
    ) -> Option<(K::Value, Origin)> {
        let written = match self.spec.lookup(setting) {
            Lookup::Broken => return None,
            Lookup::Value(written) => written.clone(),
            Lookup::Unset => match setting.entry.unset {
                Unset::Default(text) => SourceValue {
                    text: text.to_owned(),
                    origin: Origin::Default,
                },
                Unset::Required => {
                    // What is missing here may well be in the file that could not be read.
                    if !self.spec.file_is_unread {
                        self.problems.push(Problem::Missing {
                            subject: setting,
                            file: self.spec.file.clone(),
                        });
                    }
                    return None;
                }
                Unset::Nothing => return None,
            },
        };
        let value = match unquoted(&written) {
            Some(bare) => Err(Fault::Quoted {
                bare: bare.to_owned(),
            }),
            None => setting.kind.read(&written.text),
        };
        match value {
            Ok(value) => Some((value, written.origin)),
            Err(fault) => {
                // What is wrong with nothing is that it is nothing, for every kind.
                let fault = if written.text.is_empty() {
                    Fault::Empty
                } else {
                    fault
                };
                self.problems.push(Problem::Invalid {
                    subject: setting,
                    written,
                    fault,
                });
                None
            }
        }
    }

    /// Returns the value of a setting that nothing stands for, or `None` if it is not set or after a problem.
    pub(super) fn optional<K: Kind>(&mut self, setting: &'static Setting<K>) -> Option<K::Value> {
        self.value(setting)
    }

    /// Whether anything, right or wrong, was written for a setting.
    pub(super) fn is_written(&self, setting: &dyn Described) -> bool {
        match self.spec.lookup(setting) {
            Lookup::Unset => false,
            Lookup::Broken | Lookup::Value(_) => true,
        }
    }
}

/// A variable's value without the quotes around it, if it has such: `docker --env-file` and others keep them.
fn unquoted(written: &SourceValue) -> Option<&str> {
    let Origin::Variable(_) = written.origin else {
        return None;
    };
    let without = |quote| written.text.strip_prefix(quote)?.strip_suffix(quote);
    without('"').or_else(|| without('\''))
}
