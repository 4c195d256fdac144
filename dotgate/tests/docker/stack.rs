//! `docker-compose up --build` in the root of the repository.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use domain::base::iana::Rcode;

use crate::engine::{ANSWER, Engine, Project, Server, address, ask_until_answered, root};
use crate::world::client::Client;
use crate::world::peer::{are_installed, find};
use crate::world::wait::until;

/// The file, in front of the server instead of the resolvers that are written in it.
fn project(name: &str, server: &Server, number: u8) -> Project {
    let text = format!(
        "services:\n  dotgate:\n{}networks:\n  default:\n    external: true\n    name: {}\n",
        server.asked(address(number)),
        server.name()
    );
    let further = server.write("override.yml", &text);
    Project::new(name, "docker-compose.yml", &[further])
}

#[test]
fn the_stack_says_when_its_upstream_is_cut_off_and_heals_when_it_is_back() {
    let Some(engine) = Engine::find() else {
        return;
    };
    let server = Server::start(engine, 1);
    let project = project("stack", &server, 1);
    project.compose(&["up", "--build", "--detach"]);
    let container = project.container("dotgate");
    // Nothing that was not asked for is started.
    assert_eq!(project.compose(&["ps", "--quiet"]), container);
    let forwarder = project.published("dotgate", "udp");
    ask_until_answered(forwarder, "first.test");
    let over_tcp = project.published("dotgate", "tcp");
    let mut client = Client::tcp(over_tcp).expecting(ANSWER);
    client.ask("second.test").assert_right();
    let state = [
        "inspect",
        "--format",
        "{{.State.Health.Status}}",
        &container,
    ];
    until("the health check", || engine.docker(&state) == "healthy");
    assert!(engine.is_healthy(&container, &["--upstreams"]));

    engine.docker(&["network", "disconnect", server.name(), server.name()]);
    until("the upstream's end", || {
        !engine.is_healthy(&container, &["--upstreams"])
    });
    let mut client = Client::udp(forwarder);
    let response = client.ask("third.test");
    assert_eq!(response.rcode, Rcode::SERVFAIL);
    assert!(response.ede.is_some(), "{response:?}");
    // The instance works like any other, and stays.
    assert!(engine.is_healthy(&container, &[]));

    let back = address(1).to_string();
    engine.docker(&[
        "network",
        "connect",
        "--ip",
        &back,
        server.name(),
        server.name(),
    ]);
    until("the upstream's return", || {
        engine.is_healthy(&container, &["--upstreams"])
    });
    ask_until_answered(forwarder, "fourth.test");

    project.compose(&["stop"]);
    let status = engine.docker(&["inspect", "--format", "{{.State.ExitCode}}", &container]);
    assert_eq!(status, "0");
}

#[test]
fn a_required_variable_taken_out_of_the_file_is_complained_of() {
    if Engine::find().is_none() {
        return;
    }
    let whole = fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    for variable in ["HOST", "PORT", "DNS_HOST", "DNS_PORT"] {
        let line = format!("\n      {variable}: ");
        let (before, rest) = whole.split_once(&line).unwrap();
        let (_, after) = rest.split_once('\n').unwrap();
        let file = folder.path().join(format!("{variable}.yml"));
        fs::write(&file, format!("{before}\n{after}")).unwrap();
        let project = Project::new("variable", &file.display().to_string(), &[]);
        let output = project.run(&["run", "--rm", "-T", "dotgate"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let complaint = format!("{variable} is ");
        let said_by_it = said
            .lines()
            .any(|line| line.trim_start().starts_with(&complaint));
        assert!(said_by_it, "{variable}: {said}");
        assert_eq!(output.status.code(), Some(2), "{said}");
    }
}

#[test]
fn the_monitoring_services_are_there_when_asked_for() {
    if Engine::find().is_none() {
        return;
    }
    let project = Project::new("monitoring", "docker-compose.yml", &[]);
    let said = project.compose(&["--profile", "monitoring", "config", "--services"]);
    let services: BTreeSet<&str> = said.lines().collect();
    let all = ["dotgate", "grafana", "prometheus"];
    assert_eq!(services, BTreeSet::from(all));
    // Docker makes a folder of a file that is missing.
    for file in [
        "deploy/prometheus/prometheus.yml",
        "deploy/prometheus/alerts.yml",
        "deploy/grafana/dotgate.json",
        "deploy/grafana/provisioning/datasources/prometheus.yml",
        "deploy/grafana/provisioning/dashboards/dotgate.yml",
    ] {
        assert!(root().join(file).is_file(), "{file}");
    }
}

#[test]
fn prometheus_takes_the_files_that_it_is_given() {
    if !are_installed(&[], &["promtool"]) {
        return;
    }
    let mut check = Command::new(find("promtool").unwrap());
    check.args(["check", "config", "deploy/prometheus/prometheus.yml"]);
    let output = check.current_dir(root()).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("alerts.yml"), "{said}");
}
