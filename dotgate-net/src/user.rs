//! The user that the process runs as, once it has bound what only root may bind.
//!
//! Not on the path of a query. The system's file of users is read here and not through the C library, which a static
//! binary cannot use for that: names of a directory service are unknown, and their numbers can be given instead.

use std::io;

/// A user and a group by their numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct User {
    /// The user ID.
    pub id: u32,
    /// The group ID.
    pub group: u32,
}

impl User {
    /// Finds the user of this name in the text of `/etc/passwd`.
    pub fn find(name: &str, passwd: &str) -> Option<User> {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let is_meant = fields.next() == Some(name);
            let id = fields.nth(1).filter(|_| is_meant)?.parse().ok()?;
            let group = fields.next()?.parse().ok()?;
            Some(User { id, group })
        })
    }

    /// Makes this process one of the user, without any right of the one before, in all its threads. It can still read its
    /// own files in `/proc`, as a process that was started by this user.
    ///
    /// # Errors
    /// Those of the system: the process is not root's.
    pub fn assume(self) -> io::Result<()> {
        let User { id, group } = self;
        // SAFETY: no group is read, so the pointer is not used.
        check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
        // SAFETY: the call takes numbers alone.
        check(unsafe { libc::setgid(group) })?;
        // SAFETY: the call takes numbers alone. The C library changes all threads.
        check(unsafe { libc::setuid(id) })?;
        self.make_readable()
    }

    #[cfg(target_os = "linux")]
    fn make_readable(self) -> io::Result<()> {
        // SAFETY: the call takes numbers alone.
        check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) })
    }

    #[cfg(not(target_os = "linux"))]
    fn make_readable(self) -> io::Result<()> {
        Ok(())
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\ndotgate2:x:1:1::/:\nbroken\n\
                      dotgate:x:998:997:DNS:/nowhere:/usr/sbin/nologin\n";
        let found = |name| User::find(name, passwd);
        assert_eq!(
            found("dotgate"),
            Some(User {
                id: 998,
                group: 997
            })
        );
        assert_eq!(found("root"), Some(User { id: 0, group: 0 }));
        assert_eq!(
            (found("dot"), found("broken"), found("")),
            (None, None, None)
        );
    }
}
