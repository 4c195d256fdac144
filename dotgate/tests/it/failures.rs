//! What is recorded of upstreams that fail: `/api/v1/failures`, and the story of `dotgate why`.

use dotgate_testbed::certificates::TestAuthority;
use serde_json::Value;

use crate::world::http::get;
use crate::world::peer::{ANSWER, Peer, Product, are_installed};
use crate::world::program::Program;
use crate::world::upstream::{Opening, Upstream};

/// What is recorded of the upstream with this number.
fn recorded(program: &Program, upstream: usize) -> Value {
    let response = get(program.admin(), "/api/v1/failures");
    assert_eq!(response.status, 200);
    response.json()["upstreams"][upstream].clone()
}

/// Whether a failure with this stage, reason and next step is recorded of it.
fn has_failure(program: &Program, upstream: usize, wanted: [&str; 3]) -> bool {
    let recorded = recorded(program, upstream);
    let mut incidents = recorded["incidents"].as_array().unwrap().iter();
    incidents.any(|incident| {
        let failure = &incident["failure"];
        ["stage", "reason", "next"].map(|member| failure[member].as_str().unwrap_or("")) == wanted
    })
}

#[test]
fn the_story_tells_a_frozen_upstream_one_that_ends_handshakes_and_a_healthy_one_apart() {
    if !are_installed(&[Product::Dnsdist], &[]) {
        return;
    }
    let authority = TestAuthority::new().unwrap();
    let frozen = Peer::start(Product::Dnsdist, &authority);
    let refusing = Upstream::start(&authority);
    refusing.script(|script| script.opening = Opening::Close);
    let healthy = Upstream::start(&authority);
    let all = [frozen.written(), refusing.written(), healthy.written()];
    let program = Program::serve(&authority, &all.join(","), &[]);
    let mut client = program.udp().expecting(ANSWER);
    client.ask("before.test").assert_right();

    frozen.freeze();
    let mut client = program.udp();
    let closed = ["tls", "tls: closed in the handshake", "marked-down"];
    let mut number = 0;
    while recorded(&program, 0)["state"] != "down" || !has_failure(&program, 1, closed) {
        number += 1;
        client.ask(&format!("name-{number}.test")).assert_right();
    }
    let (status, story) = program.run(&["why"]);
    assert_eq!(status, Some(0), "{story}");
    let [first, second, third] = story.split("\n\n").collect::<Vec<_>>()[..] else {
        panic!("one part for each upstream: {story}");
    };
    // A worker without a session to it finds out in the handshake.
    let is_frozen =
        |line: &str| line.contains("failed: no response") || line.contains("handshake timed out");
    assert!(first.lines().any(is_frozen), "{first}");
    assert!(
        second.contains("the TLS handshake failed: closed in the handshake"),
        "{second}"
    );
    // a machine that is suspended for a while may make a session of it look unresponsive.
    assert!(!third.contains("marked down"), "{third}");
    assert!(!story.contains("name-"), "{story}");

    refusing.script(|script| script.opening = Opening::Serve);
    while recorded(&program, 1)["state"] != "healthy" {
        number += 1;
        client.ask(&format!("name-{number}.test")).assert_right();
    }
    let (status, story) = program.run(&["why", &refusing.written(), "--since", "1h"]);
    assert_eq!(status, Some(0), "{story}");
    assert!(story.contains("it responded again, "), "{story}");
    assert!(!story.contains("no response"), "{story}");
    let (status, refused) = program.run(&["why", "nobody"]);
    assert_eq!(status, Some(1), "{refused}");
    assert!(
        refused.contains("no upstream is called nobody; there are: "),
        "{refused}"
    );
}
