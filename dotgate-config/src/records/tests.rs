//! Records as they are written, and what is said about those that are wrong.

use super::*;

#[test]
fn records_are_separated_by_semicolons_that_are_not_quoted() {
    let text = r#" a A 10.0.0.1 ; b TXT "one; two" 'x' ;; c TXT back\;slash;d TXT "an \"; end" "#;
    let expected = [
        "a A 10.0.0.1",
        r#"b TXT "one; two" 'x'"#,
        r"c TXT back\;slash",
        r#"d TXT "an \"; end""#,
    ];
    assert_eq!(split_records(text), expected);
    assert_eq!(split_records(" ; "), [""; 0]);
}

#[test]
fn a_record_is_what_a_zone_file_would_hold() {
    let read = |text: &str| {
        let record = read_record(text).unwrap();
        (record.rtype, record.ttl, record.rdata)
    };
    assert_eq!(
        read("nas.Home.arpa A 192.168.1.10"),
        (1, None, vec![192, 168, 1, 10])
    );
    assert_eq!(read("nas.home.arpa. 300 IN A 192.168.1.10").1, Some(300));
    assert_eq!(read("nas IN 0 A 192.168.1.10").1, Some(0));
    assert_eq!(
        read("mail MX 10 mx.Example.").2,
        b"\0\x0a\x02mx\x07Example\0"
    );
    assert_eq!(read("_http._tcp.lab SRV 0 5 80 web.lab").0, 33);
    assert_eq!(read("web HTTPS 1 . alpn=h2 ipv4hint=10.0.0.1").0, 65);
    assert_eq!(read(r#"x TXT "a b" c"#).2, b"\x03a b\x01c");
    assert_eq!(
        read(r"x TYPE65280 \# 3 abcdef"),
        (65_280, None, vec![0xab, 0xcd, 0xef])
    );
    assert_eq!(
        read_record("*.Lab.example A 10.0.0.1").unwrap().name,
        b"\x01*\x03lab\x07example\0"
    );
}

#[test]
fn what_is_no_record_says_why() {
    for (text, why) in [
        ("nas A", "unexpected end of entry"),
        ("nas A 10.0.0.256", "expected IPv4 address"),
        ("nas NOSUCH 1", "expected rtype"),
        ("nas 10.0.0.1", "expected rtype"),
        ("nas CH A 10.0.0.1", "different class: CH != IN"),
        ("nas A 10.0.0.1 10.0.0.2", "trailing tokens"),
        (r#"nas TXT "a""b""#, "a quoted text has no space around it"),
        ("nas TXT (a)", "a record of the settings has no parentheses"),
        (r#"nas TXT "a"#, "a quoted text or an escape has no end"),
        (
            "nas A 10.0.0.1\nb A 10.0.0.2",
            "there is something behind it",
        ),
        ("$INCLUDE /etc/passwd", "it is a directive of zone files"),
        (
            "d DNAME x",
            "records of type DNAME cannot be local: no names are made of it; write a wildcard, or a CNAME for each name",
        ),
        (
            r"d TYPE41 \# 0",
            "records of type OPT cannot be local: it is not a type of data",
        ),
        ("nas 2147483648 A 10.0.0.1", "a TTL is at most 2147483647"),
        ("nas..lan A 10.0.0.1", "a label of its name is empty"),
        ("nas.. A 10.0.0.1", "a label of its name is empty"),
    ] {
        assert_eq!(read_record(text).map(|_| ()), Err(why.to_owned()), "{text}");
    }
}
