//! The portal window: whether one may be opened, and the group of its names.
//!
//! It is above groups. Names of a route never get there: `dotgate_core::RouteTable::with_portal` leaves them out.

use std::num::NonZeroU8;

use dotgate_core::{Strategy, limits};

use crate::address::ScopedSocketAddress;
use crate::from_spec::Config;
use crate::kinds::{PortalPolicy, Suffix};
use crate::routes::GroupConfig;
use crate::upstream::UpstreamConfig;

/// How logs and metrics call the group. No suffix has a space, so that no route is called so.
const LABEL: &str = "portal window";

/// The names that systems look up to find out whether a network asks for a login, each with who does. They are names
/// that nobody visits: what goes to the resolver of the network in the clear is that a host of this kind is there.
/// Names that serve other purposes too, such as `www.google.com`, are left out.
pub const CONNECTIVITY_CHECKS: [(&str, &str); 22] = [
    ("captive.apple.com", "Apple"),
    (
        "connectivitycheck.gstatic.com",
        "Android (NetworkMonitor), Chrome OS",
    ),
    ("connectivitycheck.android.com", "Android"),
    ("clients3.google.com", "Android up to 7"),
    ("www.gstatic.com", "Chrome"),
    ("www.msftconnecttest.com", "Windows 10 and later (NCSI)"),
    ("ipv6.msftconnecttest.com", "the same over IPv6"),
    ("dns.msftncsi.com", "Windows (NCSI)"),
    ("www.msftncsi.com", "Windows up to 8.1 (NCSI)"),
    (
        "detectportal.firefox.com",
        "Firefox (captivedetect.canonicalURL)",
    ),
    ("nmcheck.gnome.org", "GNOME, NetworkManager"),
    ("networkcheck.kde.org", "KDE, NetworkManager"),
    ("connectivity-check.ubuntu.com", "Ubuntu, NetworkManager"),
    ("network-test.debian.org", "Debian, NetworkManager"),
    ("fedoraproject.org", "Fedora, NetworkManager"),
    ("ping.archlinux.org", "Arch Linux, NetworkManager"),
    ("conncheck.opensuse.org", "openSUSE, NetworkManager"),
    ("connectivitycheck.grapheneos.network", "GrapheneOS"),
    ("connectivity.samsung.com.cn", "Samsung"),
    ("connectivitycheck.platform.hicloud.com", "Huawei"),
    ("connect.rom.miui.com", "Xiaomi"),
    ("spectrum.s3.amazonaws.com", "Amazon Kindle and Fire"),
];

/// Which names a portal window is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortalNames {
    /// Those of [`CONNECTIVITY_CHECKS`], with all names below them.
    Checks,
    /// All names without a route.
    All,
}

impl Config {
    /// Returns whether portal windows may be opened.
    pub fn portal(&self) -> &PortalPolicy {
        &self.sessions().portal
    }

    /// Returns the group of a portal window; none if there is no room for it.
    pub fn portal_group(
        &self,
        resolver: &ScopedSocketAddress,
        names: PortalNames,
    ) -> Option<GroupConfig> {
        let upstream = self.portal_upstream(resolver);
        let is_new = !self.upstreams.contains(&upstream);
        if self.groups.len() >= limits::GROUPS
            || is_new && self.upstreams.len() >= limits::UPSTREAMS
        {
            return None;
        }
        let suffixes = match names {
            PortalNames::All => vec![Suffix::root()],
            PortalNames::Checks => {
                let names = CONNECTIVITY_CHECKS.iter();
                names.filter_map(|(name, _)| name.parse().ok()).collect()
            }
        };
        Some(GroupConfig {
            label: LABEL.to_owned(),
            suffixes,
            weights: vec![NonZeroU8::MIN],
            upstreams: vec![upstream],
            strategy: Strategy::Ordered,
            // The page of a portal is on the network itself.
            is_public: false,
            dns64: None,
            is_portal: true,
        })
    }

    /// The network's resolver as an upstream; that of a route, if it is the same server.
    fn portal_upstream(&self, resolver: &ScopedSocketAddress) -> UpstreamConfig {
        let made = UpstreamConfig::plain(resolver);
        let mut upstreams = self.upstreams.iter();
        let same = upstreams.find(|it| it.label == made.label).cloned();
        same.unwrap_or(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{Kind as _, Portal, read_resolver};
    use crate::tests::config;

    #[test]
    fn windows_are_off_unless_a_setting_names_a_resolver_or_lets_commands_name_one() {
        let policy = |value| {
            config(&[("DOTGATE_DNS_PORTAL", value)])
                .portal()
                .to_string()
        };
        assert_eq!(*config(&[]).portal(), PortalPolicy::Off);
        assert_eq!(policy("off"), "off");
        assert_eq!(policy("ON"), "on");
        assert_eq!(policy("192.0.2.53"), "192.0.2.53:53");
        assert_eq!(policy("2001:db8::53@5353"), "[2001:db8::53]:5353");
        for wrong in ["", "yes", "dns.example", "192.0.2.1,192.0.2.2", "0.0.0.0"] {
            assert!(Portal.read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_group_has_the_names_of_checks_or_the_root_and_one_plain_upstream() {
        let config = config(&[("DOTGATE_DNS_PORTAL", "on")]);
        let resolver = read_resolver("192.0.2.53").unwrap();
        let checks = config.portal_group(&resolver, PortalNames::Checks).unwrap();
        assert_eq!(checks.suffixes.len(), CONNECTIVITY_CHECKS.len());
        assert_eq!(checks.upstreams[0].authentication, None);
        assert_eq!(checks.upstreams[0].label, "plain:192.0.2.53@53");
        let all = config.portal_group(&resolver, PortalNames::All).unwrap();
        let zones = all.suffixes.iter().flat_map(Suffix::zones);
        let zones: Vec<&[u8]> = zones.map(|zone| &**zone).collect();
        assert_eq!(zones, [b"\0"]);
    }

    #[test]
    fn a_server_of_a_route_is_the_same_upstream() {
        let resolver = read_resolver("192.0.2.53").unwrap();
        let is_known = |route| {
            let config = config(&[("DOTGATE_ROUTES", route)]);
            let group = config.portal_group(&resolver, PortalNames::All).unwrap();
            config.upstreams().contains(&group.upstreams[0])
        };
        assert!(is_known("lan=plain:192.0.2.53"));
        assert!(!is_known("lan=plain:192.0.2.53;mark=7"), "it has a mark");
    }
}
