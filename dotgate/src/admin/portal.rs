//! `/api/v1/portal`: opens or closes a portal window, and what the status says of it.

use std::error::Error;
use std::time::Duration;

use dotgate_config::{PortalNames, read_resolver};
use hyper::body::{Body, Bytes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::body::read;
use super::refusal::Refusal;
use super::upstreams::rounded;
use crate::clock::now;
use crate::running::{PortalRequest, PortalState};

/// What `POST /api/v1/portal` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum PortalBody {
    /// Open a window, in place of one that is open.
    Open(PortalOpening),
    /// Close the window, if one is open; must be true.
    Close(bool),
}

/// A window that is to be opened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortalOpening {
    /// For how long, from 1 to 1800.
    pub seconds: u64,
    /// Whether for all names without a route; else for those of connectivity checks.
    #[serde(default)]
    pub all: bool,
    /// The resolver of the network, `ADDR` or `ADDR@PORT`, if the settings do not name one.
    #[serde(default)]
    pub resolver: Option<String>,
}

impl PortalOpening {
    /// The body that asks for it.
    pub fn body(&self) -> String {
        json!({ "open": self }).to_string()
    }
}

/// What is known of portal windows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PortalReport {
    /// What the settings permit: `off`, `on`, or the address and port of the only resolver.
    pub permitted: String,
    /// Whether a window is open.
    pub open: bool,
    /// For how long it is still open at most.
    pub seconds_left: Option<f64>,
    /// The resolver that its names are sent to.
    pub resolver: Option<String>,
    /// `connectivity checks`, or `all names` without a route.
    pub names: Option<String>,
    /// Queries of clients that waited for a network's own resolver since the start.
    pub queries: u64,
}

impl PortalReport {
    /// What is known now.
    pub(super) fn of(portal: &PortalState) -> PortalReport {
        let open = portal.open();
        let left = open.as_ref().map(|open| open.closes.since(now()));
        PortalReport {
            permitted: portal.permitted().to_string(),
            open: open.is_some(),
            seconds_left: left.map(|left| rounded(left.as_secs_f64())),
            names: open.as_ref().map(|open| open.names().to_owned()),
            resolver: open.map(|open| open.resolver),
            queries: portal.queries(),
        }
    }
}

/// Reads what is wanted.
pub(super) async fn read_portal<B>(body: B) -> Result<PortalRequest, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Error + Send + Sync + 'static,
{
    const EXPECTED: &str =
        r#"{"open": {"seconds": 300, "all": false, "resolver": "192.0.2.1"}} or {"close": true}"#;
    let wrong = |problem: String| Refusal::Body {
        problem,
        expected: EXPECTED,
    };
    let opening = match read(body, EXPECTED).await? {
        PortalBody::Close(true) => return Ok(PortalRequest::Close),
        PortalBody::Close(false) => return Err(wrong("close is true or not there".to_owned())),
        PortalBody::Open(opening) => opening,
    };
    let resolver = opening.resolver.as_deref().map(read_resolver).transpose();
    Ok(PortalRequest::Open {
        span: Duration::from_secs(opening.seconds),
        names: match opening.all {
            true => PortalNames::All,
            false => PortalNames::Checks,
        },
        resolver: resolver.map_err(|fault| wrong(fault.to_string()))?,
    })
}
