//! What is wrong with routes that are right one by one.

use std::fmt;

use crate::origin::Origin;

/// What is wrong with routes that are right one by one.
#[derive(Debug)]
pub enum RoutesFault {
    /// A route that a program sets has a suffix for which the settings have a group.
    Configured {
        /// The suffix.
        suffix: String,
        /// The group.
        group: String,
    },
    /// Two routes have the same suffix.
    Duplicate {
        /// The suffix.
        suffix: String,
        /// The route, by its first suffix.
        route: String,
        /// The earlier one.
        other: String,
        /// Where that is.
        other_origin: Origin,
    },
    /// An upstream has other pins or another client certificate than in another route.
    OtherAuthentication {
        /// The upstream.
        label: String,
    },
    /// A setting names a route that there is not.
    NoSuchRoute {
        /// The suffix that it names.
        suffix: String,
    },
    /// There are more routes than allowed.
    TooManyRoutes {
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// There are more suffixes than allowed.
    TooManySuffixes {
        /// How many there may be.
        most: usize,
    },
    /// All groups together have more upstreams than allowed.
    TooManyUpstreams {
        /// How many there may be.
        most: usize,
    },
}

impl fmt::Display for RoutesFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate {
                suffix,
                route,
                other,
                other_origin,
            } => write!(
                f,
                "the suffix {suffix} has two routes: that of {route} here, and that of {other} ({other_origin})\n  to \
                 do: remove it from one of them"
            ),
            Self::Configured { suffix, group } => write!(
                f,
                "the settings have a route for {suffix} (group {group})\n  to do: remove {suffix} from these routes, \
                 or from the settings"
            ),
            Self::NoSuchRoute { suffix } => write!(
                f,
                "no route has the suffix {suffix}\n  expected: suffixes of routes in DOTGATE_ROUTES, such as the first of each"
            ),
            Self::OtherAuthentication { label } => write!(
                f,
                "the upstream {label} has other pins or another client certificate here than in another group\n  to \
                 do: use the same in all groups"
            ),
            Self::TooManyRoutes { found, most } => {
                write!(f, "there are {found} routes\n  expected: at most {most}")
            }
            Self::TooManySuffixes { most } => write!(
                f,
                "the routes have more than {most} suffixes, counting each reverse zone of an address prefix"
            ),
            Self::TooManyUpstreams { most } => {
                write!(
                    f,
                    "there are more than {most} upstreams in all groups together"
                )
            }
        }
    }
}
