//! Routes that programs have set, as a line for the next process: it must not send their names elsewhere.

use dotgate_config::VolatileRoutes;
use dotgate_core::Moment;

use crate::running::OwnedRoutes;

/// Where they hold until they are removed.
const ALWAYS: &str = "-";

/// Where they have expired.
const EXPIRED: &str = "expired";

/// The owner, when they expire by the clock of all processes of this host, and the routes.
pub(super) fn to_line(owned: &OwnedRoutes) -> String {
    let OwnedRoutes { routes, expires } = owned;
    let expires = match (routes.is_expired(), expires) {
        (true, _) => EXPIRED.to_owned(),
        (false, Some(moment)) => moment.nanos().to_string(),
        (false, None) => ALWAYS.to_owned(),
    };
    let words: Vec<&str> = routes.text().split_whitespace().collect();
    format!("{} {expires} {}", routes.owner(), words.join(" "))
}

/// Reads such a line; none if it is of another version.
pub(super) fn of_line(line: &str) -> Option<OwnedRoutes> {
    if dotgate_wire::planted!("volatile-routes-are-not-handed-over") {
        return None;
    }
    let (owner, rest) = line.split_once(' ')?;
    let (expires, text) = rest.split_once(' ')?;
    let routes = VolatileRoutes::read(owner.parse().ok()?, text).ok()?;
    Some(match expires {
        ALWAYS => OwnedRoutes {
            routes,
            expires: None,
        },
        EXPIRED => OwnedRoutes {
            routes: routes.expired(),
            expires: None,
        },
        nanos => OwnedRoutes {
            routes,
            expires: Some(Moment::from_nanos(nanos.parse().ok()?)),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_as_they_were_written() {
        let text = "corp.example,10.0.0.0/8=plain:10.0.0.53;interface=tun0 lab=10.0.0.54";
        let routes = VolatileRoutes::read("tun0".parse().unwrap(), text).unwrap();
        let moment = Some(Moment::from_nanos(1_234));
        for owned in [
            (routes.clone(), None),
            (routes.clone(), moment),
            (routes.expired(), None),
        ] {
            let (routes, expires) = owned;
            let owned = OwnedRoutes { routes, expires };
            assert_eq!(of_line(&to_line(&owned)), Some(owned));
        }
        for wrong in ["", "tun0", "tun0 -", "tun0 - lab", "tun0 x lab=10.0.0.54"] {
            assert_eq!(of_line(wrong), None, "{wrong}");
        }
    }
}
