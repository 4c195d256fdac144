//! A worker that is stuck, as the endpoint sees it.

use std::time::Duration;

use dotgate_config::Environment;
use dotgate_testbed::certificates::TestAuthority;
use dotgate_tls::Roots;

use super::*;
use crate::clock::now;
use crate::serve::Forwarder;
use crate::worker::{STANDING, WorkerCommand};

fn forwarder() -> Forwarder {
    let environment: Environment = [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("DNS_HOST", "192.0.2.1#nowhere.test"),
        ("DNS_PORT", "853"),
        ("DOTGATE_SERVER_WORKERS", "2"),
    ]
    .into_iter()
    .collect();
    let config = dotgate_config::load(&environment, None).unwrap().config;
    let authority = TestAuthority::new().unwrap();
    let roots = Roots::trusting(authority.certificate()).unwrap();
    Forwarder::start(&config, &roots).unwrap()
}

#[test]
fn a_stuck_worker_is_reported_until_it_runs_again() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let forwarder = forwarder();
    let endpoint = Endpoint::new(Arc::clone(forwarder.running()), Access::default(), None);
    let said = || runtime.block_on(endpoint.liveness());
    assert!(said().0);
    let standing = STANDING.lock().unwrap();
    forwarder.running().workers()[1].command(WorkerCommand::StandStill);
    let bound = now() + Duration::from_secs(30);
    let is_alive_until = |expected: bool| {
        loop {
            let (is_alive, report) = said();
            if is_alive == expected {
                return report;
            }
            assert!(now() < bound, "{report:?}");
        }
    };
    let report = is_alive_until(false);
    assert_eq!(report.reasons, ["worker 1 is stuck"]);
    assert!(endpoint.readiness().1.status != "ready");
    drop(standing);
    is_alive_until(true);
}

#[test]
fn with_all_workers_ended_it_is_neither_alive_nor_ready() {
    let forwarder = forwarder();
    let endpoint = Endpoint::new(Arc::clone(forwarder.running()), Access::default(), None);
    forwarder.command(WorkerCommand::Finish);
    let bound = now() + Duration::from_secs(30);
    while !forwarder.has_ended() {
        assert!(now() < bound);
        std::thread::yield_now();
    }
    let (_, report) = endpoint.readiness();
    assert_eq!(report.reasons, ["all workers have ended"]);
}
