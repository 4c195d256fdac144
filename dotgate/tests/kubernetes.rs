//! The Helm chart as Kubernetes and dotgate read it: what is rendered fits the published schemas, the file in it is
//! one that dotgate takes, values that are wrong are refused, and the plain manifests are those of the chart.
//!
//! `helm` renders and `kubernetes-validate` holds the schemas; without them these tests are skipped. The Prometheus
//! operator's kinds are in no published schema of Kubernetes': they are rendered, and not validated.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails, outside its own function too"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::NamedTempFile;

/// The oldest version that the chart is for.
const OLDEST: &str = "1.27.0";

/// With `kubernetes` in it, a test that cannot run fails.
const NO_SKIP: &str = "DOTGATE_TEST_NO_SKIP";

/// Values that take every branch of the templates.
const VALUES: [&str; 6] = [
    "",
    "kind=DaemonSet,priorityClassName=system-node-critical,tolerations[0].operator=Exists",
    "autoscaling.enabled=true,service.trafficDistribution=PreferClose,service.clusterIP=10.96.0.53",
    "serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true,replicas=1",
    "upstreams[0].address=fd00::53,upstreams[0].port=8853,upstreams[0].name=dns.example,\
     upstreams[1].address=192.0.2.53,\
     upstreams[1].pins[0]=sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "settings.dns.port=8853,settings.access.allow[0]=10.0.0.0/8,settings.server.workers=2,\
     networkPolicy.clients[0].namespaceSelector.matchLabels.dns=yes,service.type=LoadBalancer,\
     service.externalTrafficPolicy=Local,nodeSelector.disk=ssd,image.pullSecrets[0].name=registry",
];

/// Values that are wrong, and the value that the message names.
const WRONG: [(&str, &str); 8] = [
    ("upstreams[0].address=dns.quad9.net", "address"),
    ("upstreams[0].pins[0]=sha256/short", "pins"),
    ("upstreams[0].port=70000", "port"),
    ("settings.server.host=192.0.2.1", "settings.server"),
    ("settings.upstream.address=192.0.2.1", "settings"),
    ("replicas=two", "replicas"),
    ("colour=red", "colour"),
    ("kind=DaemonSet,autoscaling.enabled=true", "autoscaling"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether these programs are there; a test without them says so, or fails if it must not.
fn are_installed(programs: &[&str]) -> bool {
    for program in programs {
        if let Err(error) = Command::new(program).arg("--help").output() {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{program}: {error}");
            let strict = std::env::var(NO_SKIP).unwrap_or_default();
            assert!(!strict.contains("kubernetes"), "{program} is not installed");
            println!("skipped: {program} is not installed");
            return false;
        }
    }
    true
}

/// Renders the chart, without the pod of `helm test` where nothing else is said.
fn helm_template(values: &str, options: &[&str]) -> Output {
    let mut command = Command::new("helm");
    command.args(["template", "dotgate"]);
    command.arg(root().join("deploy/helm/dotgate"));
    command.args(["--kube-version", OLDEST, "--set", values]);
    command.args(options).output().unwrap()
}

#[track_caller]
fn rendered(values: &str, options: &[&str]) -> String {
    let output = helm_template(values, options);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{values}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn is_of_kubernetes(document: &&str) -> bool {
    !document.contains("apiVersion: monitoring.coreos.com/")
}

#[test]
fn what_the_chart_renders_fits_the_schemas_of_kubernetes() {
    if !are_installed(&["helm", "kubernetes-validate"]) {
        return;
    }
    for values in VALUES {
        let all = rendered(values, &[]);
        let documents: Vec<&str> = all.split("\n---\n").filter(is_of_kubernetes).collect();
        let mut file = NamedTempFile::with_suffix(".yaml").unwrap();
        file.write_all(documents.join("\n---\n").as_bytes())
            .unwrap();
        let mut validate = Command::new("kubernetes-validate");
        let output = validate.arg("--strict").arg(file.path()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(output.status.success(), "{values}: {said}\n{all}");
        let passed = said.matches(" passed for resource ").count();
        assert!(passed >= 5, "{values}: {said}");
    }
}

#[test]
fn helm_finds_nothing_to_complain_of_in_the_chart() {
    if !are_installed(&["helm"]) {
        return;
    }
    let mut lint = Command::new("helm");
    lint.args(["lint", "--strict"])
        .arg(root().join("deploy/helm/dotgate"));
    let output = lint.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
}

#[test]
fn every_kind_that_the_chart_can_make_is_rendered() {
    if !are_installed(&["helm"]) {
        return;
    }
    let all: String = VALUES.iter().map(|values| rendered(values, &[])).collect();
    let kinds: BTreeSet<&str> = all
        .lines()
        .filter_map(|line| line.strip_prefix("kind: "))
        .collect();
    let expected = [
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "PrometheusRule",
        "Service",
        "ServiceMonitor",
    ];
    assert_eq!(kinds, BTreeSet::from(expected));
}

/// The file of the ConfigMap.
fn configuration(values: &str) -> String {
    let map = rendered(values, &["--show-only", "templates/configmap.yaml"]);
    let (_, text) = map.split_once("dotgate.toml: |\n").unwrap();
    text.lines()
        .map(|line| format!("{}\n", line.trim_start()))
        .collect()
}

/// The variables of the container, as the kubelet would set them.
fn variables(values: &str) -> Vec<(String, String)> {
    let workload = rendered(values, &["--show-only", "templates/workload.yaml"]);
    let named = workload
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- {name: "));
    named
        .filter_map(|rest| rest.strip_suffix('}')?.split_once(", value: "))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

#[test]
fn dotgate_takes_the_file_and_the_variables_of_the_chart() {
    if !are_installed(&["helm"]) {
        return;
    }
    for values in VALUES {
        let mut file = NamedTempFile::with_suffix(".toml").unwrap();
        file.write_all(configuration(values).as_bytes()).unwrap();
        let variables = variables(values);
        assert!(
            variables
                .iter()
                .any(|(name, _)| name == "DOTGATE_CONFIG_FILE")
        );
        let mut check = Command::new(env!("CARGO_BIN_EXE_dotgate"));
        check.arg("check").env_clear().envs(variables);
        check
            .env("HOST", "10.244.1.5,fd00::5")
            .env("DOTGATE_CONFIG_FILE", file.path());
        let output = check.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{values}: {said}");
    }
}

#[test]
fn the_network_policy_lets_out_the_upstreams_alone() {
    if !are_installed(&["helm"]) {
        return;
    }
    let policy = rendered(VALUES[4], &["--show-only", "templates/networkpolicy.yaml"]);
    let (_, out) = policy.split_once("  egress:\n").unwrap();
    let lines: Vec<&str> = out.lines().map(str::trim).collect();
    let expected = [
        "- to:",
        "- ipBlock: {cidr: \"fd00::53/128\"}",
        "ports:",
        "- {port: 8853, protocol: TCP}",
        "- to:",
        "- ipBlock: {cidr: \"192.0.2.53/32\"}",
        "ports:",
        "- {port: 853, protocol: TCP}",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_alerts_and_the_dashboard_of_the_chart_are_those_of_the_repository() {
    if !are_installed(&["helm"]) {
        return;
    }
    for (file, template) in [
        (
            "deploy/prometheus/alerts.yml",
            "templates/prometheusrule.yaml",
        ),
        ("deploy/grafana/dotgate.json", "templates/dashboard.yaml"),
    ] {
        let made = rendered(VALUES[3], &["--show-only", template]);
        let kept = fs::read_to_string(root().join(file)).unwrap();
        let lines = |text: &str| -> Vec<String> {
            let words = text.lines().map(|line| line.trim().to_owned());
            words.filter(|line| !line.is_empty()).collect()
        };
        assert!(!lines(&kept).is_empty(), "{file}");
        assert!(lines(&made).ends_with(&lines(&kept)), "{file}: {made}");
    }
}

#[test]
fn values_that_are_wrong_are_refused_by_name() {
    if !are_installed(&["helm"]) {
        return;
    }
    for (values, named) in WRONG {
        let output = helm_template(values, &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{values} is taken");
        assert!(said.contains(named), "{values}: {said}");
    }
}

#[test]
fn the_plain_manifests_are_those_of_the_chart() {
    if !are_installed(&["helm"]) {
        return;
    }
    let made = rendered("", &["--skip-tests"]);
    let path = root().join("deploy/kubernetes/dotgate.yaml");
    let page = fs::read_to_string(&path).unwrap();
    let (head, kept) = page.split_once("---\n").unwrap();
    assert!(head.starts_with("# Made by `just manifests`"), "{head}");
    assert!(
        format!("---\n{kept}") == made,
        "{} is stale: `just manifests`",
        path.display()
    );
}
