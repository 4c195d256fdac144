//! What the service tells systemd and the journal.

use crate::machine::Machine;
use crate::world::wait::until;

/// The journal's lines of the service with this priority.
fn lines(machine: &Machine, priority: &str) -> String {
    machine.run(&format!(
        "journalctl --no-pager --quiet --unit=dotgate --priority={priority} --output=cat _COMM=dotgate"
    ))
}

#[test]
fn errors_are_found_by_their_priority_and_no_line_has_a_second_timestamp() {
    let Some(machine) = Machine::boot_with_service(
        "journal::errors_are_found_by_their_priority_and_no_line_has_a_second_timestamp",
    ) else {
        return;
    };
    machine.configure(&machine.settings("[tls]\nverify = \"never\"\n"));
    machine.run("systemctl kill --signal=HUP --kill-whom=main dotgate");
    until("errors in the journal", || {
        !lines(&machine, "err..err").is_empty()
    });
    let errors = lines(&machine, "err..err");
    assert!(
        errors.lines().all(|line| line.starts_with("ERROR")),
        "{errors}"
    );
    let infos = lines(&machine, "info..info");
    let is_info = |line: &str| line.trim_start().starts_with("INFO");
    assert!(infos.lines().all(is_info), "{infos}");
    assert!(infos.contains("serving DNS over UDP and TCP"), "{infos}");
    let all = lines(&machine, "debug");
    assert!(!all.contains("<6>"), "{all}");
}

#[test]
fn systemd_hears_of_reading_the_configuration_again() {
    let Some(machine) =
        Machine::boot_with_service("journal::systemd_hears_of_reading_the_configuration_again")
    else {
        return;
    };
    let changed = || machine.property("StateChangeTimestampMonotonic");
    let before = changed();
    machine.run("systemctl kill --signal=HUP --kill-whom=main dotgate");
    until("another state", || changed() != before);
    until("the end of it", || {
        machine.property("ActiveState") == "active"
    });
    assert_eq!(machine.property("StatusText"), "serving 127.0.0.1:53");
    assert_eq!(machine.restarts(), 0);
}
