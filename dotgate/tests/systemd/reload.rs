//! `systemctl reload`: nothing is lost, and the process that took over is a service's process like the first.

use std::time::Duration;

use dotgate_net::sandbox::Part;

use crate::machine::{ADMIN, Machine, SHORT_WATCHDOG, WATCHDOG};
use crate::world::http::get;
use crate::world::load::Load;
use crate::world::message::assert_all_right;
use crate::world::peer::is_possible_or_skipped;
use crate::world::wait::now;

const MS: Duration = Duration::from_millis(1);

/// Clients enough for the kernel to spread them over all sockets.
pub(crate) fn loads(machine: &Machine) -> Vec<Load> {
    (0..8).map(|_| Load::start(machine.udp(), 4 * MS)).collect()
}

pub(crate) fn assert_none_lost(loads: Vec<Load>) {
    for load in loads {
        let responses = load.finish();
        assert_all_right(&responses, responses.len());
    }
}

/// Goes on until the watchdog would have found a process that does not live.
fn wait_out_the_watchdog(loads: &[Load]) {
    let end = now() + 3 * WATCHDOG;
    while now() < end {
        loads.iter().for_each(|load| load.go_on_for(50));
    }
}

/// The sandbox holds in this process as in the first. It hides other processes, of which systemd must hear all the same.
fn assert_sandboxed() {
    let metrics = get(ADMIN, "/metrics").body;
    let is_enforced = |part: &Part| {
        let sample = format!("dotgate_sandbox{{part=\"{}\"}} 1", part.word());
        metrics.lines().any(|line| line == sample)
    };
    is_possible_or_skipped("landlock", Part::ALL.iter().all(is_enforced));
}

#[test]
fn reloaded_three_times_under_load_it_outlives_the_watchdog_and_loses_no_query() {
    let Some(machine) = Machine::boot(
        "reload::reloaded_three_times_under_load_it_outlives_the_watchdog_and_loses_no_query",
    ) else {
        return;
    };
    machine.install();
    machine.edit_unit(SHORT_WATCHDOG);
    machine.start();
    let loads = loads(&machine);
    let mut processes = vec![machine.property("MainPID")];
    assert_sandboxed();
    for _ in 0..3 {
        machine.run("systemctl reload dotgate");
        assert_sandboxed();
        processes.push(machine.property("MainPID"));
        loads.iter().for_each(|load| load.go_on_for(20));
    }
    wait_out_the_watchdog(&loads);
    assert_none_lost(loads);
    assert_eq!(machine.restarts(), 0);
    assert_eq!(machine.property("MainPID"), processes[3]);
    processes.dedup();
    assert_eq!(processes.len(), 4, "{processes:?}");
    assert_eq!(machine.property("StatusText"), "serving 127.0.0.1:53");
}
