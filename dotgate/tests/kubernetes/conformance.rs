//! What the chart renders fits the schemas of Kubernetes, of the Prometheus operator and of KEDA.
//!
//! `chart-conform` is kubeconform with these schemas; `.ci/chart-tools` makes it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{OLDEST, VALUES, are_installed, rendered};

/// The newest version that there are schemas of.
const NEWEST: &str = "1.37.0";

/// A field of Services that is not in the oldest version.
const NEWER: &str = "service.trafficDistribution=";

/// What kubeconform says of these resources.
fn conform(resources: &str, version: &str) -> (bool, String) {
    let mut command = Command::new("chart-conform");
    command.args(["-summary", "-kubernetes-version", version, "-"]);
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = streams.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(resources.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn what_the_chart_renders_fits_the_schemas_of_the_oldest_and_the_newest_kubernetes() {
    if !are_installed(&["helm", "chart-conform"]) {
        return;
    }
    for version in [OLDEST, NEWEST] {
        let is_for = |values: &&&str| version == NEWEST || !values.contains(NEWER);
        for values in VALUES.iter().filter(is_for) {
            let all = rendered(values, &[]);
            let (is_valid, said) = conform(&all, version);
            assert!(is_valid, "{version}, {values}: {said}");
            let nothing_else = "Invalid: 0, Errors: 0, Skipped: 0";
            assert!(said.contains(nothing_else), "{version}, {values}: {said}");
            assert!(!said.contains("Valid: 0"), "{version}, {values}: {said}");
        }
    }
}

#[test]
fn a_field_that_a_kind_does_not_have_is_found() {
    if !are_installed(&["helm", "chart-conform"]) {
        return;
    }
    for (values, field) in [
        ("", "maxUnavailable:"),
        ("serviceMonitor.enabled=true", "endpoints:"),
        ("prometheusRule.enabled=true", "expr:"),
        (VALUES[14], "scaleTargetRef:"),
    ] {
        let wrong = rendered(values, &[]).replace(field, &format!("x{field}"));
        let (is_valid, said) = conform(&wrong, NEWEST);
        let unknown = format!("'x{}' not allowed", field.trim_end_matches(':'));
        assert!(!is_valid && said.contains(&unknown), "{field} {said}");
    }
}
