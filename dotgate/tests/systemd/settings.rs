//! What an operator edits under `/etc/dotgate`, and what comes of it.

use std::net::{Ipv4Addr, SocketAddr};

use domain::base::iana::Rcode;

use crate::machine::Machine;
use crate::world::client::Client;
use crate::world::wait::until;

const VARIABLES: &str = "/etc/dotgate/dotgate.env";

#[test]
fn an_edited_file_of_variables_counts_on_a_reload_on_sighup_and_by_itself() {
    let Some(machine) = Machine::boot_with_service(
        "settings::an_edited_file_of_variables_counts_on_a_reload_on_sighup_and_by_itself",
    ) else {
        return;
    };
    machine.write(VARIABLES, "HOST=127.0.0.1,127.0.0.2");
    machine.run("systemctl reload dotgate");
    let second = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 53));
    Client::udp(second).ask("reloaded.test").assert_right();

    machine.write(VARIABLES, "DOTGATE_ACCESS_ALLOW=192.0.2.0/24");
    machine.run("systemctl kill --signal=HUP --kill-whom=main dotgate");
    let mut client = machine.udp();
    until("the refusal of a client", || {
        client.ask("hung-up.test").rcode == Rcode::REFUSED
    });

    machine.write(VARIABLES, "DOTGATE_ACCESS_ALLOW=127.0.0.0/8");
    until("the file to be seen", || {
        client.ask("seen.test").rcode == Rcode::NOERROR
    });

    machine.run(&format!("rm {VARIABLES}; systemctl reload dotgate"));
    client.ask("removed.test").assert_right();
    assert_eq!(machine.property("StatusText"), "serving 127.0.0.1:53");
    assert_eq!(machine.restarts(), 0);
}

#[test]
fn wrong_settings_fail_a_reload_which_changes_nothing_and_fail_a_start_once() {
    let Some(machine) = Machine::boot_with_service(
        "settings::wrong_settings_fail_a_reload_which_changes_nothing_and_fail_a_start_once",
    ) else {
        return;
    };
    let process = machine.property("MainPID");
    let right = machine.settings("");
    for wrong in [
        right.replace("[tls]", "[tsl]"),
        right.replace("/etc/dotgate/ca.pem", "/nowhere"),
    ] {
        machine.configure(&wrong);
        let (is_success, _) = machine.try_run("systemctl reload dotgate");
        assert!(!is_success, "{wrong}");
        machine.udp().ask("still-served.test").assert_right();
    }
    assert_eq!(machine.property("MainPID"), process);
    assert_eq!(machine.property("ActiveState"), "active");

    machine.run("systemctl stop dotgate");
    let (is_success, _) = machine.try_run("systemctl start dotgate");
    assert!(!is_success);
    assert_eq!(machine.property("ActiveState"), "failed");
    assert_eq!(
        (machine.property("ExecMainStatus"), machine.restarts()),
        ("2".to_owned(), 0)
    );

    machine.configure(&right);
    machine.run("systemctl start dotgate");
    machine.udp().ask("mended.test").assert_right();
}
