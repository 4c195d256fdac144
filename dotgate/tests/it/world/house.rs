//! An upstream, and a folder in which processes of one test find each other.

use std::path::PathBuf;

use dotgate_testbed::certificates::TestAuthority;
use tempfile::TempDir;

use super::program::Program;
use super::upstream::Upstream;

/// What outlives a process: an upstream, and a folder for sockets and files.
pub(crate) struct House {
    pub(crate) authority: TestAuthority,
    pub(crate) upstream: Upstream,
    pub(crate) folder: TempDir,
}

impl House {
    pub(crate) fn new() -> House {
        let authority = TestAuthority::new().unwrap();
        let upstream = Upstream::start(&authority);
        let folder = TempDir::new().unwrap();
        House {
            authority,
            upstream,
            folder,
        }
    }

    /// A file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where processes take over from each other.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("take-over.sock")
    }

    /// Starts a process that takes over from the one that is there; the first one has a port of the system's choice.
    pub(crate) fn serve(&self, port: &str, variables: &[(&str, &str)]) -> Program {
        let socket = self.socket();
        let own = [
            ("PORT", port),
            ("DOTGATE_SERVER_TAKE_OVER_SOCKET", socket.to_str().unwrap()),
        ];
        let all: Vec<_> = own.iter().chain(variables).copied().collect();
        Program::serve(&self.authority, &self.upstream.written(), &all)
    }
}
