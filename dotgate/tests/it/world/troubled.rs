//! Three upstreams: one is frozen, one refuses TLS, one is healthy.

use std::net::TcpListener;

use dotgate_testbed::certificates::TestAuthority;

use super::program::Program;
use super::upstream::Upstream;

/// The three of them, and the program in front.
pub(crate) struct Troubled {
    pub(crate) healthy: Upstream,
    /// Its connections are accepted by the system, and nobody reads them.
    _frozen: TcpListener,
    pub(crate) program: Program,
}

impl Troubled {
    /// Starts them, with further settings.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Troubled {
        let authority = TestAuthority::new().unwrap();
        let healthy = Upstream::start(&authority);
        let frozen = TcpListener::bind("127.0.0.1:0").unwrap();
        let refusing = TcpListener::bind("127.0.0.1:0").unwrap();
        let [frozen_port, refusing_port] =
            [&frozen, &refusing].map(|it| it.local_addr().unwrap().port());
        std::thread::spawn(move || refusing.incoming().for_each(drop));
        let hosts = format!(
            "127.0.0.1@{frozen_port}#frozen.test,127.0.0.1@{refusing_port}#refusing.test,{}",
            healthy.written()
        );
        let program = Program::serve(&authority, &hosts, settings);
        program.udp().ask("one.test").assert_right();
        Troubled {
            healthy,
            _frozen: frozen,
            program,
        }
    }
}
