//! The variables the program was started with, as a map that tests can fill.
//! It is the first step of the configuration. Never changes the process's own environment.
//! Variables that Kubernetes injects for a Service called `dotgate` or `dotgate-...` are known by their shape.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::origin::Origin;
use super::problem::{FileFault, Problem};
use super::setting::PREFIX;

/// Variables and their values.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// Where files of settings are looked for if nothing names one.
    default_folder: Option<PathBuf>,
}

/// The system's configuration folder, as in the systemd unit.
const DEFAULT_FOLDER: &str = "/etc/dotgate";

/// The file of settings in the default folder.
const DEFAULT_FILE: &str = "dotgate.toml";

/// The file of variables in the default folder.
const DEFAULT_VARIABLES: &str = "dotgate.env";

impl Environment {
    /// Returns a copy of the environment of this process.
    pub fn of_this_process() -> Self {
        let own: Self = std::env::vars_os().collect();
        own.with_default_folder(DEFAULT_FOLDER)
    }

    /// Returns this environment with another folder in which files are looked for if nothing names one.
    #[must_use]
    pub fn with_default_folder(self, folder: impl Into<PathBuf>) -> Self {
        Self {
            default_folder: Some(folder.into()),
            ..self
        }
    }

    /// Returns this environment with no file looked for that nothing names.
    #[must_use]
    pub(super) fn without_default_folder(self) -> Self {
        Self {
            default_folder: None,
            ..self
        }
    }

    /// Returns the default file of settings, if there is one.
    pub(super) fn default_file(&self) -> Option<PathBuf> {
        let path = self.default_folder.as_ref()?.join(DEFAULT_FILE);
        path.exists().then_some(path)
    }

    /// Returns where the default file of variables would be.
    pub(super) fn default_variables(&self) -> Option<PathBuf> {
        let folder = self.default_folder.as_ref()?;
        Some(folder.join(DEFAULT_VARIABLES))
    }

    /// Returns this environment with the variables of the default file of variables behind its own, if there is such a
    /// file.
    pub(super) fn with_default_variables(&self, problems: &mut Vec<Problem>) -> Self {
        let mut all = self.clone();
        if let Some(path) = self.default_variables().filter(|path| path.exists()) {
            for (name, value) in read_variables(&path, problems) {
                all.variables.entry(name.into()).or_insert(value.into());
            }
        }
        all
    }

    /// Returns the value of a variable.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
    }

    /// Returns the variables with dotgate's prefix; bytes that are not UTF-8 are shown as replacement characters.
    pub(super) fn prefixed(&self) -> impl Iterator<Item = (String, String)> {
        let shown = |text: &OsString| text.to_string_lossy().into_owned();
        let pairs = self
            .variables
            .iter()
            .map(move |(name, value)| (shown(name), shown(value)));
        pairs.filter(|(name, _)| name.starts_with(PREFIX))
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let variables = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self {
            variables: variables.collect(),
            default_folder: None,
        }
    }
}

/// Reads a file of variables as systemd's `EnvironmentFile=` does: `NAME=VALUE` in each line, quotes around a value
/// removed, comments behind `#` or `;` at the start of a line.
fn read_variables(path: &Path, problems: &mut Vec<Problem>) -> Vec<(String, String)> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(source) => {
            let fault = FileFault::Unreadable { source };
            let path = path.to_owned();
            problems.push(Problem::File { path, fault });
            return Vec::new();
        }
    };
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            problems.push(Problem::NotAVariable {
                origin: Origin::File {
                    path: path.into(),
                    line: number + 1,
                },
            });
            continue;
        };
        let value = value.trim();
        let without = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
        let value = without('"').or_else(|| without('\'')).unwrap_or(value);
        variables.push((name.trim().to_owned(), value.to_owned()));
    }
    variables
}

/// Whether a variable has the shape of those that Kubernetes sets for every Service (environment variables of
/// service links): `X_SERVICE_HOST`, `X_SERVICE_PORT`, `X_SERVICE_PORT_NAME`, `X_PORT=tcp://ADDR:PORT`,
/// `X_PORT_53_UDP` and `X_PORT_53_UDP_ADDR`, `_PORT` and `_PROTO`.
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && is_service_link_value(value))
        || name.match_indices("_PORT_").any(|(at, found)| {
            name.get(at + found.len()..)
                .is_some_and(is_number_and_protocol)
        })
}

/// Whether a value is of the kind that only Kubernetes (and Docker's links before it) gives.
pub(super) fn is_service_link_value(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme))
}

/// Whether `rest` is `53_UDP`, perhaps followed by an attribute.
fn is_number_and_protocol(rest: &str) -> bool {
    let mut parts = rest.split('_');
    let number = parts.next().unwrap_or_default();
    let protocol = parts.next().unwrap_or_default();
    let fact = parts.next();
    !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && ["TCP", "UDP", "SCTP"].contains(&protocol)
        && fact.is_none_or(|fact| ["ADDR", "PORT", "PROTO"].contains(&fact))
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_are_known_by_their_shape() {
        for (name, value, expected) in [
            ("DOTGATE_SERVICE_HOST", "10.0.0.1", true),
            ("DOTGATE_SERVICE_PORT", "53", true),
            ("DOTGATE_SERVICE_PORT_DNS_TCP", "53", true),
            ("DOTGATE_METRICS_SERVICE_HOST", "10.0.0.1", true),
            ("DOTGATE_PORT", "tcp://10.0.0.1:53", true),
            ("DOTGATE_PORT", "udp://10.0.0.1:53", true),
            ("DOTGATE_PORT", "5300", false),
            ("DOTGATE_PORT_53_UDP", "udp://10.0.0.1:53", true),
            ("DOTGATE_PORT_53_UDP_PROTO", "udp", true),
            ("DOTGATE_PORT_53_TCP_ADDR", "10.0.0.1", true),
            ("DOTGATE_PORT_53_TCP_PORT", "53", true),
            ("DOTGATE_METRICS_PORT_9153_TCP_PORT", "9153", true),
            ("DOTGATE_PORT_53", "53", false),
            ("DOTGATE_PORT_53_QUIC", "53", false),
            ("DOTGATE_PORT_X_TCP", "53", false),
            ("DOTGATE_PORT_53_TCP_WEIGHT", "53", false),
            ("DOTGATE_QUERY_DEADLINE", "tcp://10.0.0.1:53", false),
        ] {
            assert_eq!(is_service_link(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn only_variables_with_the_prefix_are_looked_at() {
        let environment: Environment =
            [("PATH", "/bin"), ("DOTGATE_X", "1"), ("MY_DOTGATE_X", "2")]
                .into_iter()
                .collect();
        let found: Vec<(String, String)> = environment.prefixed().collect();
        assert_eq!(found, [("DOTGATE_X".to_owned(), "1".to_owned())]);
    }
}
