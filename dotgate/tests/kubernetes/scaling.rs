//! What scales the instances of the chart, spreads them, and keeps them while nodes are drained.

use super::{are_installed, helm_template, rendered};

/// One template, without what is the same in all of them.
#[track_caller]
fn template(values: &str, name: &str) -> String {
    rendered(values, &["--show-only", &format!("templates/{name}.yaml")])
}

/// Whether the chart renders nothing of a template.
fn is_left_out(values: &str, name: &str) -> bool {
    let output = helm_template(values, &["--show-only", &format!("templates/{name}.yaml")]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    !output.status.success() && said.contains("could not find template")
}

const ENABLED: &str = "autoscaling.enabled=true";

/// `behavior`, as the page `docs/scaling.md` has simulated it.
const BEHAVIOR: &str = "behavior:
    scaleDown:
      policies:
      - periodSeconds: 120
        type: Pods
        value: 1
      - periodSeconds: 120
        type: Percent
        value: 10
      selectPolicy: Max
      stabilizationWindowSeconds: 600
    scaleUp:
      policies:
      - periodSeconds: 60
        type: Pods
        value: 2
      - periodSeconds: 60
        type: Percent
        value: 100
      selectPolicy: Max
      stabilizationWindowSeconds: 0
";

#[test]
fn the_autoscaler_has_one_target_and_the_instances_request_what_it_lets_them_use() {
    if !are_installed(&["helm"]) {
        return;
    }
    let made = template(ENABLED, "horizontalpodautoscaler");
    let metrics = "metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: AverageValue, averageValue: \"600m\"}
  ";
    assert!(made.contains(&format!("{metrics}{BEHAVIOR}")), "{made}");
    assert!(
        made.contains("minReplicas: 2\n  maxReplicas: 10\n"),
        "{made}"
    );
    let requests = |values: &str| {
        let workload = template(values, "workload");
        let (_, rest) = workload.split_once("requests:\n").unwrap();
        let line = rest.lines().find(|line| line.contains("cpu:")).unwrap();
        line.trim().to_owned()
    };
    assert_eq!(requests(""), "cpu: 50m");
    assert_eq!(requests(ENABLED), "cpu: 600m");
    let other = format!("{ENABLED},autoscaling.cpu=800m");
    assert_eq!(requests(&other), "cpu: 800m");
    assert_eq!(
        requests(&format!("{other},resources.requests.cpu=100m")),
        "cpu: 100m"
    );
    // A number of instances in the manifest would undo the decisions of the autoscaler.
    assert!(!template(ENABLED, "workload").contains("replicas:"));
    assert!(template("replicas=3", "workload").contains("\n  replicas: 3\n"));
}

#[test]
fn queries_per_second_are_a_second_metric_of_the_adapter_or_of_keda() {
    if !are_installed(&["helm"]) {
        return;
    }
    let values = format!("{ENABLED},autoscaling.queriesPerSecond=40000");
    let made = template(&values, "horizontalpodautoscaler");
    let metric = "averageValue: \"600m\"}
    - type: Pods
      pods:
        metric: {name: dotgate_queries_per_second}
        target: {type: AverageValue, averageValue: \"40000\"}
  behavior:";
    assert!(made.contains(metric), "{made}");

    let made = template(
        &format!("{values},autoscaling.keda.enabled=true"),
        "horizontalpodautoscaler",
    );
    let behavior = BEHAVIOR.replace("\n  ", "\n      ");
    assert!(made.contains("kind: ScaledObject\n"), "{made}");
    assert!(made.contains(&behavior), "{made}");
    let triggers = "triggers:
    - type: cpu
      metricType: AverageValue
      metadata: {value: \"600m\"}
    - type: prometheus
      metricType: AverageValue
      metadata:
        serverAddress: \"http://prometheus-server.monitoring.svc\"
        query: sum(rate(dotgate_queries_total{namespace=\"default\",pod=~\"dotgate-.*\"}[1m]))
        threshold: \"40000\"
";
    assert!(made.ends_with(triggers), "{made}");
}

#[test]
fn one_instance_after_the_other_may_be_evicted() {
    if !are_installed(&["helm"]) {
        return;
    }
    let selector = "selector:
    matchLabels:
      app.kubernetes.io/name: dotgate
      app.kubernetes.io/instance: dotgate
";
    for values in ["", ENABLED, "replicas=1,autoscaling.enabled=true"] {
        let budget = template(values, "poddisruptionbudget");
        let expected = format!("spec:\n  maxUnavailable: 1\n  {selector}");
        assert!(budget.ends_with(&expected), "{values}: {budget}");
        assert!(template(values, "workload").contains(selector), "{values}");
    }
    // A budget for a single instance would only keep its node from being drained.
    let single = format!("{ENABLED},autoscaling.minReplicas=1");
    for values in ["replicas=1", "kind=DaemonSet", &single] {
        assert!(is_left_out(values, "poddisruptionbudget"), "{values}");
    }
}

#[test]
fn instances_are_spread_over_zones_and_nodes() {
    if !are_installed(&["helm"]) {
        return;
    }
    let constraint = |key: &str| {
        format!(
            "        - topologyKey: {key}
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              app.kubernetes.io/name: dotgate
              app.kubernetes.io/instance: dotgate
"
        )
    };
    let both = constraint("topology.kubernetes.io/zone") + &constraint("kubernetes.io/hostname");
    let spread = format!("topologySpreadConstraints:\n{both}");
    let workload = template(ENABLED, "workload");
    assert!(workload.contains(&spread), "{workload}");
    let own =
        "topologySpreadConstraints[0].topologyKey=rack,topologySpreadConstraints[0].maxSkew=1";
    let workload = template(own, "workload");
    assert!(!workload.contains("kubernetes.io/hostname"), "{workload}");
    // Without a selector, Kubernetes would count no pod.
    let selector = "          labelSelector:
            matchLabels:
              app.kubernetes.io/instance: dotgate
              app.kubernetes.io/name: dotgate
          maxSkew: 1
          topologyKey: rack
";
    assert!(workload.contains(selector), "{workload}");
    assert!(!template("kind=DaemonSet", "workload").contains("topologySpread"));
}

#[test]
fn an_instance_that_is_scaled_down_has_time_to_serve_its_last_clients() {
    if !are_installed(&["helm"]) {
        return;
    }
    let workload = template(ENABLED, "workload");
    for line in [
        "terminationGracePeriodSeconds: 30\n",
        "{name: DOTGATE_SERVER_DRAIN_MAX, value: \"15s\"}\n",
        "httpGet: {path: /readyz, port: admin}\n            failureThreshold: 3\n            periodSeconds: 2\n",
    ] {
        assert!(workload.contains(line), "{line}: {workload}");
    }
}
