//! Public resolvers that may be written by a word. `docs/resolvers.md` has the same lists; a test compares them.
//! Serves the kinds of value. A word is nothing but its list of upstreams, each authenticated by its name.

use super::fault::Fault;
use super::upstream::UpstreamSpec;

/// A provider of resolvers.
#[derive(Debug)]
struct Provider {
    /// What is written in place of its upstreams.
    word: &'static str,
    /// Its upstreams, in the order in which they are asked.
    upstreams: &'static [&'static str],
}

const PROVIDERS: &[Provider] = &[
    Provider {
        word: "adguard",
        upstreams: &[
            "94.140.14.14#dns.adguard-dns.com",
            "94.140.15.15#dns.adguard-dns.com",
            "[2a10:50c0::ad1:ff]#dns.adguard-dns.com",
            "[2a10:50c0::ad2:ff]#dns.adguard-dns.com",
        ],
    },
    Provider {
        word: "cloudflare",
        upstreams: &[
            "1.1.1.1#one.one.one.one",
            "1.0.0.1#one.one.one.one",
            "[2606:4700:4700::1111]#one.one.one.one",
            "[2606:4700:4700::1001]#one.one.one.one",
        ],
    },
    Provider {
        word: "google",
        upstreams: &[
            "8.8.8.8#dns.google",
            "8.8.4.4#dns.google",
            "[2001:4860:4860::8888]#dns.google",
            "[2001:4860:4860::8844]#dns.google",
        ],
    },
    Provider {
        word: "mullvad",
        upstreams: &[
            "194.242.2.2#dns.mullvad.net",
            "[2a07:e340::2]#dns.mullvad.net",
        ],
    },
    Provider {
        word: "quad9",
        upstreams: &[
            "9.9.9.9#dns.quad9.net",
            "149.112.112.112#dns.quad9.net",
            "[2620:fe::fe]#dns.quad9.net",
            "[2620:fe::9]#dns.quad9.net",
        ],
    },
];

/// Reads an item of a list of upstreams: one upstream, or the word of a provider for all of its.
pub(super) fn read(item: &str) -> Result<Vec<UpstreamSpec>, Fault> {
    let is_meant = |provider: &&Provider| provider.word.eq_ignore_ascii_case(item);
    match PROVIDERS.iter().find(is_meant) {
        Some(provider) => provider.upstreams.iter().map(|it| it.parse()).collect(),
        None => item.parse().map(|upstream| vec![upstream]),
    }
}

/// The words, for messages that list what may be written.
pub(super) fn words() -> String {
    let words: Vec<&str> = PROVIDERS.iter().map(|provider| provider.word).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_stands_for_upstreams_with_a_name_and_nothing_else_does() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/resolvers.md");
        let page = std::fs::read_to_string(page).unwrap();
        for provider in PROVIDERS {
            let upstreams = read(&provider.word.to_ascii_uppercase()).unwrap();
            assert_eq!(upstreams.len(), provider.upstreams.len());
            for written in provider.upstreams {
                assert!(written.contains('#'), "{written}");
                assert_eq!(read(written).unwrap().len(), 1);
            }
            let listed = format!("`{}`", provider.upstreams.join(","));
            assert!(page.contains(&listed), "{listed}");
            assert!(
                page.contains(&format!("`{}`", provider.word)),
                "{}",
                provider.word
            );
        }
        assert!(words().starts_with("adguard, "));
        assert_eq!(read("quad8").unwrap().len(), 1, "a name like any other");
    }
}
