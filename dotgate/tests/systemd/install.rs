//! The first hour by `docs/host.md`.

use crate::machine::Machine;
use crate::page::text;

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

#[test]
fn the_unit_is_as_locked_in_as_the_page_says() {
    let Some(machine) =
        Machine::boot_with_service("install::the_unit_is_as_locked_in_as_the_page_says")
    else {
        return;
    };
    let report = machine.run("systemd-analyze security --no-pager dotgate");
    let overall = report.lines().last().unwrap();
    let figure = overall
        .split_ascii_whitespace()
        .find(|word| word.parse::<f32>().is_ok())
        .unwrap();
    let claim = format!("`systemd-analyze security dotgate` reports an exposure of {figure}");
    assert!(text("host.md").contains(&claim), "{overall}\n{report}");
}
