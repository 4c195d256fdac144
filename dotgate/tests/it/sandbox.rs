//! What the running process has given up, and what that refuses.
//!
//! `dotgate check --sandbox` is a process that enters the sandbox of its configuration and tries what it forbids. The
//! serving process is led to a file and a port that it must not open by its own reloads.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Output, Stdio};

use dotgate_net::sandbox::Part;

use crate::reload::{House, UNWATCHED, reload};
use crate::world::http::get;
use crate::world::peer::is_possible_or_skipped;
use crate::world::program::{Program, command};
use crate::world::wait::until;

/// Whether this kernel enforces all parts. If not, the test is over: as if a program were missing.
fn is_whole(program: &Program) -> bool {
    let metrics = get(program.admin(), "/metrics").body;
    let is_enforced = |part: &Part| {
        let sample = format!("dotgate_sandbox{{part=\"{}\"}} 1", part.word());
        metrics.lines().any(|line| line == sample)
    };
    is_possible_or_skipped("landlock", Part::ALL.iter().all(is_enforced))
}

#[test]
fn the_sandbox_holds_for_the_process_that_enters_it() {
    let house = House::new(1);
    house.write(&[0], UNWATCHED);
    let mut check = command(&[]);
    check.arg("check").arg("--sandbox").arg("--config");
    let Output { status, stdout, .. } = check.arg(house.path("conf")).output().unwrap();
    let said = String::from_utf8(stdout).unwrap();
    if !is_possible_or_skipped("landlock", status.code() == Some(0)) {
        return;
    }
    for part in Part::ALL {
        assert!(
            said.contains(&format!("\n{}: enforced\n", part.word())),
            "{said}"
        );
    }
    let port = house.upstreams[0].port();
    assert!(
        said.contains(&format!("connects to TCP ports: 53 853 {port}\n")),
        "{said}"
    );
}

#[test]
fn a_reload_that_needs_a_file_or_port_that_was_given_up_changes_nothing() {
    let house = House::new(1);
    house.write(&[0], UNWATCHED);
    let program = house.serve(&[]);
    if !is_whole(&program) {
        return;
    }
    let mut client = program.udp();
    client.ask("before.test").assert_right();

    let own = house.upstreams[0].port();
    let port = if own == 65_535 { 65_534 } else { own + 1 };
    let text = house.text(&[0], UNWATCHED);
    let moved = text.replace(&format!("@{own}#"), &format!("@{port}#"));
    fs::write(house.path("conf"), moved).unwrap();
    program.signal("HUP");
    let problem = program.wait_for_line("sandbox of this process does not permit");
    assert!(
        problem.contains(&format!("connect to TCP port {port}")),
        "{problem}"
    );

    let elsewhere = tempfile::tempdir().unwrap();
    let hosts = elsewhere.path().join("hosts");
    fs::write(&hosts, "192.0.2.1 secret.test\n").unwrap();
    house.write(
        &[0],
        &format!("{UNWATCHED}[local]\nhosts_file = {hosts:?}\n"),
    );
    program.signal("HUP");
    let problem = program.wait_for_line("sandbox of this process does not permit");
    let folder = elsewhere.path().display();
    assert!(problem.contains(&format!("read {folder}")), "{problem}");

    // The same in a folder that it may read, and what a folder of its own has been replaced by is read, too.
    fs::write(house.path("hosts.new"), "192.0.2.1 local.test\n").unwrap();
    fs::rename(house.path("hosts.new"), house.path("hosts")).unwrap();
    let hosts = house.path("hosts");
    house.write(
        &[0],
        &format!("{UNWATCHED}[local]\nhosts_file = {hosts:?}\n"),
    );
    reload(&program);
    client.ask("after.test").assert_right();
}

#[test]
fn the_kernel_refuses_the_running_process_a_file_outside() {
    let house = House::new(1);
    house.write(&[0], UNWATCHED);
    let program = house.serve(&[]);
    if !is_whole(&program) {
        return;
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let settings = elsewhere.path().join("conf");
    fs::write(&settings, house.text(&[0], UNWATCHED)).unwrap();
    fs::remove_file(house.path("conf")).unwrap();
    symlink(&settings, house.path("conf")).unwrap();
    program.signal("HUP");
    let problem = program.wait_for_line("Permission denied");
    assert!(problem.contains("conf"), "{problem}");
    program.udp().ask("still-served.test").assert_right();

    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.lines().any(|it| it == line), "{status}");
    }
}

#[test]
fn what_is_switched_off_is_not_given_up() {
    let house = House::new(1);
    house.write(&[0], UNWATCHED);
    let program = house.serve(&[("DOTGATE_SERVER_SANDBOX", "off")]);
    let elsewhere = tempfile::tempdir().unwrap();
    let hosts = elsewhere.path().join("hosts");
    fs::write(&hosts, "192.0.2.1 local.test\n").unwrap();
    let more = format!("{UNWATCHED}[local]\nhosts_file = {hosts:?}\n");
    house.write(&[0], &more);
    reload(&program);
    program.udp().ask("after.test").assert_right();
    let metrics = get(program.admin(), "/metrics").body;
    assert!(
        metrics.contains("dotgate_sandbox{part=\"files\"} 0\n"),
        "{metrics}"
    );
}

/// A folder that every user may enter, as `/etc/dotgate` is.
fn open_to_all(house: &House) {
    for (name, mode) in [("", 0o755), ("conf", 0o644), ("ca.pem", 0o644)] {
        fs::set_permissions(house.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn is_root() -> bool {
    is_possible_or_skipped("root", dotgate_net::descriptors::own_user() == 0)
}

#[test]
fn a_process_of_root_becomes_another_user_reloads_and_is_replaced() {
    const USER: &str = "65534:65533";
    if !is_root() {
        return;
    }
    let house = House::new(1);
    let socket = house.path("take-over.sock");
    let more = format!("{UNWATCHED}[local]\nrecords = \"one.test A 192.0.2.1\"\n");
    house.write(&[0], &more);
    open_to_all(&house);
    let socket = socket.to_str().unwrap();
    let variables = [
        ("DOTGATE_SERVER_USER", USER),
        ("DOTGATE_SERVER_TAKE_OVER_SOCKET", socket),
    ];
    let mut program = house.serve(&variables);
    let users = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let ids = status
            .lines()
            .filter(|line| line.starts_with("Uid:") || line.starts_with('G'));
        let ids: Vec<String> = ids.map(str::to_owned).collect();
        ids.join(";")
    };
    let expected = "Uid:\t65534\t65534\t65534\t65534;Gid:\t65533\t65533\t65533\t65533;Groups:\t ";
    for task in fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap() {
        let task = task.unwrap().file_name().into_string().unwrap();
        assert_eq!(users(task.parse().unwrap()).trim_end(), expected.trim_end());
    }
    reload(&program);
    program.udp().ask("served.test").assert_right();

    let port = program.address().port().to_string();
    let mut replace = command(&variables);
    replace.env("PORT", &port).args(["replace", "--config"]);
    // The process that serves then has the same standard error.
    let replace = replace.arg(house.path("conf")).stderr(Stdio::null());
    let Output { status, stdout, .. } = replace.output().unwrap();
    let said = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{said}");
    assert!(program.wait().success());
    let next: u32 = said.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(users(next).trim_end(), expected.trim_end());
    let kill = format!("kill {next}");
    let kill = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(kill.success());
    until("the end of the second process", || users(next).is_empty());
}

#[test]
fn a_file_that_only_root_can_read_fails_the_start_with_its_name() {
    if !is_root() {
        return;
    }
    let house = House::new(1);
    house.write(&[0], UNWATCHED);
    open_to_all(&house);
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(house.path("ca.pem"), mode).unwrap();
    let mut serve = command(&[("DOTGATE_SERVER_USER", "65534:65534")]);
    let Output { status, stderr, .. } = serve
        .arg("--config")
        .arg(house.path("conf"))
        .output()
        .unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("ca.pem") && said.contains("as user 65534"),
        "{said}"
    );

    let mut serve = command(&[("DOTGATE_SERVER_USER", "nobody-of-this-name")]);
    let serve = serve.arg("--config").arg(house.path("conf"));
    let Output { stderr, .. } = serve.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(said.contains("has no user nobody-of-this-name"), "{said}");
}
