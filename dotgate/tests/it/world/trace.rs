//! The built program under `strace`, and the system calls of its threads.

use std::process::Command;

use dotgate_testbed::certificates::TestAuthority;
use tempfile::TempDir;

use super::peer::find;
use super::program::Program;

/// The program while its system calls are recorded.
pub(crate) struct Traced {
    pub(crate) program: Program,
    folder: TempDir,
}

impl Traced {
    /// Starts it with one worker.
    pub(crate) fn serve(
        authority: &TestAuthority,
        hosts: &str,
        variables: &[(&str, &str)],
    ) -> Traced {
        let folder = TempDir::new().unwrap();
        // The tracer is a grandchild, so that the program is the child. It writes a file per thread: in one file, a call that
        // another thread's call interrupts stands on two lines.
        let mut command = Command::new(find("strace").unwrap());
        command.args(["-ff", "-D", "-s", "0", "-o"]);
        command.arg(folder.path().join("trace"));
        command.arg(env!("CARGO_BIN_EXE_dotgate")).env_clear();
        let all: Vec<_> = [("DOTGATE_SERVER_WORKERS", "1")]
            .into_iter()
            .chain(variables.iter().copied())
            .collect();
        Traced {
            program: Program::serve_with(authority, hosts, &all, command),
            folder,
        }
    }

    /// Stops it. Returns the trace of each thread.
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.program.signal("TERM");
        assert_eq!(self.program.wait().code(), Some(0));
        let threads = std::fs::read_dir(self.folder.path()).unwrap();
        threads
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect()
    }
}

/// The name of the system call of a line.
pub(crate) fn call(line: &str) -> &str {
    line.split('(').next().unwrap_or_default()
}
