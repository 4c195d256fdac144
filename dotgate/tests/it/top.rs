//! `dotgate top` in front of three upstreams: one is frozen, one refuses TLS, one is healthy.

use crate::world::troubled::Troubled;
use crate::world::wait::until;

#[test]
fn it_says_which_upstream_is_at_fault_and_why() {
    let Troubled {
        program, healthy, ..
    } = &Troubled::start(&[]);
    let mut text = String::new();
    until("both faults are shown", || {
        // So that there is a reason to try them.
        program.udp().ask("one.test").assert_right();
        let (status, shown) = program.run(&["top", "--once"]);
        assert_eq!(status, Some(0), "{shown}");
        text = shown;
        text.matches(" down ").count() == 2
    });
    let after = |label: &str| {
        let (_, rest) = text.split_once(label).unwrap();
        let lines: Vec<&str> = rest.lines().take(2).collect();
        lines.join("\n")
    };
    let (frozen_state, refusing_state) = (after("#frozen.test"), after("#refusing.test"));
    assert!(frozen_state.contains("timed out"), "{text}");
    assert!(refusing_state.contains("closed in the handshake"), "{text}");
    assert!(after(&healthy.written()).contains("healthy"), "{text}");

    let (status, document) = program.run(&["top", "--json"]);
    assert_eq!(status, Some(0));
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["schema"], 1);
    assert_eq!(document["upstreams"].as_array().unwrap().len(), 3);
}
