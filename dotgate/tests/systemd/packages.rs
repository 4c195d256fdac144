//! The Debian package: installed, upgraded under load, removed and purged, with the scripts that it brings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::machine::Machine;
use crate::page::blocks;
use crate::reload::{assert_none_lost, loads};
use crate::world::peer::is_installed_or_skipped;

/// A package of the program under test, with this version.
fn package(folder: &Path, version: &str) -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = Command::new(repository.join("packaging/build"))
        .arg(env!("CARGO_BIN_EXE_dotgate"))
        .arg(folder)
        .arg(version)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    let packages = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let mut packages = packages.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(&format!("dotgate_{version}-")) && name.ends_with(".deb")
    });
    packages.next().unwrap()
}

#[test]
fn the_package_is_installed_started_upgraded_without_loss_removed_and_purged() {
    if !is_installed_or_skipped("nfpm") {
        return;
    }
    let Some(machine) = Machine::boot(
        "packages::the_package_is_installed_started_upgraded_without_loss_removed_and_purged",
    ) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    for version in ["0.1.0", "0.2.0"] {
        let package = package(folder.path(), version);
        machine.copy(&package, &format!("/tmp/{version}.deb"));
    }

    let said = machine.run("dpkg --install /tmp/0.1.0.deb");
    assert!(said.contains("edit /etc/dotgate/dotgate.toml"), "{said}");
    assert_eq!(machine.property("ActiveState"), "inactive");
    // What is installed starts nothing by accident: the four settings that are required are not set.
    let (is_success, _) = machine.try_run("systemctl start dotgate");
    assert!(!is_success);
    assert_eq!(machine.property("ExecMainStatus"), "2");
    let example = machine.run("sed 's/^#\\([[a-z]\\)/\\1/' /etc/dotgate/dotgate.toml");
    machine.write("/tmp/example.toml", &example);
    let said = machine.run("dotgate check --changed --config /tmp/example.toml");
    assert!(said.contains("configuration OK"), "{said}");

    let said =
        machine.run("dotgate init --print > /etc/dotgate/dotgate.toml; dotgate check --changed");
    assert!(said.contains("configuration OK"), "{said}");

    machine.trust_upstream();
    machine.configure(&machine.settings(""));
    machine.run(&blocks("host.md", "Install the package")[1]);
    machine.udp().ask("first.test").assert_right();
    let user = "stat --format=%U /proc/$(systemctl show --property=MainPID --value dotgate)";
    assert_eq!(machine.run(user), "dotgate\n");
    machine.run("getent passwd dotgate");
    let completed =
        "bash -c '. /usr/share/bash-completion/completions/dotgate; complete -p dotgate'";
    machine.run(completed);

    let loads = loads(&machine);
    let process = machine.property("MainPID");
    loads.iter().for_each(|load| load.go_on_for(20));
    machine.run("dpkg --install /tmp/0.2.0.deb");
    assert_ne!(machine.property("MainPID"), process);
    loads.iter().for_each(|load| load.go_on_for(20));
    assert_none_lost(loads);
    assert_eq!(machine.restarts(), 0);
    let settings = machine.run("cat /etc/dotgate/dotgate.toml");
    assert!(settings.contains("ca.pem"), "an upgrade keeps the settings");

    machine.run("dpkg --remove dotgate");
    assert_eq!(machine.property("ActiveState"), "inactive");
    machine.run("! test -e /usr/bin/dotgate; test -e /etc/dotgate/dotgate.toml");
    machine.run("! test -e /etc/systemd/system/multi-user.target.wants/dotgate.service");
    machine.run("dpkg --purge dotgate");
    machine.run("! test -e /etc/dotgate/dotgate.toml; test -e /etc/dotgate/ca.pem");
    let (is_known, _) = machine.try_run("systemctl cat dotgate");
    assert!(!is_known);
}

#[test]
fn a_version_that_cannot_serve_leaves_the_running_one_in_place() {
    if !is_installed_or_skipped("nfpm") {
        return;
    }
    let Some(machine) =
        Machine::boot("packages::a_version_that_cannot_serve_leaves_the_running_one_in_place")
    else {
        return;
    };
    let folder = TempDir::new().unwrap();
    machine.copy(&package(folder.path(), "0.1.0"), "/tmp/dotgate.deb");
    machine.run("dpkg --install /tmp/dotgate.deb");
    machine.trust_upstream();
    machine.configure(&machine.settings(""));
    machine.run("systemctl start dotgate");
    let process = machine.property("MainPID");
    machine.configure("nonsense");
    let said = machine.run("dpkg --install /tmp/dotgate.deb");
    assert!(said.contains("the old one keeps running"), "{said}");
    assert_eq!(machine.property("MainPID"), process);
    machine.udp().ask("still-served.test").assert_right();
}
