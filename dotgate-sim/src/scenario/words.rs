//! The words of one line of a scenario, read one after the other, and the messages about wrong ones.

use std::fmt;
use std::time::Duration;

use crate::message;
use crate::random::Span;

/// A line of a scenario that cannot be understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What should stand there.
    pub expected: &'static str,
    /// What does; empty at the end of a line.
    pub found: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mistake {
            file,
            line,
            expected,
            found,
        } = self;
        match found.is_empty() {
            true => write!(f, "{file}, line {line}: expected {expected} at its end"),
            false => write!(
                f,
                "{file}, line {line}: expected {expected}, found \"{found}\""
            ),
        }
    }
}

/// One line, and how far it was read.
#[derive(Clone, Debug)]
pub(super) struct Line<'t> {
    file: &'t str,
    pub(super) number: usize,
    words: Vec<&'t str>,
    next: usize,
}

impl<'t> Line<'t> {
    pub(super) fn new(file: &'t str, number: usize, text: &'t str) -> Line<'t> {
        let words = text.split_whitespace().collect();
        Line {
            file,
            number,
            words,
            next: 0,
        }
    }

    pub(super) fn file(&self) -> &'t str {
        self.file
    }

    /// What is said about the next word.
    pub(super) fn mistake(&self, expected: &'static str) -> Mistake {
        let found = self.words.get(self.next).copied().unwrap_or_default();
        self.mistake_about(expected, found)
    }

    /// The same about any word.
    pub(super) fn mistake_about(&self, expected: &'static str, found: &str) -> Mistake {
        Mistake {
            file: self.file.to_owned(),
            line: self.number,
            expected,
            found: found.to_owned(),
        }
    }

    /// The next word, which is left where it is.
    pub(super) fn peek(&self) -> Option<&'t str> {
        self.words.get(self.next).copied()
    }

    pub(super) fn word(&mut self, expected: &'static str) -> Result<&'t str, Mistake> {
        let word = self.peek().ok_or_else(|| self.mistake(expected))?;
        self.next += 1;
        Ok(word)
    }

    /// Takes these words if they are the next ones.
    pub(super) fn takes(&mut self, words: &str) -> bool {
        let wanted: Vec<&str> = words.split(' ').collect();
        let is_next = self.words[self.next..].starts_with(&wanted);
        if is_next {
            self.next += wanted.len();
        }
        is_next
    }

    /// Takes these words, or says that they are missing.
    pub(super) fn expect(&mut self, words: &'static str) -> Result<(), Mistake> {
        match self.takes(words) {
            true => Ok(()),
            false => Err(self.mistake(words)),
        }
    }

    /// All that is left, as one text.
    pub(super) fn rest(&mut self) -> String {
        let rest = self.words[self.next..].join(" ");
        self.next = self.words.len();
        rest
    }

    pub(super) fn end(&self) -> Result<(), Mistake> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.mistake("nothing more")),
        }
    }

    /// Reads the next word as something, or says what was expected and leaves it.
    pub(super) fn read<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Mistake> {
        let value = self
            .peek()
            .and_then(read)
            .ok_or_else(|| self.mistake(expected))?;
        self.next += 1;
        Ok(value)
    }

    pub(super) fn number(&mut self) -> Result<u64, Mistake> {
        self.read("a number", |word| word.parse().ok())
    }

    /// A ratio, in hundredths.
    pub(super) fn hundredths(&mut self) -> Result<u64, Mistake> {
        self.read("a number such as 2.5", |word| {
            let ratio: f64 = word.parse().ok()?;
            (0.0..1e6)
                .contains(&ratio)
                .then(|| (ratio * 100.0).round() as u64)
        })
    }

    pub(super) fn time(&mut self) -> Result<Duration, Mistake> {
        self.read("a time such as 300ms or 1.5s", time)
    }

    pub(super) fn span(&mut self) -> Result<Span, Mistake> {
        self.read("a time such as 2ms, or a range such as 1ms..3ms", |word| {
            let Some((least, most)) = word.split_once("..") else {
                return time(word).map(Span::exactly);
            };
            let (least, most) = (time(least)?, time(most)?);
            (least <= most).then_some(Span { least, most })
        })
    }

    pub(super) fn names(&mut self) -> Result<Names, Mistake> {
        self.read(
            "a name, or the beginning of names such as slow*",
            Names::read,
        )
    }
}

/// A time with its unit.
fn time(word: &str) -> Option<Duration> {
    let digits = word.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
    let (number, unit) = word.split_at(digits);
    let micros = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "min" => 60e6,
        "h" => 3_600e6,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Some(Duration::from_micros((number * micros).round() as u64))
}

/// A name, or all names that begin alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Names {
    text: String,
    /// Where those that begin alike are.
    domain: Option<String>,
}

impl Names {
    fn read(word: &str) -> Option<Names> {
        let (text, domain) = match word.split_once('*') {
            Some((text, "")) => (text, Some(".example")),
            Some((text, domain)) if domain.starts_with('.') => (text, Some(domain)),
            Some(_) => return None,
            None if word == "." => return Some(Names::root()),
            None => (word.trim_end_matches('.'), None),
        };
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
        let letters = text.chars().chain(domain.unwrap_or_default().chars());
        let are_names = letters.into_iter().all(is_name);
        ((domain.is_some() || !text.is_empty()) && are_names).then(|| Names {
            text: text.to_owned(),
            domain: domain.map(str::to_owned),
        })
    }

    fn root() -> Names {
        Names {
            text: String::new(),
            domain: None,
        }
    }

    /// What a name as [`crate::message::shown`] writes it begins with.
    pub(super) fn beginning(&self) -> String {
        let text = self.text.to_ascii_lowercase();
        match self.domain {
            Some(_) => text,
            None if text.is_empty() => " ".to_owned(),
            None => format!("{text}. "),
        }
    }

    /// The one name, or one of many.
    pub(super) fn nth(&self, number: usize) -> String {
        match &self.domain {
            Some(domain) => format!("{}{number}{domain}", self.text),
            None => self.text.clone(),
        }
    }

    /// Whether a question is one of them.
    pub(super) fn are_of(&self, question: &[u8]) -> bool {
        message::shown(&message::folded(question)).starts_with(&self.beginning())
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.domain {
            Some(domain) if domain != ".example" => write!(f, "{}*{domain}", self.text),
            Some(_) => write!(f, "{}*", self.text),
            None if self.text.is_empty() => f.write_str("."),
            None => f.write_str(&self.text),
        }
    }
}

/// The response codes that scenarios name.
pub(super) const RCODES: [(&str, u8); 7] = [
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("REFUSED", 5),
    ("BADCOOKIE", 23),
];

/// The name of a response code, where scenarios have one for it.
pub(super) fn rcode(rcode: u8) -> String {
    let named = RCODES.iter().find(|(_, other)| *other == rcode);
    named.map_or_else(|| format!("RCODE {rcode}"), |(name, _)| (*name).to_owned())
}
