use super::*;

const FIRST: &str = "ads.example";

fn entries(text: &str, purpose: Purpose) -> Vec<(u32, Result<String, String>)> {
    let mut found = Vec::new();
    read::<()>(text.as_bytes(), purpose, |line, entry| {
        let shown = |entry: ListEntry| {
            let name = domain::base::Name::from_slice(entry.name.as_slice()).unwrap();
            let scope = match entry.scope {
                ListScope::Exact => "exact",
                ListScope::Below => "below",
                ListScope::Subtree => "subtree",
            };
            format!("{name} {scope} {:?}", entry.action)
        };
        found.push((line, entry.map(shown).map_err(|fault| fault.to_string())));
        Ok(())
    })
    .unwrap();
    found
}

fn right(text: &str) -> Vec<String> {
    let all = entries(text, Purpose::Block).into_iter();
    all.map(|(line, entry)| entry.unwrap_or_else(|fault| panic!("{line}: {fault}")))
        .collect()
}

fn first_fault(text: &str) -> (u32, String) {
    let mut all = entries(text, Purpose::Block).into_iter();
    all.find_map(|(line, entry)| Some((line, entry.err()?)))
        .unwrap()
}

#[test]
fn a_name_in_each_line_stands_for_all_below_it_and_an_asterisk_for_these_alone() {
    let text = "\u{feff}# ads\n\nads.example\r\n  Track.EXAMPLE. # not the trackers\n*.cdn.example\n_x.a-b.example";
    assert_eq!(
        right(text),
        [
            "ads.example subtree Block",
            "track.example subtree Block",
            "cdn.example below Block",
            "_x.a-b.example subtree Block",
        ]
    );
    let allowed = entries(FIRST, Purpose::Allow);
    assert_eq!(allowed, [(1, Ok("ads.example subtree Allow".to_owned()))]);
}

#[test]
fn hosts_files_block_their_names_and_not_those_of_the_host() {
    let text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nfe80::1%lo0 localhost\n\
        255.255.255.255 broadcasthost\nff02::2 ip6-allrouters\n0.0.0.0 0.0.0.0\n\
        0.0.0.0 ads.example track.example\n127.0.0.1\tmore.example\n:: six.example\n";
    assert_eq!(
        right(text),
        [
            "ads.example subtree Block",
            "track.example subtree Block",
            "more.example subtree Block",
            "six.example subtree Block",
        ]
    );
}

#[test]
fn a_zone_has_rules_for_names_and_for_what_lies_below() {
    let text = "$TTL 30\n@ IN SOA rpz.urlhaus.abuse.ch. hostmaster.urlhaus.abuse.ch. ( 2311 ; serial\n 300\n 1800 604800 30 )\n\
        \x20 NS localhost.\n\
        a.example CNAME . ; malware\n\
        *.a.example 60 IN CNAME .\n\
        b.example IN CNAME *.\n\
        good.b.example CNAME rpz-passthru.\n\
        self.example CNAME self.example.\n\
        walled.example CNAME Garden.Example.ORG.\n\
        *. CNAME .\n";
    assert!(text.contains("*. CNAME"));
    let text = text.replace("*. CNAME", "* CNAME");
    assert_eq!(
        right(&text),
        [
            "a.example exact Deny(NxDomain)",
            "a.example below Deny(NxDomain)",
            "b.example exact Deny(NoData)",
            "good.b.example exact Pass",
            "self.example exact Pass",
            "walled.example exact Redirect([6, 103, 97, 114, 100, 101, 110, 7, 101, 120, 97, 109, 112, 108, 101, 3, 111, 114, 103, 0])",
            ". below Deny(NxDomain)",
        ]
    );
}

#[test]
fn the_name_of_the_zone_is_not_part_of_its_rules() {
    for head in [
        "$ORIGIN rpz.test.\n@ SOA a. b. 1 2 3 4 5\n",
        "rpz.test. 30 IN SOA a. b. 1 2 3 4 5\n",
    ] {
        let text = format!(
            "{head}a.example CNAME .\nb.example.RPZ.test. CNAME .\n$ORIGIN sub.rpz.test.\nc CNAME .\n"
        );
        let expected = [
            "a.example exact Deny(NxDomain)",
            "b.example exact Deny(NxDomain)",
            "c.sub exact Deny(NxDomain)",
        ];
        assert_eq!(right(&text), expected, "{head}");
    }
}

#[test]
fn every_wrong_line_is_a_fault_that_says_what_was_expected() {
    const ZONE: &str = "$TTL 30\n@ SOA a. b. 1 2 3 4 5\n";
    for (text, line, says) in [
        ("ads.example\nads..example\n", 2, "a label is empty"),
        ("||ads.example^\n", 1, "Adblock syntax"),
        ("! a comment of Adblock\n", 1, "is followed by more"),
        ("192.168.1.10 nas\n", 1, "is the address of a host"),
        ("0.0.0.0\n", 1, "the address has no name"),
        ("ads.example track.example\n", 1, "is followed by more"),
        ("b\u{fc}cher.example\n", 1, "ASCII form"),
        ("a.example CNAME .\n", 1, "is followed by more"),
    ] {
        let (at, fault) = first_fault(text);
        assert!(at == line && fault.contains(says), "{text}: {at}: {fault}");
        assert!(fault.contains("expected:"), "{fault}");
    }
    for (rule, says) in [
        ("a.example A 127.0.0.1", "type A are not supported"),
        ("a.example TXT hello", "type TXT"),
        ("32.1.2.0.192.rpz-ip CNAME .", "rules with rpz-ip"),
        ("ns.example.rpz-nsdname CNAME .", "rules with rpz-nsdname"),
        ("a.example CNAME rpz-drop.", "the action rpz-drop."),
        ("a.example CNAME *.garden.example.", "the action *.garden"),
        ("a.example CNAME", "the target is missing"),
        ("a.example CNAME . .", "something follows the target"),
        ("a.example", "a type is missing"),
        ("b.example. CNAME .", "is not below the name of the zone"),
        ("$INCLUDE other", "directives other than"),
        ("$ORIGIN x", "$ORIGIN needs a name"),
        ("a.example CNAME . ( ", "something follows the target"),
        ("\u{fc}.example CNAME .", "ASCII form"),
    ] {
        let (at, fault) = first_fault(&format!("{ZONE}{rule}\n"));
        assert!(at == 3 && fault.contains(says), "{rule}: {at}: {fault}");
    }
    let (at, fault) = first_fault(&format!("{ZONE}x SOA ( a.\n1\n"));
    assert!(at == 3 && fault.contains("not closed"), "{at}: {fault}");
}

#[test]
fn a_filter_stays_the_same_while_nothing_of_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("block");
    std::fs::write(&path, FIRST).unwrap();
    let config = FilterConfig {
        block_files: vec![path.clone()],
        allow_files: Vec::new(),
        substitute: dotgate_core::Substitute::NxDomain,
        rebinding: None,
        rebinding_except: Vec::new(),
        dns64: None,
    };
    let ttl = Duration::from_secs(60);
    let load = |config: &FilterConfig, before: &LoadedFilter| {
        LoadedFilter::load(config, ttl, before).unwrap()
    };
    let first = load(&config, &LoadedFilter::default());
    assert_eq!(first.count().names, 1);
    let generation = |filter: &LoadedFilter| filter.filter().generation;
    assert_eq!(generation(&load(&config, &first)), generation(&first));
    std::fs::write(&path, "ads.example\nmore.example").unwrap();
    let second = load(&config, &first);
    assert_eq!(
        (second.count().names, generation(&second)),
        (2, generation(&first) + 1)
    );
    let other = FilterConfig {
        substitute: dotgate_core::Substitute::Refused,
        ..config
    };
    assert_eq!(generation(&load(&other, &second)), generation(&second) + 1);
    std::fs::write(&path, "ads.example\nwrong line").unwrap();
    let error = LoadedFilter::load(&other, ttl, &second)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(&format!("{}:2: wrong is followed", path.display())),
        "{error}"
    );
}

#[test]
fn the_lines_that_speak_of_a_name_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("block"), "# x\nexample\n*.ads.example\nother.example\n").unwrap();
    std::fs::write(at("allow"), "www.ads.example\n").unwrap();
    let config = FilterConfig {
        block_files: vec![at("block")],
        allow_files: vec![at("allow")],
        substitute: dotgate_core::Substitute::NxDomain,
        rebinding: None,
        rebinding_except: Vec::new(),
        dns64: None,
    };
    let rules = rules_for(&config, b"\x03WWW\x03ads\x07example\0");
    let shown = |name: &str, rest: &str| format!("{}:{rest}", at(name).display());
    assert_eq!(
        rules,
        [
            shown("allow", "1: allowed"),
            shown("block", "3: listed"),
            shown("block", "2: listed")
        ]
    );
}
