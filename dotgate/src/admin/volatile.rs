//! `/api/v1/routes`: routes that programs set while dotgate runs, and what the status says of them.

use std::error::Error;
use std::time::Duration;

use dotgate_config::VolatileRoutes;
use dotgate_core::Moment;
use hyper::body::{Body, Bytes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::body::read;
use super::refusal::Refusal;
use super::upstreams::rounded;
use crate::clock::now;
use crate::running::{OwnedRoutes, RoutesRequest, RoutesState};

/// What `POST /api/v1/routes` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum RoutesBody {
    /// Set routes, in place of those that their owner has.
    Set(RoutesSetting),
    /// Remove the routes of this owner.
    Remove(String),
}

/// Routes that are to be set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoutesSetting {
    /// Who sets them, such as the interface of a VPN: 1 to 64 letters, digits and `._:@-`.
    pub owner: String,
    /// All routes of the owner, as `DOTGATE_ROUTES` has them.
    pub routes: String,
    /// After how many seconds they expire unless they are set again, from 1 to 604800; if null, they hold until they are
    /// removed or the process ends.
    #[serde(default)]
    pub seconds: Option<u64>,
}

impl RoutesSetting {
    /// The body that asks for it.
    pub fn body(&self) -> String {
        json!({ "set": self }).to_string()
    }
}

/// What is known of such routes.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct RoutesReport {
    /// Whether the settings let programs set routes.
    pub permitted: bool,
    /// Each owner with its routes, in the order in which they came.
    pub owners: Vec<OwnerReport>,
}

/// The routes of one owner.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OwnerReport {
    /// Who set them.
    pub owner: String,
    /// The routes as they were written.
    pub routes: String,
    /// Whether their time is over, so that their names fail.
    pub expired: bool,
    /// When they expire; null if they do not, or have.
    pub seconds_left: Option<f64>,
}

impl RoutesReport {
    /// What is known now.
    pub(super) fn of(routes: &RoutesState) -> RoutesReport {
        let now = now();
        RoutesReport {
            permitted: routes.is_permitted(),
            owners: routes
                .all()
                .iter()
                .map(|it| OwnerReport::of(it, now))
                .collect(),
        }
    }
}

impl OwnerReport {
    fn of(owned: &OwnedRoutes, now: Moment) -> OwnerReport {
        let OwnedRoutes { routes, expires } = owned;
        let left = expires.filter(|_| !routes.is_expired());
        OwnerReport {
            owner: routes.owner().to_string(),
            routes: routes.text().to_owned(),
            expired: routes.is_expired(),
            seconds_left: left.map(|expires| rounded(expires.since(now).as_secs_f64())),
        }
    }

    /// For how long they hold, in words.
    pub fn state(&self) -> String {
        match (self.expired, self.seconds_left) {
            (true, _) => "expired: these names fail".to_owned(),
            (false, Some(left)) => format!("for {} s more", left.round()),
            (false, None) => "until they are removed".to_owned(),
        }
    }
}

/// Reads what is wanted.
pub(super) async fn read_routes<B>(body: B) -> Result<RoutesRequest, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Error + Send + Sync + 'static,
{
    const EXPECTED: &str = r#"{"set": {"owner": "tun0", "routes": "corp.example=plain:10.0.0.53", "seconds": 3600}} or {"remove": "tun0"}"#;
    let wrong = |problem: String| Refusal::Body {
        problem,
        expected: EXPECTED,
    };
    let owner = |text: &str| text.parse().map_err(|fault| wrong(format!("{fault}")));
    let setting = match read(body, EXPECTED).await? {
        RoutesBody::Remove(text) => return Ok(RoutesRequest::Remove(owner(&text)?)),
        RoutesBody::Set(setting) => setting,
    };
    let routes = VolatileRoutes::read(owner(&setting.owner)?, &setting.routes);
    Ok(RoutesRequest::Set {
        routes: routes.map_err(|fault| wrong(format!("routes: {fault}")))?,
        span: setting.seconds.map(Duration::from_secs),
    })
}
