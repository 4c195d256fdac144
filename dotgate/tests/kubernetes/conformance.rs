//! What the chart renders fits the schemas of Kubernetes, of the Prometheus operator and of KEDA, the tests in the chart pass,
//! and another version of the chart alone changes no pod.
//!
//! `chart-conform` is kubeconform with these schemas, and `helm-unittest` runs the tests of `deploy/helm/dotgate/tests`, which
//! have a stand-in of the API server; `.ci/chart-tools` makes both.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{OLDEST, VALUES, are_installed, rendered, root};

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

#[test]
fn the_tests_in_the_chart_pass() {
    if !are_installed(&["helm-unittest"]) {
        return;
    }
    let mut tests = Command::new("helm-unittest");
    let output = tests.arg(root().join("deploy/helm/dotgate")).output();
    let output = output.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Test Suites: 3 passed, 3 total"), "{said}");
}

#[test]
fn another_version_of_the_chart_alone_changes_no_pod() {
    if !are_installed(&["helm"]) {
        return;
    }
    let copy = tempfile::tempdir().unwrap();
    let chart = root().join("deploy/helm/dotgate");
    let mut copying = Command::new("cp");
    let copied = copying.arg("-r").arg(chart).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    let chart = copy.path().join("dotgate");
    let file = chart.join("Chart.yaml");
    let description = fs::read_to_string(&file).unwrap();
    let line = description.lines().find(|it| it.starts_with("version: "));
    let other = description.replacen(line.unwrap(), "version: 9.9.9", 1);
    fs::write(file, other).unwrap();
    let output = Command::new("helm")
        .args(["template", "dotgate", "--kube-version", OLDEST])
        .args(["--show-only", "templates/workload.yaml"])
        .arg(chart)
        .output()
        .unwrap();
    let other = String::from_utf8(output.stdout).unwrap();
    let this = rendered("", &["--show-only", "templates/workload.yaml"]);
    let pod = |workload: &str| {
        let (_, pod) = workload.split_once("  template:\n").unwrap();
        pod.to_owned()
    };
    assert!(other.contains("helm.sh/chart: dotgate-9.9.9"), "{other}");
    assert_eq!(pod(&other), pod(&this));
}

#[test]
fn the_pages_push_the_image_that_the_chart_pulls() {
    if !are_installed(&["helm"]) {
        return;
    }
    let registry = "registry.example/dotgate";
    let values = format!("image.repository={registry}");
    let workload = rendered(&values, &["--show-only", "templates/workload.yaml"]);
    let (_, image) = workload.split_once(&format!("{registry}:")).unwrap();
    let tag = image.split('"').next().unwrap();
    for page in ["README.md", "docs/kubernetes.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let pushed = format!("docker push {registry}:{tag}\n");
        assert!(text.contains(&pushed), "{page}: {pushed}");
    }
}
