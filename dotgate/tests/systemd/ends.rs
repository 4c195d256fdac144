//! How the service ends, and how systemd starts it again.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;

use crate::machine::{Machine, SERVICE, SHORT_WATCHDOG};
use crate::world::client::Client;
use crate::world::message::assert_all_right;
use crate::world::peer::find;
use crate::world::upstream::Step;
use crate::world::wait::until;

/// Waits until systemd has started the service again, and it serves.
fn wait_for_restart(machine: &Machine, count: u32) {
    until("a restart", || {
        machine.restarts() >= count && machine.property("ActiveState") == "active"
    });
    machine.udp().ask("again.test").assert_right();
}

#[test]
fn a_stop_answers_every_query_in_flight() {
    let Some(machine) = Machine::boot_with_service("ends::a_stop_answers_every_query_in_flight")
    else {
        return;
    };
    machine
        .upstream
        .script(|script| script.all = vec![Step::Hold]);
    let (mut datagrams, mut stream) = (machine.udp(), Client::tcp(SERVICE));
    datagrams.send_all((0..20).map(|number| format!("datagram-{number}.test")));
    stream.send_together((0..20).map(|number| format!("stream-{number}.test")));
    machine.upstream.wait_for_queries(40);
    thread::scope(|scope| {
        let stop = scope.spawn(|| machine.run("systemctl stop dotgate"));
        until("the stop", || {
            machine.property("StatusText") == "serving until no more queries arrive"
        });
        assert_eq!(machine.property("ActiveState"), "deactivating");
        machine.upstream.release_all();
        assert_all_right(&datagrams.receive_all(), 20);
        assert_all_right(&stream.receive_all(), 20);
        stop.join().unwrap();
    });
    assert_eq!(machine.property("ActiveState"), "inactive");
    assert_eq!(machine.property("Result"), "success");
}

#[test]
fn killed_before_and_after_a_reload_it_is_started_again() {
    let Some(machine) =
        Machine::boot_with_service("ends::killed_before_and_after_a_reload_it_is_started_again")
    else {
        return;
    };
    machine.run("systemctl kill --signal=KILL --kill-whom=main dotgate");
    wait_for_restart(&machine, 1);
    machine.run("systemctl reload dotgate");
    machine.run("systemctl kill --signal=KILL --kill-whom=main dotgate");
    wait_for_restart(&machine, 2);
}

#[test]
fn stopped_in_its_tracks_before_and_after_a_reload_it_is_started_again_by_the_watchdog() {
    let Some(machine) = Machine::boot(
        "ends::stopped_in_its_tracks_before_and_after_a_reload_it_is_started_again_by_the_watchdog",
    ) else {
        return;
    };
    machine.install();
    machine.edit_unit(SHORT_WATCHDOG);
    machine.start();
    for count in 1..=2 {
        machine.run("systemctl kill --signal=STOP --kill-whom=main dotgate");
        wait_for_restart(&machine, count);
        assert!(machine.journal().contains("Watchdog timeout"));
        machine.run("systemctl reload dotgate");
    }
}

#[test]
fn an_address_that_comes_late_is_served_when_it_comes() {
    let Some(machine) = Machine::boot("ends::an_address_that_comes_late_is_served_when_it_comes")
    else {
        return;
    };
    let late = SocketAddr::from((Ipv4Addr::new(10, 99, 0, 1), 53));
    machine.install();
    let settings = machine.settings("");
    machine.configure(&settings.replace("\"127.0.0.1\"", "\"10.99.0.1\""));
    machine.start();
    machine.run("systemctl reload dotgate");
    assert_eq!(machine.property("ActiveState"), "active");
    let added = Command::new(find("ip").unwrap())
        .args(["address", "add", "10.99.0.1/32", "dev", "lo"])
        .status();
    assert!(added.unwrap().success());
    until("the late address", || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(late).is_ok() && machine.journal().contains("10.99.0.1:53")
    });
    Client::udp(late).ask("late.test").assert_right();
    Client::tcp(late).ask("late-stream.test").assert_right();
    assert_eq!(machine.restarts(), 0);
}

#[test]
fn systemd_never_gives_up_while_another_process_has_the_port() {
    /// More than systemd tries by default, five starts within ten seconds.
    const TRIES: u32 = 6;
    let Some(machine) =
        Machine::boot("ends::systemd_never_gives_up_while_another_process_has_the_port")
    else {
        return;
    };
    machine.install();
    let taken = UdpSocket::bind(SERVICE).unwrap();
    machine.run("systemctl daemon-reload");
    let (is_success, _) = machine.try_run("systemctl start dotgate");
    assert!(!is_success);
    until("tries to start", || machine.restarts() >= TRIES);
    drop(taken);
    wait_for_restart(&machine, TRIES);
}
