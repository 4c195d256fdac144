//! What an operator may have meant by a value that cannot be read, or a setting that does not exist: the end of the message that says so.
//! Serves the kinds of value, which find the fault. A hint never changes what is wrong, and is never a guess that
//! would do something else than what was written.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use dotgate_net::interfaces;

use super::numbers::{bytes, milliseconds, number_and_unit};

/// Schemes of addresses of resolvers, and what is to be said of them.
const SCHEMES: [(&str, &str); 7] = [
    (
        "https://",
        "DNS over HTTPS is not supported, DNS over TLS is",
    ),
    ("h3://", "DNS over HTTPS is not supported, DNS over TLS is"),
    ("quic://", "DNS over QUIC is not supported, DNS over TLS is"),
    ("doq://", "DNS over QUIC is not supported, DNS over TLS is"),
    ("sdns://", "DNS stamps are not supported; write ADDR#NAME"),
    ("udp://", "for plain DNS write plain:ADDR in a route"),
    ("tcp://", "for plain DNS write plain:ADDR in a route"),
];

/// Of a setting that was removed, as a variable or a key of the file.
pub(super) fn of_removed_setting(name: &str) -> Option<&'static str> {
    ["DOTGATE_LOCAL_FORWARD", "[local] forward"]
        .contains(&name)
        .then_some(
            "remove it. Names with a route are forwarded, such as DOTGATE_ROUTES=home.arpa=plain:192.168.1.1; \
             others are not",
        )
}

/// Of an item of a list with white space in it.
pub(super) fn of_spaces(item: &str) -> Option<String> {
    let words: Vec<&str> = item.split_whitespace().collect();
    (words.len() > 1).then(|| format!("items are separated by commas: write {}", words.join(",")))
}

/// Of one route.
pub(super) fn of_route(item: &str) -> Option<String> {
    let is_cut = !item.contains('=') || item.starts_with('=') || item.ends_with(['=', ',']);
    is_cut.then(|| {
        "a route has no space in it, and routes are separated by spaces: corp.example,10.0.0.0/8=10.0.0.53"
            .to_owned()
    })
}

/// Of an address to listen on.
pub(super) fn of_listener(item: &str) -> Option<String> {
    if item == "*" {
        return Some("write 0.0.0.0,:: for all addresses".to_owned());
    }
    if item.eq_ignore_ascii_case("localhost") {
        return Some("write 127.0.0.1,::1".to_owned());
    }
    if let Ok(address) = item.parse::<SocketAddr>() {
        return Some(format!("write {}; the port goes into PORT", address.ip()));
    }
    if interfaces::index_of(item).is_some() {
        return Some(format!(
            "it is an interface: write its addresses, which `ip address show {item}` lists"
        ));
    }
    None
}

/// Of an address of the admin endpoint with its port.
pub(super) fn of_admin_listener(item: &str) -> Option<String> {
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let both = |port: &str| format!("write 127.0.0.1:{port}, or 0.0.0.0:{port} for all addresses");
    if is_port(item) {
        return Some(both(item));
    }
    if let Ok(ip) = item.trim_matches(['[', ']']).parse::<IpAddr>() {
        let with_port = SocketAddr::new(ip, 9153);
        return Some(format!("write {with_port}"));
    }
    let (host, port) = item.rsplit_once(':').filter(|(_, port)| is_port(port))?;
    match host {
        "" | "*" => Some(both(port)),
        _ if host.eq_ignore_ascii_case("localhost") => Some(format!("write 127.0.0.1:{port}")),
        _ => None,
    }
}

/// Of clients.
pub(super) fn of_prefix(item: &str) -> Option<String> {
    let is_everybody = ["all", "*", "everyone", "everybody", "public"]
        .iter()
        .any(|word| item.eq_ignore_ascii_case(word));
    is_everybody.then(|| {
        "any allows every client, also from the Internet: use it if this is intended".to_owned()
    })
}

/// Of an upstream.
pub(super) fn of_upstream(item: &str) -> Option<String> {
    for (scheme, words) in SCHEMES {
        let Some(start) = item.get(..scheme.len()) else {
            continue;
        };
        if start.eq_ignore_ascii_case(scheme) {
            return Some(words.to_owned());
        }
    }
    if item.split(';').next()?.trim_end().ends_with('#') {
        return Some(
            "there is nothing after #: write the name that its certificate is for".to_owned(),
        );
    }
    None
}

/// Of a duration.
pub(super) fn of_duration(text: &str) -> Option<String> {
    let (number, unit) = amount_and_unit(text)?;
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" => "s",
        "ms" | "msec" | "milliseconds" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "w" | "week" | "weeks" => return whole(number * 7.0, "d"),
        _ => return None,
    };
    whole(number, unit).or_else(|| {
        let each = milliseconds(unit)? as f64;
        whole(number * each, "ms")
    })
}

/// Of a size.
pub(super) fn of_size(text: &str) -> Option<String> {
    let (number, unit) = amount_and_unit(text)?;
    let unit = unit.to_ascii_lowercase();
    let (binary, decimal) = match unit.as_str() {
        "k" => ("KiB", "KB"),
        "m" => ("MiB", "MB"),
        "g" => ("GiB", "GB"),
        unit => {
            let each = bytes(unit)? as f64;
            return whole(number, &text_of_unit(unit)).or_else(|| whole(number * each, ""));
        }
    };
    if number.fract() != 0.0 {
        return None;
    }
    Some(format!(
        "write {number}{binary} for a power of 1024, or {number}{decimal} for one of 1000"
    ))
}

/// Of a line of the file that is not TOML: a value that lacks its quotes.
pub(super) fn of_toml_line(line: &str) -> Option<String> {
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let is_bare = !value.is_empty()
        && !value.starts_with(['"', '\'', '[', '{'])
        && !value.contains(['"', '\'', '#']);
    let is_meant = is_bare && !key.is_empty() && key.bytes().all(is_key);
    is_meant.then(|| format!("write {key} = \"{value}\""))
}

/// The language of a file that is not TOML, if it is recognized.
pub(super) fn other_language(path: &Path, text: &str) -> Option<&'static str> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("yaml" | "yml") => return Some("YAML"),
        Some("json") => return Some("JSON"),
        Some(_) | None => {}
    }
    let mut lines = text.lines().map(str::trim_end);
    let first = lines.find(|line| !line.trim().is_empty() && !line.starts_with('#'))?;
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if first.trim_start().starts_with('{') {
        return Some("JSON");
    }
    let (key, value) = first.split_once(':').unwrap_or_default();
    let is_mapping =
        !key.is_empty() && key.bytes().all(is_key) && (value.is_empty() || value.starts_with(' '));
    (is_mapping || first == "---").then_some("YAML")
}

/// A unit of size as it is usually written.
fn text_of_unit(unit: &str) -> String {
    let written = ["KiB", "MiB", "GiB", "KB", "MB", "GB"].iter();
    let mut meant = written.filter(|written| written.eq_ignore_ascii_case(unit));
    meant.next().map_or(String::new(), |it| (*it).to_owned())
}

/// A number, perhaps with a fraction, and what follows it.
fn amount_and_unit(text: &str) -> Option<(f64, &str)> {
    let (whole, rest) = number_and_unit(text);
    let (number, unit) = match rest.strip_prefix('.') {
        None => (whole.to_owned(), rest),
        Some(behind) => {
            let (fraction, unit) = number_and_unit(behind);
            (format!("{whole}.{fraction}"), unit)
        }
    };
    Some((number.parse().ok()?, unit.trim()))
}

/// What to write for a number that is whole.
fn whole(number: f64, unit: &str) -> Option<String> {
    (number.fract() == 0.0 && number < 1e15).then(|| format!("write {number}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_put_right() {
        for (text, expected) in [
            ("60", Some("write 60s")),
            ("1.5s", Some("write 1500ms")),
            ("0.5h", Some("write 1800000ms")),
            ("4 s", Some("write 4s")),
            ("5min", Some("write 5m")),
            ("2w", Some("write 14d")),
            ("4S", Some("write 4s")),
            ("soon", None),
            ("", None),
            ("4x", None),
        ] {
            assert_eq!(of_duration(text).as_deref(), expected, "{text}");
        }
        for (text, expected) in [
            (
                "64M",
                Some("write 64MiB for a power of 1024, or 64MB for one of 1000"),
            ),
            (
                "8g",
                Some("write 8GiB for a power of 1024, or 8GB for one of 1000"),
            ),
            ("64 MiB", Some("write 64MiB")),
            ("1.5KB", Some("write 1500")),
            ("much", None),
            ("1.5G", None),
        ] {
            assert_eq!(of_size(text).as_deref(), expected, "{text}");
        }
    }
}
