//! The Unix socket of the admin endpoint: the same HTTP for this user and root, who need no token there.
//!
//! No one else may write to the folder, the socket has mode 0600, and a client is identified by
//! the kernel (SO_PEERCRED). A process that replaces this one takes the listening socket over; the file is removed by
//! the last process that has it, and only while it is the one that this socket was bound to.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use dotgate_config::AdminSocket;

use crate::log::message::say;
use crate::take_over::{Inherited, Role, folder_fault, remove_socket};

/// The socket, bound and not yet served.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
}

/// The file of a socket. It is removed with its last owner.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Which file it was when the socket was bound or taken over.
    identity: Option<(u64, u64)>,
    is_own: bool,
}

impl SocketFile {
    fn new(path: &Path, is_own: bool) -> SocketFile {
        SocketFile {
            identity: identity(path),
            path: path.to_owned(),
            is_own,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The socket is served here, so its file is removed at the end.
    pub(super) fn own(&mut self) {
        self.is_own = true;
    }

    /// Another process has it now.
    pub(super) fn leave(&mut self) {
        self.is_own = false;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_own && self.identity.is_some() && self.identity == identity(&self.path) {
            // It may have ended meanwhile.
            drop(remove_socket(&self.path));
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

impl Socket {
    /// Takes the socket of the process before this one, or binds it. None where there is to be none, or where nobody
    /// asked for this one by name and it cannot be had, which is logged. With it, the file of a socket of the process
    /// before this one that is not used here.
    ///
    /// # Errors
    /// The system's, for a socket that was asked for by name.
    pub(super) fn bind(
        wanted: Option<&AdminSocket>,
        inherited: &mut Inherited,
    ) -> io::Result<(Option<Socket>, Option<SocketFile>)> {
        let inherited = inherited.take(Role::AdminSocket).pop();
        let inherited = inherited.map(UnixListener::from).and_then(|listener| {
            let file = SocketFile::new(listener.local_addr().ok()?.as_pathname()?, false);
            Some(Socket { listener, file })
        });
        match (wanted, inherited) {
            (Some(wanted), Some(inherited)) if inherited.file.path == wanted.path => {
                Ok((Some(inherited), None))
            }
            (Some(wanted), inherited) => {
                let socket = Socket::bind_new(wanted)?;
                Ok((socket, inherited.map(|it| it.file)))
            }
            (None, inherited) => Ok((None, inherited.map(|it| it.file))),
        }
    }

    fn bind_new(wanted: &AdminSocket) -> io::Result<Option<Socket>> {
        match bind(&wanted.path) {
            Ok(listener) => {
                let file = SocketFile::new(&wanted.path, true);
                Ok(Some(Socket { listener, file }))
            }
            Err(reason) if wanted.is_named => Err(reason),
            Err(reason) => {
                let path = wanted.path.display();
                say!(NO_ADMIN_SOCKET, path = %path, reason = %reason);
                Ok(None)
            }
        }
    }

    /// A second descriptor, to hand over.
    ///
    /// # Errors
    /// Where the system has no descriptor left.
    pub(super) fn second_descriptor(&self) -> io::Result<(Role, OwnedFd)> {
        Ok((Role::AdminSocket, self.listener.try_clone()?.into()))
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(fault) = folder_fault(path) {
        return Err(io::Error::new(
            ErrorKind::PermissionDenied,
            fault.to_string(),
        ));
    }
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(
            ErrorKind::AddrInUse,
            "another process listens there",
        ));
    }
    remove_socket(path)?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> AdminSocket {
        AdminSocket {
            path: path.to_owned(),
            is_named: true,
        }
    }

    fn bound(path: &Path) -> Socket {
        let mut inherited = Inherited::default();
        let (socket, _) = Socket::bind(Some(&at(path)), &mut inherited).unwrap();
        socket.unwrap()
    }

    #[test]
    fn its_file_goes_with_it_unless_it_is_anothers_by_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let socket = bound(&path);
        assert_eq!(mode(&path), 0o600);
        drop(socket);
        assert!(!path.exists());

        let mut left = bound(&path);
        left.file.leave();
        drop(left);
        assert!(path.exists(), "another process has it");

        let socket = bound(&path);
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists(), "it is not the file that was bound");
        drop(other);
    }

    #[test]
    fn one_that_another_process_listens_on_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let first = bound(&path);
        let second = Socket::bind(Some(&at(&path)), &mut Inherited::default());
        assert_eq!(second.unwrap_err().kind(), ErrorKind::AddrInUse);
        let by_default = AdminSocket {
            is_named: false,
            ..at(&path)
        };
        let none = Socket::bind(Some(&by_default), &mut Inherited::default());
        assert!(none.unwrap().0.is_none());
        drop(first);
    }

    #[test]
    fn nothing_is_bound_where_others_may_write() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let refused = Socket::bind(
            Some(&at(&folder.path().join("admin.sock"))),
            &mut Inherited::default(),
        );
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}
