//! A Prometheus that scrapes the program twice a second and evaluates the alerts that are shipped.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;

use serde_json::Value;
use tempfile::TempDir;

use super::http::{Response, ask};
use super::peer::find;
use super::wait::{BOUND, until};

/// The server; it is killed when this is dropped.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

/// An alert that fires.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) labels: Value,
    pub(crate) annotations: Value,
}

impl Prometheus {
    /// Starts it with one target and these rules, and waits until it answers.
    pub(crate) fn start(target: SocketAddr, rules: &str) -> Prometheus {
        let folder = TempDir::new().unwrap();
        let configuration = format!(
            "global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}\n\
             rule_files: [rules.yml]\n\
             scrape_configs: [{{job_name: dotgate, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
        std::fs::write(folder.path().join("prometheus.yml"), configuration).unwrap();
        let mut child = command(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let (said, heard) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(address) = address_in(&line) {
                    // The test may have ended meanwhile.
                    let (Ok(()) | Err(_)) = said.send(address);
                }
            }
        });
        let address = heard.recv_timeout(BOUND).expect("Prometheus listens");
        let prometheus = Prometheus {
            child,
            address,
            _folder: folder,
        };
        until("Prometheus is ready", || {
            prometheus.ask("-/ready").status == 200
        });
        prometheus
    }

    /// Evaluates an expression; returns the value of each series, none of them NaN.
    #[track_caller]
    pub(crate) fn values(&self, expression: &str) -> Vec<f64> {
        let reported = self.get(&format!("query?query={}", encoded(expression)));
        assert_eq!(reported["status"], "success", "{expression}: {reported}");
        let results = reported["data"]["result"].as_array().unwrap();
        let values = results.iter().map(|result| &result["value"][1]);
        let values = values.map(|value| value.as_str().unwrap().parse().unwrap());
        values.filter(|value: &f64| !value.is_nan()).collect()
    }

    /// The expressions of all rules, as it has read them.
    pub(crate) fn rules(&self) -> Vec<String> {
        let reported = self.get("rules");
        let groups = reported["data"]["groups"].as_array().unwrap().iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
        rules
            .map(|rule| rule["query"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The alerts that fire.
    pub(crate) fn firing(&self) -> Vec<Alert> {
        let reported = self.get("alerts");
        let alerts = reported["data"]["alerts"].as_array().unwrap().iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        firing
            .map(|alert| Alert {
                name: alert["labels"]["alertname"].as_str().unwrap().to_owned(),
                labels: alert["labels"].clone(),
                annotations: alert["annotations"].clone(),
            })
            .collect()
    }

    fn get(&self, what: &str) -> Value {
        self.ask(&format!("api/v1/{what}")).json()
    }

    fn ask(&self, path: &str) -> Response {
        // With HTTP/1.0 nothing comes in chunks.
        ask(self.address, &format!("GET /{path} HTTP/1.0\r\n\r\n"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(find("prometheus").unwrap());
    command.current_dir(folder);
    command.args([
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--web.listen-address=127.0.0.1:0",
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The address in the line that tells of it.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, behind) = line.split_once("msg=\"Listening on\"")?;
    let (_, behind) = behind.split_once("address=")?;
    behind.split_whitespace().next()?.parse().ok()
}

/// As it stands in the query of a URI (RFC 3986 section 2.1).
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
    }
    encoded
}
