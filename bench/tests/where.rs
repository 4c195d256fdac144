//! The groups and the flame graph that `bench/where.py` makes of samples.

#![expect(
    clippy::unwrap_used,
    reason = "clippy exempts #[test] functions, not their parts"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs the script on samples; what it printed, and its graph. `None` where there is no Python.
fn made_of(samples: &str) -> Option<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let (input, graph) = (folder.path().join("samples"), folder.path().join("it.svg"));
    fs::write(&input, samples).unwrap();
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("where.py"))
        .args(["--title", "Hits & <more>", "--samples"])
        .arg(&input)
        .arg("--svg")
        .arg(&graph)
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: there is no python3");
        return None;
    };
    let printed = String::from_utf8(output.stdout).unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    Some((printed, fs::read_to_string(&graph).unwrap()))
}

const SENDING: &str = "\
ffffffff81000001 udp_sendmsg
ffffffff81000002 __sys_sendmmsg
    5555550001 dotgate_net::udp::SendBatch::send
    5555550002 dotgate::worker::run

";
const LOOKING_UP: &str = "\
    5555550003 <dotgate_core::cache::Shard<u8> as core::ops::Fn<(u8,)>>::find::h0123456789abcdef
    5555550002 dotgate::worker::run

";
const RARE: &str = "\
    5555550004 dotgate_wire::name::parse
    5555550002 dotgate::worker::run

";

fn samples() -> String {
    // Of 2,000 samples, five are 0.25 %.
    [
        SENDING.repeat(1_495),
        LOOKING_UP.repeat(500),
        RARE.repeat(5),
    ]
    .concat()
}

#[test]
fn samples_are_grouped_by_what_is_on_their_stack() {
    let Some((printed, _)) = made_of(&samples()) else {
        return;
    };
    assert!(printed.starts_with("2000 samples\n"), "{printed}");
    for line in [
        "| kernel: datagrams out | 74.8 % |",
        "| cache | 25.0 % |",
        "| messages | 0.2 % |",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
}

#[test]
fn a_frame_is_as_wide_as_its_share_and_a_rare_one_is_left_out() {
    let Some((_, graph)) = made_of(&samples()) else {
        return;
    };
    assert!(graph.contains("<title>Hits &amp; &lt;more&gt;</title>"));
    // Of 980 units.
    for (kind, name, width) in [
        ("kernel", "udp_sendmsg: 74.8 %", "732.0"),
        ("cache", "dotgate_core::cache::Shard::find: 25.0 %", "244.5"),
        ("other", "dotgate::worker::run: 100.0 %", "979.5"),
    ] {
        let frame = format!("<g class=\"{kind}\"><title>{name}</title>");
        let (_, rest) = graph.split_once(&frame).unwrap();
        let (shape, _) = rest.split_once("/>").unwrap();
        assert!(shape.contains(&format!("width=\"{width}\"")), "{shape}");
    }
    assert!(!graph.contains("dotgate_wire"), "{graph}");
    assert!(graph.contains("prefers-color-scheme:dark"));
}
