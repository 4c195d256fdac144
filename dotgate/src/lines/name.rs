//! Names in files: read straight into the form that they have in messages.

use dotgate_config::Escaped;
use thiserror::Error;

/// Bytes of a name at most, with its root label (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 255;

/// What is wrong with a name.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{} is not a name: {why}\n  expected: labels of letters, digits, - and _, at most 63 of them, with dots between them", Escaped(.name))]
pub struct NameFault {
    /// The name.
    name: String,
    /// Why it is none.
    why: &'static str,
}

/// A name, uncompressed and in lower case.
#[derive(Clone, Copy, Debug)]
pub struct WireName {
    bytes: [u8; NAME_MAX],
    length: u8,
}

impl WireName {
    /// Reads a name of labels of letters, digits, `-` and `_`; a dot at its end means nothing.
    pub(crate) fn read(text: &[u8]) -> Result<WireName, NameFault> {
        let fault = |why| NameFault {
            name: String::from_utf8_lossy(text).into_owned(),
            why,
        };
        let mut name = WireName {
            bytes: [0; NAME_MAX],
            length: 0,
        };
        let stripped = text.strip_suffix(b".").unwrap_or(text);
        for label in stripped.split(|byte| *byte == b'.') {
            match label.len() {
                0 => return Err(fault("a label is empty")),
                1..=63 => {}
                _ => return Err(fault("a label has more than 63 bytes")),
            }
            if !label
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
            {
                return Err(fault(if text.is_ascii() {
                    "it has other characters"
                } else {
                    "names with other letters are written in their ASCII form (xn--...)"
                }));
            }
            // A label has 63 bytes at most.
            let is_room = name.push(&[label.len() as u8]) && name.push(label);
            if !is_room {
                return Err(fault("it has more than 255 bytes"));
            }
        }
        if !name.push(&[0]) {
            return Err(fault("it has more than 255 bytes"));
        }
        Ok(name)
    }

    /// The root.
    pub(crate) fn root() -> WireName {
        WireName {
            bytes: [0; NAME_MAX],
            length: 1,
        }
    }

    /// Appends bytes in lower case. False if there is no room.
    fn push(&mut self, more: &[u8]) -> bool {
        let start = usize::from(self.length);
        let Some(room) = self.bytes.get_mut(start..start + more.len()) else {
            return false;
        };
        room.copy_from_slice(more);
        // The length of a label is never taken for a letter.
        room.make_ascii_lowercase();
        self.length += more.len() as u8;
        true
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }
}
