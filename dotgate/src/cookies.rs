//! The secrets that DNS cookies are made with: those of a file that instances share, else one of this process and of those
//! that replace it.
//!
//! A secret that made cookies until a reload is still accepted after it. Cookies are valid for an hour, so that a file
//! should not change twice within one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use dotgate_core::{CookieSecret, CookieSecrets};
use thiserror::Error;

/// Bytes of a secret.
const SECRET_BYTES: usize = 16;

/// Why there are no secrets to be had from their file.
#[derive(Debug, Error)]
pub enum CookieFileError {
    /// The file cannot be read.
    #[error(
        "DOTGATE_SERVER_COOKIE_SECRET_FILE: {}: {source}\n  The file must be readable by the user that runs dotgate.",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Its content is something else.
    #[error(
        "DOTGATE_SERVER_COOKIE_SECRET_FILE: {}: expected 1 to {} lines of 32 hexadecimal digits\n  Make one: \
         `openssl rand -hex 16 > {}`", path.display(), CookieSecrets::MAX, path.display()
    )]
    NotSecrets {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the secrets of a file, of which the first one makes cookies.
///
/// # Errors
/// [`CookieFileError`].
pub fn read_secrets(path: &Path) -> Result<Vec<CookieSecret>, CookieFileError> {
    let text = std::fs::read(path).map_err(|source| CookieFileError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let secrets = std::str::from_utf8(&text).ok().and_then(of_lines);
    secrets.ok_or_else(|| CookieFileError::NotSecrets {
        path: path.to_owned(),
    })
}

fn of_lines(text: &str) -> Option<Vec<CookieSecret>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let secrets: Option<Vec<CookieSecret>> = lines.map(of_hex).collect();
    secrets.filter(|secrets| (1..=CookieSecrets::MAX).contains(&secrets.len()))
}

/// Reads a secret of hexadecimal digits.
pub(crate) fn of_hex(text: &str) -> Option<CookieSecret> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
    <[u8; SECRET_BYTES]>::try_from(bytes).ok().map(CookieSecret)
}

/// Writes a secret in hexadecimal digits.
pub(crate) fn to_hex(CookieSecret(bytes): &CookieSecret) -> String {
    HEXLOWER.encode(bytes)
}

/// The secrets of this process.
#[derive(Clone, Debug)]
pub struct Cookies {
    /// The one for cookies where no file names another.
    own: CookieSecret,
    /// Those in use, of which the first one makes cookies.
    in_use: Arc<Mutex<CookieSecrets>>,
}

impl Cookies {
    /// Begins with the secret of the process before this one, or with a new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new(inherited: Option<CookieSecret>) -> io::Result<Cookies> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let own = inherited.unwrap_or(CookieSecret(bytes));
        Ok(Cookies {
            own,
            in_use: Arc::new(Mutex::new(CookieSecrets::new([own]))),
        })
    }

    /// The secret that makes cookies now, which the next process has to accept.
    pub fn active(&self) -> CookieSecret {
        self.in_use().first().unwrap_or(self.own)
    }

    /// All secrets that are accepted now.
    pub fn in_use(&self) -> CookieSecrets {
        let in_use = self.in_use.lock();
        in_use.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The secrets with this file, if there is one: those in it, and the one that makes cookies now.
    ///
    /// # Errors
    /// [`CookieFileError`].
    pub fn secrets(&self, file: Option<&Path>) -> Result<CookieSecrets, CookieFileError> {
        let of_file = file.map(read_secrets).transpose()?;
        let mut secrets = of_file.unwrap_or_else(|| vec![self.own]);
        let active = self.active();
        if !secrets.contains(&active) {
            secrets.truncate(CookieSecrets::MAX - 1);
            secrets.push(active);
        }
        Ok(CookieSecrets::new(secrets))
    }

    /// Notes that these secrets are used from now on.
    pub fn set_active(&self, secrets: &CookieSecrets) {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        *in_use = secrets.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const TWO: &str = "445536bcd2513298075a5d379663c962";

    fn secret(hex: &str) -> CookieSecret {
        of_hex(hex).unwrap()
    }

    #[test]
    fn secrets_are_lines_of_hexadecimal_digits() {
        let both = format!("{ONE}\n\n  {}\r\n", TWO.to_uppercase());
        assert_eq!(of_lines(&both), Some(vec![secret(ONE), secret(TWO)]));
        assert_eq!(to_hex(&secret(ONE)), ONE);
        for wrong in [
            "",
            "\n",
            "e5",
            &ONE[1..],
            &format!("{ONE}0"),
            &format!("{ONE} {TWO}"),
        ] {
            assert_eq!(of_lines(wrong), None, "{wrong}");
        }
        assert_eq!(of_lines(&format!("{ONE}\n").repeat(9)), None);
        assert!(of_lines(&format!("{ONE}\n").repeat(8)).is_some());
    }

    #[test]
    fn the_secret_that_made_cookies_is_accepted_after_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cookies");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        let cookies = Cookies::new(Some(secret("00112233445566778899aabbccddeeff"))).unwrap();
        let own = cookies.active();
        let is = |secrets: &CookieSecrets, expected: &[CookieSecret]| {
            assert_eq!(
                format!("{secrets:?}"),
                format!("{:?}", CookieSecrets::new(expected.to_vec()))
            );
            assert_eq!(secrets.first(), expected.first().copied());
            assert_eq!(secrets.len(), expected.len());
        };
        is(&cookies.secrets(None).unwrap(), &[own]);
        write(ONE);
        let secrets = cookies.secrets(Some(&file)).unwrap();
        is(&secrets, &[secret(ONE), own]);
        cookies.set_active(&secrets);
        assert_eq!(cookies.active(), secret(ONE));
        write(TWO);
        is(
            &cookies.secrets(Some(&file)).unwrap(),
            &[secret(TWO), secret(ONE)],
        );
        write("nothing");
        let problem = cookies.secrets(Some(&file)).unwrap_err().to_string();
        assert!(
            problem.contains("1 to 8 lines of 32 hexadecimal digits"),
            "{problem}"
        );
    }
}
