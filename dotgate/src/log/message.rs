//! One kind of log line, and the macro that logs it.
//!
//! Every line that the program logs is an entry of `messages`; `docs/log-messages.md` is made from these. A field that
//! the entry does not name does not compile.

use tracing::Level;

/// One kind of log line.
#[derive(Debug)]
pub(crate) struct Message {
    /// Its level.
    pub(crate) level: Level,
    /// Its text, the same for every line of this kind.
    pub(crate) text: &'static str,
    /// The names of its fields, in their order. A field without a value is left out.
    pub(crate) fields: &'static [&'static str],
    /// What it means.
    pub(crate) meaning: &'static str,
    /// What to do, if anything.
    pub(crate) action: &'static str,
}

impl Message {
    /// Whether these are its fields.
    pub(crate) const fn has(&self, fields: &[&str]) -> bool {
        if fields.len() != self.fields.len() {
            return false;
        }
        let mut place = 0;
        while place < fields.len() {
            if !is_same(fields[place].as_bytes(), self.fields[place].as_bytes()) {
                return false;
            }
            place += 1;
        }
        true
    }
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut place = 0;
    while place < one.len() {
        if one[place] != other[place] {
            return false;
        }
        place += 1;
    }
    true
}

/// Logs an entry of `messages` with its fields, in their order: `name = value`, `name = %shown`, or `name` alone.
macro_rules! say {
    ($message:ident $(, $($fields:tt)*)?) => {{
        const _: () = assert!(
            $crate::log::messages::$message.has($crate::log::message::say!(@names [] $($($fields)*)?)),
            "the fields are not those of the message"
        );
        tracing::event!(
            $crate::log::messages::$message.level,
            message = $crate::log::messages::$message.text,
            $($($fields)*)?
        );
    }};
    (@names [$($names:tt)*]) => { &[$($names)*] };
    (@names [$($names:tt)*] $name:ident = % $value:expr $(, $($rest:tt)*)?) => {
        $crate::log::message::say!(@names [$($names)* stringify!($name),] $($($rest)*)?)
    };
    (@names [$($names:tt)*] $name:ident = $value:expr $(, $($rest:tt)*)?) => {
        $crate::log::message::say!(@names [$($names)* stringify!($name),] $($($rest)*)?)
    };
    (@names [$($names:tt)*] % $name:ident $(, $($rest:tt)*)?) => {
        $crate::log::message::say!(@names [$($names)* stringify!($name),] $($($rest)*)?)
    };
    (@names [$($names:tt)*] $name:ident $(, $($rest:tt)*)?) => {
        $crate::log::message::say!(@names [$($names)* stringify!($name),] $($($rest)*)?)
    };
}

pub(crate) use say;

/// The table: a constant for each entry, and all of them in `ALL`.
macro_rules! messages {
    ($($(#[doc = $title:literal])* [$($name:ident: $level:ident $text:literal [$($field:literal),*] $meaning:literal $action:literal;)*])*) => {
        $($(
            #[doc = $text]
            pub(crate) const $name: Message = Message {
                level: Level::$level,
                text: $text,
                fields: &[$($field),*],
                meaning: $meaning,
                action: $action,
            };
        )*)*

        /// All messages, by subject.
        pub(crate) const ALL: &[(&str, &[Message])] = &[$((concat!($($title),*), &[$($name),*]),)*];
    };
}

pub(super) use messages;
