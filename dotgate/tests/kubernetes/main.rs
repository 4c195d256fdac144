//! The Helm chart as Kubernetes and dotgate read it: the file in it is one that dotgate takes, values that are wrong are
//! refused, and the plain manifests are those of the chart. `conformance` compares what is rendered with the schemas,
//! `scaling` is about the number of instances.
//!
//! `helm` renders; without it these tests are skipped.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails, outside its own function too"
)]

mod conformance;
mod scaling;

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dotgate_config::schema::file_schema;
use dotgate_testbed::certificates::{Leaf, TestAuthority};
use serde_json::Value;
use tempfile::NamedTempFile;

/// The oldest version that the chart is for.
const OLDEST: &str = "1.27.0";

/// With `kubernetes` in it, a test that cannot run fails.
const NO_SKIP: &str = "DOTGATE_TEST_NO_SKIP";

/// Values that take every branch of the templates.
const VALUES: [&str; 15] = [
    "",
    "kind=DaemonSet,priorityClassName=system-node-critical,tolerations[0].operator=Exists",
    "autoscaling.enabled=true,service.trafficDistribution=PreferSameZone,service.clusterIP=10.96.0.53",
    "serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true,replicas=1",
    "upstreams[0].address=fd00::53,upstreams[0].port=8853,upstreams[0].name=dns.example,\
     upstreams[1].address=192.0.2.53,\
     upstreams[1].pins[0]=sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "settings.dns.port=8853,settings.access.allow[0]=10.0.0.0/8,settings.server.workers=2,\
     networkPolicy.clients[0].namespaceSelector.matchLabels.dns=yes,service.type=LoadBalancer,\
     service.externalTrafficPolicy=Local,nodeSelector.disk=ssd,image.pullSecrets[0].name=registry",
    "nameOverride=dns,commonLabels.team=net,annotations.note=a,serviceAccount.create=true,hostNetwork=true,\
     extraEnv[0].name=LOG_LEVEL,extraEnv[0].value=debug,extraContainers[0].name=side,extraContainers[0].image=side:1,\
     topologySpreadConstraints[0].topologyKey=rack,topologySpreadConstraints[0].maxSkew=1,\
     topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway,revisionHistoryLimit=3,scrapeAnnotations=true,\
     probes.liveness.timeoutSeconds=5,podSecurityContext.fsGroup=65532,service.labels.exposed=yes,\
     image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
    "fullnameOverride=resolver,hostPort=53,service.type=LoadBalancer,service.loadBalancerIP=192.0.2.10,\
     service.loadBalancerClass=example.org/lb,service.loadBalancerSourceRanges[0]=192.0.2.0/24,\
     upstreams[0].name=dns.example,settings.bootstrap.addresses[0]=192.0.2.1,\
     settings.bootstrap.addresses[1]=2001:db8::1@5353,serviceMonitor.enabled=true,serviceMonitor.scrapeTimeout=5s,\
     serviceMonitor.relabelings[0].action=labelmap,serviceMonitor.metricRelabelings[0].action=drop,\
     prometheusRule.enabled=true,prometheusRule.runbookBase=https://wiki.example/dotgate/,\
     settings.cache.size=128MB,resources.limits.memory=192Mi,resources.requests.memory=192Mi",
    "kind=DaemonSet,hostNetwork=true,nodeLocal.addresses[0]=169.254.20.10,nodeLocal.addresses[1]=fd00::a,\
     routes[0].suffixes[0]=cluster.local,routes[0].suffixes[1]=10.96.0.0/12,\
     routes[0].upstreams[0].address=10.96.0.10,routes[0].upstreams[0].plain=true,\
     routes[1].suffixes[0]=corp.example,routes[1].upstreams[0].address=fd00::53,\
     routes[1].upstreams[0].name=dns.corp.example,routes[1].upstreams[0].port=8853,\
     routes[1].upstreams[0].pins[0]=sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "kind=DaemonSet,hostPort=53,networkPolicy.egress[0].to[0].podSelector.matchLabels.app=dns,\
     routes[0].suffixes[0]=corp.example,routes[0].upstreams[0].name=dns.corp.example,\
     routes[0].upstreams[1].address=fd00::5353,routes[0].upstreams[1].plain=true,routes[0].upstreams[1].port=5353,\
     settings.bootstrap.addresses[0]=192.0.2.1",
    "dot.secretName=dns-tls",
    "dot.secretName=dns-tls,doh.secretName=dns-https",
    "kind=DaemonSet,hostNetwork=true,nodeLocal.addresses[0]=169.254.20.10,doh.secretName=dns-tls",
    "autoscaling.enabled=true,autoscaling.queriesPerSecond=40000,autoscaling.queriesMetric=queries",
    "autoscaling.enabled=true,autoscaling.queriesPerSecond=40000,autoscaling.keda.enabled=true",
];

/// Values that are wrong, and the value that the message names.
const WRONG: [(&str, &str); 28] = [
    (
        "upstreams[0].address=dns.quad9.net",
        "upstreams[0].address: dns.quad9.net is not an IP address",
    ),
    (
        "upstreams[0].name=dns.example",
        "upstreams[0]: the upstream dns.example has no address",
    ),
    ("upstreams[0].port=853", "upstreams[0]: set address"),
    ("settings.cache.sise=1MiB", "sise"),
    ("settings.cache.size=much", "size"),
    ("settings.cash.size=1MiB", "cash"),
    ("settings.server.workers=0", "workers"),
    (
        "settings.cache.size=128MiB",
        "resources.requests.memory: 160Mi is too small for settings.cache.size 128MiB. Set it to at least 192Mi",
    ),
    (
        "resources.limits.memory=64Mi",
        "resources.limits.memory: 64Mi is too small",
    ),
    ("hostNetwork=true,hostPort=53", "hostNetwork and hostPort"),
    ("networkPolicy.monitoring=null", "networkPolicy.monitoring"),
    ("adminListen=9153", "adminListen"),
    ("upstreams[0].pins[0]=sha256/short", "pins"),
    ("upstreams[0].port=70000", "port"),
    ("settings.server.host=192.0.2.1", "settings.server"),
    ("settings.upstream.address=192.0.2.1", "settings"),
    ("replicas=two", "replicas"),
    ("colour=red", "colour"),
    ("kind=DaemonSet,autoscaling.enabled=true", "autoscaling"),
    ("autoscaling.cpuUtilization=80", "cpuUtilization"),
    ("autoscaling.cpu=80%", "autoscaling.cpu"),
    (
        "autoscaling.enabled=true,autoscaling.minReplicas=20",
        "autoscaling.minReplicas: 20 is above autoscaling.maxReplicas, 10",
    ),
    (
        "routes[0].suffixes[0]=lan,routes[0].upstreams[0].address=router",
        "routes[0].upstreams[0].address: router is not an IP address",
    ),
    (
        "routes[0].suffixes[0]=lan,routes[0].upstreams[0].plain=true",
        "routes[0].upstreams[0]: set address to the IP address of the plain upstream",
    ),
    (
        "routes[0].suffixes[0]=lan,routes[0].upstreams[0].plain=true,routes[0].upstreams[0].address=192.0.2.1,\
         routes[0].upstreams[0].name=router.lan",
        "routes[0].upstreams[0]: a plain upstream has no certificate",
    ),
    ("routes[0].upstreams[0].address=192.0.2.1", "suffixes"),
    ("upstreams[0].plain=true", "plain"),
    (
        "nodeLocal.addresses[0]=169.254.20.10",
        "nodeLocal.addresses: set kind to DaemonSet and hostNetwork to true",
    ),
];

/// Labels that the plain manifests do not have.
const HELM_LABELS: [&str; 2] = ["helm.sh/chart: ", "app.kubernetes.io/managed-by: "];

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
        "ScaledObject",
        "Service",
        "ServiceAccount",
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
    let secret = tempfile::tempdir().unwrap();
    let path = |name| secret.path().join(name).display().to_string();
    let (certificate_file, key_file) = (path("tls.crt"), path("tls.key"));
    let certificate = TestAuthority::new().unwrap();
    let certificate = certificate.issue(&Leaf::for_name("dns.test")).unwrap();
    fs::write(&certificate_file, certificate.pem).unwrap();
    fs::write(&key_file, certificate.key_pem).unwrap();
    for values in VALUES {
        let mut file = NamedTempFile::with_suffix(".toml").unwrap();
        file.write_all(configuration(values).as_bytes()).unwrap();
        let mut variables = variables(values);
        assert!(
            variables
                .iter()
                .any(|(name, _)| name == "DOTGATE_CONFIG_FILE")
        );
        for (name, value) in &mut variables {
            // What the Secret holds.
            match name.as_str() {
                "DOTGATE_SERVER_CERTIFICATE_FILE" => *value = certificate_file.clone(),
                "DOTGATE_SERVER_KEY_FILE" => *value = key_file.clone(),
                _ => {}
            }
        }
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

/// The egress rules of the NetworkPolicy.
fn egress(values: &str) -> Vec<String> {
    let policy = rendered(values, &["--show-only", "templates/networkpolicy.yaml"]);
    let (_, out) = policy.split_once("  egress:\n").unwrap();
    out.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_network_policy_lets_out_the_upstreams_alone() {
    if !are_installed(&["helm"]) {
        return;
    }
    let lines = egress(VALUES[4]);
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
    let lines = egress(VALUES[9]).join("\n");
    let of_the_route = "# dns.corp.example, wherever it is.\n- ports:\n- {port: 853, protocol: TCP}\n\
                        - to:\n- ipBlock: {cidr: \"fd00::5353/128\"}\nports:\n\
                        - {port: 5353, protocol: UDP}\n- {port: 5353, protocol: TCP}\n\
                        - to:\n- podSelector:\nmatchLabels:\napp: dns\n";
    assert!(lines.contains(of_the_route), "{lines}");
}

#[test]
fn node_local_instances_listen_on_their_addresses_alone_and_have_the_routes_of_the_values() {
    if !are_installed(&["helm"]) {
        return;
    }
    let values = VALUES[8];
    let routes = configuration(values);
    let (_, routes) = routes.split_once("[[route]]\n").unwrap();
    let expected = "suffixes = [\"cluster.local\",\"10.96.0.0/12\"]\n\
                    upstreams = [\"plain:10.96.0.10\"]\n\
                    [[route]]\n\
                    suffixes = [\"corp.example\"]\n\
                    upstreams = [\"fd00::53@8853#dns.corp.example;pin=\
                    sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]\n";
    assert_eq!(routes, expected);
    let variables = variables(values);
    let is_set = |name: &str, value: &str| {
        let mut set = variables.iter();
        set.any(|(it, to)| (it.as_str(), to.as_str()) == (name, value))
    };
    assert!(is_set("HOST", "169.254.20.10,fd00::a"), "{variables:?}");
    assert!(is_set("PORT", "53"), "{variables:?}");
    let all = rendered(values, &[]);
    assert!(
        !all.contains("kind: Service\n"),
        "nothing behind a Service listens"
    );
    assert!(all.contains("--via-server=169.254.20.10"), "{all}");
}

#[test]
fn the_values_of_the_page_are_those_of_the_chart() {
    if !are_installed(&["helm"]) {
        return;
    }
    let page = fs::read_to_string(root().join("docs/kubernetes.md")).unwrap();
    let blocks = page.split("```yaml\n").skip(1);
    let blocks: Vec<&str> = blocks.map(|it| it.split("```").next().unwrap()).collect();
    assert!(blocks.iter().any(|block| block.contains("nodeLocal:")));
    for block in blocks {
        let mut file = NamedTempFile::with_suffix(".yaml").unwrap();
        file.write_all(block.as_bytes()).unwrap();
        rendered("", &["--values", file.path().to_str().unwrap()]);
    }
}

#[test]
fn instances_that_have_a_port_of_their_node_make_room_before_the_next_one_starts() {
    if !are_installed(&["helm"]) {
        return;
    }
    let options = ["--show-only", "templates/workload.yaml"];
    for (values, has_port_of_node) in [(VALUES[1], false), (VALUES[8], true), (VALUES[9], true)] {
        let workload = rendered(values, &options);
        let surge = [
            "{maxUnavailable: 0, maxSurge: 1}",
            "{maxUnavailable: 1, maxSurge: 0}",
        ];
        let expected = surge[usize::from(has_port_of_node)];
        assert!(workload.contains(expected), "{values}: {workload}");
    }
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
        let stored = fs::read_to_string(root().join(file)).unwrap();
        let name = Path::new(file).file_name().unwrap();
        let copy = root().join("deploy/helm/dotgate/files").join(name);
        assert!(
            copy.symlink_metadata().unwrap().is_file(),
            "{file}: `just chart` copies it"
        );
        assert_eq!(
            fs::read_to_string(copy).unwrap(),
            stored,
            "{file}: `just chart` copies it"
        );
        let lines = |text: &str| -> Vec<String> {
            let words = text.lines().map(|line| line.trim().to_owned());
            words.filter(|line| !line.is_empty()).collect()
        };
        assert!(!lines(&stored).is_empty(), "{file}");
        assert!(lines(&made).ends_with(&lines(&stored)), "{file}: {made}");
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
    // What says that Helm manages it, or has spaces at its end.
    let lines = made
        .lines()
        .filter(|line| !HELM_LABELS.iter().any(|label| line.contains(label)));
    let made: String = lines.map(|line| format!("{line}\n")).collect();
    let path = root().join("deploy/kubernetes/dotgate.yaml");
    let page = fs::read_to_string(&path).unwrap();
    let (head, stored) = page.split_once("---\n").unwrap();
    assert!(head.starts_with("# Made by `just chart`"), "{head}");
    assert!(
        format!("---\n{stored}") == made,
        "{} is stale: `just chart`",
        path.display()
    );
}

/// Settings that the chart sets itself, by section.
const OF_THE_CHART: [(&str, &[&str]); 3] = [
    ("server", &["host", "port", "drain_max"]),
    ("dns", &["host"]),
    ("admin", &["listen"]),
];

/// Set to write the schema in place of comparing it.
const WRITE: &str = "DOTGATE_WRITE";

#[test]
fn the_schema_of_the_values_knows_the_settings_of_the_table_and_no_others() {
    let mut made = file_schema();
    let settings = made["properties"].as_object_mut().unwrap();
    settings.remove("upstream").unwrap();
    settings.remove("route").unwrap();
    for (section, keys) in OF_THE_CHART {
        let of_section = settings[section]["properties"].as_object_mut().unwrap();
        for key in keys {
            of_section.remove(*key).unwrap();
        }
    }
    for word in ["$schema", "title"] {
        made.as_object_mut().unwrap().remove(word);
    }
    let path = root().join("deploy/helm/dotgate/values.schema.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    schema["properties"]["settings"] = made;
    let expected = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, expected).unwrap();
    } else {
        assert!(
            text == expected,
            "{} is stale: `just chart`",
            path.display()
        );
    }
}

#[test]
fn the_readme_and_the_schema_of_the_chart_name_every_value() {
    let read =
        |file: &str| fs::read_to_string(root().join("deploy/helm/dotgate").join(file)).unwrap();
    let (readme, schema) = (read("README.md"), read("values.schema.json"));
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let values = read("values.yaml");
    let is_key = |line: &&str| line.starts_with(|c: char| c.is_ascii_alphabetic());
    let keys = values
        .lines()
        .filter(is_key)
        .map(|line| line.split(':').next().unwrap());
    let keys: BTreeSet<&str> = keys.collect();
    assert!(keys.len() > 30, "{keys:?}");
    for key in keys {
        assert!(readme.contains(&format!("| `{key}")), "README.md: {key}");
        assert!(!schema["properties"][key].is_null(), "the schema: {key}");
    }
}
#[test]
fn the_pod_of_helm_test_runs_a_command_that_the_program_knows() {
    if !are_installed(&["helm"]) {
        return;
    }
    let pod = rendered("", &["--show-only", "templates/tests/query.yaml"]);
    let arguments = pod
        .lines()
        .find_map(|line| line.trim().strip_prefix("args: ["));
    let arguments = arguments.unwrap().trim_end_matches(']').split(", ");
    let arguments = arguments.map(|word| word.trim_matches('"'));
    let arguments = arguments.map(|word| word.replace("$(DOTGATE_SERVICE_HOST)", "10.96.0.53"));
    let words = ["dotgate".to_owned()].into_iter().chain(arguments);
    dotgate::cli::parse(words.map(Into::into)).unwrap();
    assert!(pod.contains("image: \"dotgate:"), "{pod}");
}
