//! The token that allows what is not for everybody: read once from its file, compared in constant time.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::refusal::Refusal;

/// A shorter one could be guessed.
const SHORTEST: usize = 16;

/// The longest that fits well into a header.
const LONGEST: usize = 4096;

/// The token. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Why there is no token to be had from its file.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("DOTGATE_ADMIN_TOKEN_FILE: {}: {source}\n  The file must be readable by the user that runs dotgate.", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Its content is no token.
    #[error(
        "DOTGATE_ADMIN_TOKEN_FILE: {}: expected one line of {SHORTEST} to {LONGEST} visible ASCII characters\n  \
         Make one: `head -c 32 /dev/urandom | base64 > {}`", path.display(), path.display()
    )]
    NotAToken {
        /// The file.
        path: PathBuf,
    },
}

impl Token {
    /// Reads the token from its file; white space around it is no part of it.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn load(path: &Path) -> Result<Token, TokenError> {
        let text = std::fs::read(path).map_err(|source| TokenError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Token::read(&text).ok_or_else(|| TokenError::NotAToken {
            path: path.to_owned(),
        })
    }

    fn read(text: &[u8]) -> Option<Token> {
        let token = std::str::from_utf8(text).ok()?.trim();
        let is_token = (SHORTEST..=LONGEST).contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Token(token.to_owned()))
    }

    /// The value of an Authorization header with it.
    pub(super) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

/// The token, as its file has it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) enum TokenState {
    /// No file is named.
    #[default]
    NotSet,
    /// There is one.
    Set(Token),
    /// The file cannot be read, or contains no token.
    Broken,
}

impl TokenState {
    /// The word for programs.
    pub(super) fn word(&self) -> &'static str {
        match self {
            TokenState::NotSet => "not set",
            TokenState::Set(_) => "set",
            TokenState::Broken => "broken",
        }
    }
}

/// Whether every user of the host can read or write the token's file.
pub(super) fn is_open_to_all(path: &Path) -> bool {
    const OTHERS: u32 = 0o006;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & OTHERS != 0)
}

/// Checks that a request has the token, if there is one at all (RFC 6750 section 2.1).
pub(super) fn check(headers: &HeaderMap, token: &TokenState) -> Result<(), Refusal> {
    let Token(token) = match token {
        TokenState::NotSet => return Err(Refusal::NoToken),
        TokenState::Broken => return Err(Refusal::BrokenToken),
        TokenState::Set(token) => token,
    };
    let value = headers.get(AUTHORIZATION).ok_or(Refusal::Unauthorized)?;
    let (scheme, reported) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or(Refusal::Unauthorized)?;
    let is_right = bool::from(reported.trim().as_bytes().ct_eq(token.as_bytes()));
    if scheme.eq_ignore_ascii_case("bearer") && is_right {
        Ok(())
    } else {
        Err(Refusal::Unauthorized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_of_visible_characters_and_not_short() {
        let read = |text: &[u8]| Token::read(text).map(|token| token.0);
        let token = "0123456789abcdef".to_owned();
        assert_eq!(read(b"0123456789abcdef\n"), Some(token));
        let none: [&[u8]; 5] = [
            b"",
            b"short",
            b"0123456789abcde",
            b"01234567 89abcdef",
            b"\xff0123456789abcdef",
        ];
        for text in none {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(read(&[b'x'; LONGEST + 1]), None);
    }

    #[test]
    fn only_the_whole_token_as_bearer_is_right() {
        let token = Token::read(b"0123456789abcdef").unwrap();
        let token = TokenState::Set(token);
        let said = |value: Option<&str>, token: &TokenState| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(AUTHORIZATION, value.parse().unwrap());
            }
            check(&headers, token)
        };
        for right in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef"] {
            assert_eq!(said(Some(right), &token), Ok(()));
            let refused = said(Some(right), &TokenState::NotSet);
            assert_eq!(refused, Err(Refusal::NoToken));
            let refused = said(Some(right), &TokenState::Broken);
            assert_eq!(refused, Err(Refusal::BrokenToken));
        }
        let wrong = [
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer ",
            "Bearer",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
        ];
        for value in wrong {
            assert_eq!(said(Some(value), &token), Err(Refusal::Unauthorized));
        }
        assert_eq!(said(None, &token), Err(Refusal::Unauthorized));
    }
}
