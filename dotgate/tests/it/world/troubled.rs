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
    /// Starts them as one group, with further settings.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Troubled {
        Troubled::start_as(settings, |frozen, refusing, healthy| {
            (format!("{frozen},{refusing},{healthy}"), String::new())
        })
    }

    /// Starts them with a route for each: `frozen.test`, `refusing.test`, and all other names.
    pub(crate) fn start_with_routes(settings: &[(&str, &str)]) -> Troubled {
        Troubled::start_as(settings, |frozen, refusing, healthy| {
            let routes = format!("frozen.test={frozen} refusing.test={refusing}");
            (healthy.to_owned(), routes)
        })
    }

    /// `write` makes the upstreams of the default group, and the routes.
    fn start_as(
        settings: &[(&str, &str)],
        write: impl FnOnce(&str, &str, &str) -> (String, String),
    ) -> Troubled {
        let authority = TestAuthority::new().unwrap();
        let healthy = Upstream::start(&authority);
        let frozen = TcpListener::bind("127.0.0.1:0").unwrap();
        let refusing = TcpListener::bind("127.0.0.1:0").unwrap();
        let [frozen_port, refusing_port] =
            [&frozen, &refusing].map(|it| it.local_addr().unwrap().port());
        std::thread::spawn(move || refusing.incoming().for_each(drop));
        let (hosts, routes) = write(
            &format!("127.0.0.1@{frozen_port}#frozen.test"),
            &format!("127.0.0.1@{refusing_port}#refusing.test"),
            &healthy.written(),
        );
        let routes = Some(("DOTGATE_ROUTES", routes.as_str()));
        let routes = routes.filter(|(_, routes)| !routes.is_empty());
        let settings: Vec<_> = settings.iter().copied().chain(routes).collect();
        let program = Program::serve(&authority, &hosts, &settings);
        program.udp().ask("one.test").assert_right();
        Troubled {
            healthy,
            _frozen: frozen,
            program,
        }
    }
}
