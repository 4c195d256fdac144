//! Sockets that systemd opens (`docs/host.md`, "Sockets of systemd").

use crate::machine::Machine;
use crate::page::blocks;
use crate::world::client::Client;
use crate::world::wait::until;

/// The sockets of the listening address, as the kernel lists them, with the process that has them.
fn sockets(machine: &Machine, protocol: &str) -> usize {
    let list = machine.run(&format!("cat /proc/net/{protocol}"));
    // 127.0.0.1:53, as /proc/net writes it; of TCP, those that listen.
    let lines = list.lines().filter(|line| line.contains(" 0100007F:0035 "));
    lines
        .filter(|line| protocol == "udp" || line.contains(" 0A "))
        .count()
}

#[test]
fn systemd_listens_and_queries_wait_while_dotgate_starts_crashes_and_is_replaced() {
    let Some(machine) = Machine::boot(
        "activation::systemd_listens_and_queries_wait_while_dotgate_starts_crashes_and_is_replaced",
    ) else {
        return;
    };
    machine.install();
    // More workers than sockets, of a user that may not open more, and has no right to the port.
    let settings = machine.settings("");
    machine.configure(&settings.replace("port = 53\n", "port = 53\nworkers = 3\n"));
    machine.edit_unit("[Service]\nAmbientCapabilities=\nCapabilityBoundingSet=\n");
    machine.run(&blocks("host.md", "Sockets of systemd")[0]);
    assert_eq!(machine.property("ActiveState"), "inactive");
    assert_eq!(sockets(&machine, "udp"), 2);

    // The first query waits for the start.
    machine.udp().ask("first.test").assert_right();
    assert_eq!(machine.property("ActiveState"), "active");
    for n in 0..20 {
        machine.udp().ask(&format!("udp{n}.test")).assert_right();
        let mut tcp = Client::tcp(crate::machine::SERVICE);
        tcp.ask(&format!("tcp{n}.test")).assert_right();
    }
    assert_eq!(sockets(&machine, "udp"), 2, "none of its own");
    assert_eq!(sockets(&machine, "tcp"), 2, "none of its own");

    // So does one that arrives after a crash.
    machine.run("systemctl kill --signal=KILL dotgate");
    machine.udp().ask("after-a-crash.test").assert_right();
    until("the restart", || machine.restarts() == 1);

    // The next process gets them from this one.
    let process = machine.property("MainPID");
    machine.run("systemctl reload dotgate");
    assert_ne!(machine.property("MainPID"), process);
    machine.udp().ask("after-a-reload.test").assert_right();
    assert_eq!(sockets(&machine, "udp"), 2);

    // A stop of the service alone is not the end.
    machine.run("systemctl stop dotgate");
    machine.udp().ask("after-a-stop.test").assert_right();
    assert_eq!(machine.property("ActiveState"), "active");
}

#[test]
fn a_socket_for_no_listener_is_an_error_that_names_it() {
    let Some(machine) =
        Machine::boot("activation::a_socket_for_no_listener_is_an_error_that_names_it")
    else {
        return;
    };
    machine.install();
    machine.write(
        "/etc/systemd/system/dotgate.socket",
        "[Socket]\nListenStream=127.0.0.1:5300\nFileDescriptorName=astray",
    );
    machine.run("systemctl daemon-reload; systemctl start dotgate.socket");
    let (is_success, _) = machine.try_run("systemctl start dotgate");
    assert!(!is_success);
    let journal = machine.journal();
    let expected = "the socket astray of the service manager is for tcp 127.0.0.1:5300, \
                    which is not a listener of the settings";
    assert!(journal.contains(expected), "{journal}");
}
