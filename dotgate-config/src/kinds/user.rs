//! The kind of value that names a user of the system.

use super::Kind;
use crate::fault::Fault;

/// The user that a process is to run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserSpec {
    /// By its name.
    Name(String),
    /// By the numbers of the user and the group.
    Ids {
        /// The user ID.
        user: u32,
        /// The group ID.
        group: u32,
    },
}

/// The name of a user, or two numbers.
#[derive(Debug)]
pub struct UserName;

impl Kind for UserName {
    type Value = UserSpec;

    fn read(&self, text: &str) -> Result<UserSpec, Fault> {
        let item = text.to_owned();
        if let Some((user, group)) = text.split_once(':') {
            return match (user.parse(), group.parse()) {
                (Ok(user), Ok(group)) => Ok(UserSpec::Ids { user, group }),
                (Ok(_) | Err(_), _) => Err(Fault::NoUser { item }),
            };
        }
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-$".contains(&byte);
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        if text.is_empty() || is_number || !text.bytes().all(is_allowed) {
            return Err(Fault::NoUser { item });
        }
        Ok(UserSpec::Name(item))
    }

    fn expected(&self) -> String {
        "the name of a user, or UID:GID".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_name_or_two_numbers() {
        let read = |text: &str| UserName.read(text).ok();
        assert_eq!(read("dotgate"), Some(UserSpec::Name("dotgate".into())));
        let ids = UserSpec::Ids {
            user: 998,
            group: 997,
        };
        assert_eq!(read("998:997"), Some(ids));
        for wrong in ["", "998", "998:", ":1", "a:b", "a b", "1:2:3"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
