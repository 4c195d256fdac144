//! What the image holds, how it says to be run, and that it runs with nothing.

use crate::engine::{Engine, IMAGE, unique};

/// The most bytes that the image may have as the tests build it: without link-time optimization and with little other.
/// Measured 29 November 2026, with DNS over QUIC: 25.2 MB. With the defaults of the Dockerfile it has 14.4 MB.
const BYTES_MAX: u64 = 26 << 20;

#[test]
fn the_image_is_small_and_holds_the_binary_alone() {
    let Some(engine) = Engine::find() else {
        return;
    };
    let format = "{{.Size}} {{len .RootFS.Layers}}";
    let said = engine.docker(&["image", "inspect", "--format", format, IMAGE]);
    let (bytes, layers) = said.split_once(' ').unwrap();
    assert!(bytes.parse::<u64>().unwrap() <= BYTES_MAX, "{bytes}");
    assert_eq!(layers, "1");
    let container = unique("content");
    engine.docker(&["create", "--name", &container, IMAGE]);
    let listed = Engine::listed(&container);
    engine.docker(&["rm", &container]);
    // What else there is, the engine puts into every container.
    let own = listed.lines().filter(|path| {
        let put = ["dev/", "etc/", "proc/", "sys/", ".dockerenv"];
        !put.iter().any(|put| path.starts_with(put))
    });
    assert_eq!(own.collect::<Vec<_>>(), ["dotgate"]);
}

#[test]
fn the_image_says_how_it_is_run() {
    let Some(engine) = Engine::find() else {
        return;
    };
    let version = format!("version={}", env!("CARGO_PKG_VERSION"));
    let expected = [
        ("{{.Config.User}}", "65532:65532"),
        ("{{.Config.StopSignal}}", "SIGTERM"),
        ("{{json .Config.Entrypoint}}", r#"["/dotgate"]"#),
        (
            "{{json .Config.Healthcheck.Test}}",
            r#"["CMD","/dotgate","healthcheck"]"#,
        ),
        (
            r#"version={{index .Config.Labels "org.opencontainers.image.version"}}"#,
            &version,
        ),
        (
            r#"{{index .Config.Labels "org.opencontainers.image.licenses"}}"#,
            "MIT OR Apache-2.0",
        ),
        (
            "{{json .Config.ExposedPorts}}",
            r#"{"443/tcp":{},"5300/tcp":{},"5300/udp":{},"853/tcp":{},"853/udp":{},"9153/tcp":{}}"#,
        ),
    ];
    for (format, value) in expected {
        let said = engine.docker(&["image", "inspect", "--format", format, IMAGE]);
        assert_eq!(said, value, "{format}");
    }
}

#[test]
fn the_image_runs_without_rights_network_or_a_place_to_write() {
    let Some(engine) = Engine::find() else {
        return;
    };
    let bare = [
        "run",
        "--rm",
        "--read-only",
        "--cap-drop",
        "ALL",
        "--network",
        "none",
    ];
    let said = engine.docker(&[&bare[..], &[IMAGE, "demo", "--once"]].concat());
    assert!(said.contains("NOERROR"), "{said}");
}
