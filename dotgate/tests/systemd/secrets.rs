//! Secrets that systemd shows the service, and nobody else.

use domain::base::iana::Rcode;

use crate::machine::{ADMIN, Machine};
use crate::page::blocks;
use crate::world::http::post;
use crate::world::wait::until;

/// The status of a request that needs the token.
fn order(token: &str) -> u16 {
    let authorization = format!("Authorization: Bearer {token}\r\n");
    post(
        ADMIN,
        "/api/v1/log-level",
        &authorization,
        "{\"level\":\"debug\"}",
    )
    .status
}

#[test]
fn credentials_of_the_service_last_through_reloads_and_are_read_again_on_sighup() {
    let Some(machine) = Machine::boot(
        "secrets::credentials_of_the_service_last_through_reloads_and_are_read_again_on_sighup",
    ) else {
        return;
    };
    machine.install();
    let [make, edit] = &blocks("host.md", "Secrets")[..] else {
        panic!("the page has other commands now");
    };
    machine.run(make);
    let of_authority =
        "LoadCredential=ca:/etc/dotgate/ca.pem\nEnvironment=DOTGATE_TLS_CA_FILE=%d/ca\n";
    machine.edit_unit(&format!("{edit}{of_authority}"));
    let settings = machine.settings("").replace("ca_file =", "#");
    machine.configure(&settings);
    machine.run("chmod 600 /etc/dotgate/ca.pem");
    machine.run("systemctl start dotgate");
    let token = machine.run("cat /etc/dotgate/admin-token");
    let environment = "cat /proc/$(systemctl show --property=MainPID --value dotgate)/environ";
    for reloads in 0..3 {
        let has_folder = machine.run(environment).contains("CREDENTIALS_DIRECTORY");
        assert_eq!(has_folder, reloads == 0, "systemd's part changed");
        machine
            .udp()
            .ask(&format!("after-{reloads}.test"))
            .assert_right();
        assert_eq!(order(token.trim()), 200);
        assert_eq!(order("0123456789abcdef0123"), 401);
        machine.run("systemctl reload dotgate");
    }
    machine.configure(&format!("{settings}[access]\nallow = [\"192.0.2.0/24\"]\n"));
    machine.run("systemctl kill --signal=HUP --kill-whom=main dotgate");
    until("the refusal of a client", || {
        machine.udp().ask("hung-up.test").rcode == Rcode::REFUSED
    });
    assert_eq!(order(token.trim()), 200);
    assert_eq!(machine.restarts(), 0);
}
