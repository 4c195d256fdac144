//! The first hour by `docs/host.md`.

use crate::machine::Machine;

#[test]
fn installed_and_started_as_the_page_says_it_answers_the_first_query() {
    let Some(machine) = Machine::boot_with_service(
        "install::installed_and_started_as_the_page_says_it_answers_the_first_query",
    ) else {
        return;
    };
    machine.udp().ask("first.test").assert_right();
    assert_eq!(machine.property("ActiveState"), "active");
    assert_eq!(machine.property("StatusText"), "serving 127.0.0.1:53");
    assert_eq!(machine.property("NRestarts"), "0");
    machine.run("systemctl is-enabled dotgate");
    let user =
        machine.run("stat --format=%U /proc/$(systemctl show --property=MainPID --value dotgate)");
    assert_ne!(user, "root\n");
    // The page's own commands work as typed.
    machine.run("dotgate healthcheck");
}
