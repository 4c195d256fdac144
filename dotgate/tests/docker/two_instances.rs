//! `examples/two-instances`: a balancer that is not ours, and either instance may go.

use std::net::Ipv4Addr;

use crate::engine::{ANSWER, Engine, Project, Server, ask_until_answered};
use crate::world::client::Client;
use crate::world::wait::until;

#[test]
fn either_of_two_instances_stops_and_every_client_is_answered() {
    let Some(engine) = Engine::find() else {
        return;
    };
    let server = Server::start(engine, 2);
    let address = Ipv4Addr::new(172, 30, 53, 200);
    let asked = server.asked(address);
    let text = format!("services:\n  first:\n{asked}  second:\n{asked}");
    let further = server.write("override.yml", &text);
    let mut project = Project::new(
        "two",
        "examples/two-instances/docker-compose.yml",
        &[further],
    );
    project.compose(&["up", "--detach"]);
    project.invite(&server, "dns", address);
    let forwarder = project.published("balancer", "udp");
    ask_until_answered(forwarder, "warm-up.test");
    for instance in ["first", "second"] {
        project.compose(&["stop", instance]);
        for number in 0..20 {
            ask_until_answered(forwarder, &format!("{instance}-{number}.test"));
        }
        let mut client = Client::tcp(project.published("balancer", "tcp")).expecting(ANSWER);
        client.ask(&format!("{instance}-tcp.test")).assert_right();
        project.compose(&["start", instance]);
        let container = project.container(instance);
        until(instance, || engine.is_healthy(&container, &[]));
    }
}
