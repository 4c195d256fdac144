//! Response policy zones (draft-vixie-dnsop-dns-rpz), as far as their rules are for names that are asked for.
//!
//! A zone file of CNAME records: an owner without an asterisk stands for its own name, `*.NAME` for those below. `CNAME .`
//! is NXDOMAIN, `CNAME *.` is NODATA, `CNAME rpz-passthru.` (or a CNAME to the owner itself) passes, any other target is
//! an alias. SOA and NS records of the zone are skipped. Rules that cannot be followed are faults, never skipped.

use dotgate_core::{ListAction, ListScope, Substitute};

use super::entry::ListEntry;
use super::fault::ListLineFault;
use crate::lines::WireName;

/// Last labels of owners whose rules have another trigger.
const OTHER_TRIGGERS: [&str; 5] = [
    "rpz-ip",
    "rpz-nsip",
    "rpz-nsdname",
    "rpz-client-ip",
    "rpz-qname",
];

/// Whether a file is a zone file: its first line is a directive or an SOA record.
pub(super) fn is_zone(text: &[u8]) -> bool {
    let first = lines(text).find(|(_, line)| !line.trim_ascii().is_empty());
    first.is_some_and(|(_, line)| {
        let has_soa = || words(line).any(|word| word.eq_ignore_ascii_case("SOA"));
        line.starts_with(b"$") || line.starts_with(b"@") || has_soa()
    })
}

/// The lines of a zone file, from 1, without comments.
fn lines(text: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let bare = text.split(|byte| *byte == b'\n').map(|line| {
        let bare = line.split(|byte| *byte == b';').next().unwrap_or_default();
        bare.trim_ascii_end()
    });
    (1..).zip(bare)
}

/// The words of a line; what is not UTF-8 is no word of ours.
fn words(line: &[u8]) -> impl Iterator<Item = &str> {
    str::from_utf8(line)
        .unwrap_or("\u{fffd}")
        .split_ascii_whitespace()
}

/// Where in a zone file the reader is.
#[derive(Default)]
struct Place<'t> {
    /// The name of the zone: that of the first `$ORIGIN` or of the SOA record, without the dot at its end.
    zone: Option<&'t str>,
    /// The last `$ORIGIN`, likewise.
    origin: Option<&'t str>,
    /// The last owner as it is written.
    owner: &'t str,
}

/// Gives every rule to `each`, with its line, or what is wrong with the line, until that fails.
pub(super) fn read<E>(
    text: &[u8],
    mut each: impl FnMut(u32, Result<ListEntry, ListLineFault>) -> Result<(), E>,
) -> Result<(), E> {
    let mut place = Place::default();
    // Where a parenthesis was opened that is not closed yet.
    let mut open = None;
    for (number, line) in lines(text) {
        let is_within = open.is_some();
        for byte in line {
            match byte {
                b'(' => open = Some(number),
                b')' => open = None,
                _ => {}
            }
        }
        // Only an SOA record has parentheses, and none of its numbers is of use.
        if is_within || line.trim_ascii().is_empty() {
            continue;
        }
        match place.read_line(line) {
            Ok(None) => {}
            Ok(Some(entry)) => each(number, Ok(entry))?,
            Err(fault) => each(number, Err(fault))?,
        }
    }
    match open {
        Some(number) => each(number, Err(ListLineFault::OpenParenthesis)),
        None => Ok(()),
    }
}

impl<'t> Place<'t> {
    /// Reads a line; none if it is no rule.
    fn read_line(&mut self, line: &'t [u8]) -> Result<Option<ListEntry>, ListLineFault> {
        let mut words = words(line).peekable();
        match words.peek().copied() {
            Some("$TTL") => return Ok(None),
            Some("$ORIGIN") => {
                let origin = words.nth(1).and_then(|it| it.strip_suffix('.'));
                let origin = origin.ok_or(ListLineFault::NotARecord(
                    "$ORIGIN needs a name with a dot at its end",
                ))?;
                self.zone = self.zone.or(Some(origin));
                self.origin = Some(origin);
                return Ok(None);
            }
            Some(word) if word.starts_with('$') => {
                return Err(ListLineFault::NotARecord(
                    "directives other than $TTL and $ORIGIN are not supported",
                ));
            }
            _ => {}
        }
        // A line that begins with white space has the owner of the one before.
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            self.owner = words.next().unwrap_or_default();
        }
        let is_ttl_or_class = |word: &&str| {
            word.eq_ignore_ascii_case("IN") || word.starts_with(|c: char| c.is_ascii_digit())
        };
        while words.next_if(is_ttl_or_class).is_some() {}
        let rtype = words
            .next()
            .ok_or(ListLineFault::NotARecord("a type is missing"))?;
        if rtype.eq_ignore_ascii_case("SOA") {
            self.zone = self.zone.or(self.owner.strip_suffix('.'));
            self.origin = self.origin.or(self.zone);
            return Ok(None);
        }
        let owner = self.relative(self.owner)?;
        match (rtype.to_ascii_uppercase().as_str(), owner.is_empty()) {
            ("NS", true) => Ok(None),
            ("CNAME", _) => {
                let target = words.next();
                let target = target.ok_or(ListLineFault::NotARecord("the target is missing"))?;
                if words.next().is_some() {
                    return Err(ListLineFault::NotARecord("something follows the target"));
                }
                rule(&owner, target).map(Some)
            }
            _ => Err(ListLineFault::OtherType(rtype.to_owned())),
        }
    }

    /// An owner without the name of the zone, empty for that of the zone itself.
    fn relative(&self, owner: &str) -> Result<String, ListLineFault> {
        let outside = || ListLineFault::OutsideOfZone(owner.to_owned());
        let whole = match (owner, owner.strip_suffix('.'), self.origin) {
            ("@", _, origin) => origin.unwrap_or_default().to_owned(),
            (_, Some(absolute), _) => absolute.to_owned(),
            (relative, None, Some(origin)) => format!("{relative}.{origin}"),
            (relative, None, None) => return Ok(relative.to_owned()),
        };
        let whole = whole.to_ascii_lowercase();
        match self.zone.map(str::to_ascii_lowercase) {
            None if owner == "@" => Ok(String::new()),
            None => Err(outside()),
            Some(zone) if whole == zone => Ok(String::new()),
            Some(zone) => {
                let rest = whole.strip_suffix(&zone);
                let rest = rest.and_then(|rest| rest.strip_suffix('.'));
                rest.map(str::to_owned).ok_or_else(outside)
            }
        }
    }
}

/// The rule of a CNAME record.
fn rule(owner: &str, target: &str) -> Result<ListEntry, ListLineFault> {
    let last = owner.rsplit('.').next().unwrap_or_default();
    if OTHER_TRIGGERS.contains(&last) {
        return Err(ListLineFault::OtherTrigger(last.to_owned()));
    }
    let (name, scope) = match owner.strip_prefix("*.") {
        Some(name) => (name, ListScope::Below),
        None if owner == "*" => ("", ListScope::Below),
        None => (owner, ListScope::Exact),
    };
    let name = match name {
        "" => WireName::root(),
        name => WireName::read(name.as_bytes())?,
    };
    let bare = target.strip_suffix('.').unwrap_or(target);
    let is_policy = |label: &str| bare.starts_with(label) && !bare.contains('.');
    let action = match bare {
        "" => ListAction::Deny(Substitute::NxDomain),
        "*" => ListAction::Deny(Substitute::NoData),
        "rpz-passthru" => ListAction::Pass,
        _ if bare.eq_ignore_ascii_case(owner) => ListAction::Pass,
        _ if is_policy("rpz-") || bare.starts_with('*') => {
            return Err(ListLineFault::OtherAction(target.to_owned()));
        }
        _ => ListAction::Redirect(WireName::read(bare.as_bytes())?.as_slice().into()),
    };
    Ok(ListEntry {
        name,
        scope,
        action,
    })
}
