//! Each kind of value at its limits, one past them, and written in ways it must not take.

use super::*;
use crate::address::ScopedAddress;

#[track_caller]
fn check<K: Kind>(kind: &K, text: &str, expected: Result<K::Value, Fault>)
where
    K::Value: fmt::Debug + PartialEq,
{
    let found = kind.read(text).map_err(|fault| match fault {
        Fault::Hinted { fault, .. } => *fault,
        fault => fault,
    });
    assert_eq!(found, expected, "{text:?}");
}

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn a_number_is_decimal_digits_in_its_range() {
    let kind = Number::<u16> {
        lowest: 512,
        highest: 1400,
        unit: "bytes",
    };
    check(&kind, "512", Ok(512));
    check(&kind, "1400", Ok(1400));
    check(&kind, "0600", Ok(600));
    check(&kind, "511", Err(Fault::OutOfRange));
    check(&kind, "1401", Err(Fault::OutOfRange));
    check(&kind, "99999999999999999999999", Err(Fault::OutOfRange));
    for text in ["", "+600", "-1", "6e2", "1_000", "0x200", "600 ", "six"] {
        check(&kind, text, Err(Fault::NotANumber));
    }
    assert_eq!(kind.expected(), "a whole number of bytes from 512 to 1400");
}

#[test]
fn a_number_or_auto_takes_the_word_and_the_number() {
    let kind = OrAuto(Number::<u32> {
        lowest: 1,
        highest: 9,
        unit: "",
    });
    check(&kind, "auto", Ok(Amount::Auto));
    check(&kind, "9", Ok(Amount::Exactly(9)));
    check(&kind, "10", Err(Fault::OutOfRange));
    check(&kind, "Auto", Ok(Amount::Auto));
    check(&kind, "automatic", Err(Fault::NotANumber));
    assert_eq!(kind.expected(), "a whole number from 1 to 9, or auto");
}

#[test]
fn a_duration_has_a_unit() {
    let kind = Time {
        lowest: milliseconds(500),
        highest: Duration::from_secs(300),
    };
    check(&kind, "500ms", Ok(milliseconds(500)));
    check(&kind, "1800ms", Ok(milliseconds(1800)));
    check(&kind, "4s", Ok(milliseconds(4000)));
    check(&kind, "5m", Ok(milliseconds(300_000)));
    let long = Time {
        lowest: Duration::ZERO,
        highest: Duration::from_secs(7 * 86_400),
    };
    check(&long, "1h", Ok(milliseconds(3_600_000)));
    check(&long, "7d", Ok(milliseconds(604_800_000)));
    check(&long, "8d", Err(Fault::OutOfRange));
    for text in [
        "499ms",
        "0s",
        "301s",
        "6m",
        "99999999999999999m",
        "99999999999999999999s",
    ] {
        check(&kind, text, Err(Fault::OutOfRange));
    }
    for text in ["", "4", "s", "4 s", "4S", "4w", "4.5s", "-4s", "4s5"] {
        check(&kind, text, Err(Fault::NotADuration));
    }
    assert_eq!(
        kind.expected(),
        "a duration from 500ms to 300s, a whole number followed by ms, s, m, h or d"
    );
}

#[test]
fn a_size_is_bytes_or_has_a_unit_of_1024_or_of_1000() {
    let kind = Size {
        lowest: ByteCount::kibibytes(64),
        highest: ByteCount::mebibytes(256),
    };
    check(&kind, "65536", Ok(ByteCount(65_536)));
    check(&kind, "64KiB", Ok(ByteCount(65_536)));
    check(&kind, "4MiB", Ok(ByteCount(4_194_304)));
    check(&kind, "256MiB", Ok(ByteCount(268_435_456)));
    check(&kind, "64MB", Ok(ByteCount(64_000_000)));
    check(&kind, "70kb", Ok(ByteCount(70_000)));
    check(&kind, "4mib", Ok(ByteCount(4_194_304)));
    check(&kind, "65536B", Ok(ByteCount(65_536)));
    for text in [
        "65535",
        "63KiB",
        "257MiB",
        "1GiB",
        "4GiB",
        "99999999999999999999GiB",
    ] {
        check(&kind, text, Err(Fault::OutOfRange));
    }
    for text in ["", "MiB", "4M", "4k", "4TiB", "4 MiB", "1.5MB"] {
        check(&kind, text, Err(Fault::NotASize));
    }
    assert_eq!(
        kind.expected(),
        "a size from 64KiB to 256MiB, in bytes or followed by KiB, MiB, GiB (1024), KB, MB or GB (1000)"
    );
    assert_eq!(ByteCount(65_537).to_string(), "65537");
}

#[test]
fn a_switch_is_true_or_false() {
    check(&Switch, "true", Ok(true));
    check(&Switch, "false", Ok(false));
    for text in ["True", "TRUE", "yes", "on", "1"] {
        check(&Switch, text, Ok(true));
    }
    for text in ["False", "no", "Off", "0"] {
        check(&Switch, text, Ok(false));
    }
    for text in ["", "2", "maybe", "truely", "enabled"] {
        check(&Switch, text, Err(Fault::NotABoolean));
    }
}

#[test]
fn a_word_is_one_of_its_set() {
    use crate::words::{LogLevel, QueryClass};
    let not_a_word = |item: &str| Fault::NotAWord {
        item: item.to_owned(),
    };
    let one = OneOf::<LogLevel>(PhantomData);
    check(&one, "trace", Ok(LogLevel::Trace));
    check(&one, "INFO", Ok(LogLevel::Info));
    check(&one, "Trace", Ok(LogLevel::Trace));
    check(&one, "verbose", Err(not_a_word("verbose")));
    check(&one, "", Err(not_a_word("")));
    let some = SomeOf::<QueryClass>(PhantomData);
    check(&some, "", Ok(Vec::new()));
    check(
        &some,
        "any, private",
        Ok(vec![QueryClass::Any, QueryClass::Private]),
    );
    check(
        &some,
        "any,any",
        Err(Fault::Duplicate {
            item: "any".to_owned(),
        }),
    );
    check(&some, "in", Err(not_a_word("in")));
    check(&some, "ANY,", Ok(vec![QueryClass::Any]));
    check(&some, "any,,", Err(Fault::EmptyItem));
}

#[test]
fn a_list_of_addresses_is_bounded_and_holds_each_once() {
    let kind = ListenAddresses { most: 2 };
    let address = |text: &str| text.parse::<ScopedAddress>().unwrap();
    check(
        &kind,
        "127.0.0.1 , ::1",
        Ok(vec![address("127.0.0.1"), address("::1")]),
    );
    check(&kind, "", Err(Fault::Empty));
    check(&kind, "::1, ", Ok(vec![address("::1")]));
    check(&kind, ",::1", Err(Fault::EmptyItem));
    check(&kind, "::1,,", Err(Fault::EmptyItem));
    check(&kind, ",", Err(Fault::EmptyItem));
    check(
        &kind,
        "::1,[::1]",
        Err(Fault::Duplicate {
            item: "[::1]".to_owned(),
        }),
    );
    check(&kind, "::1,::2,::3", Err(Fault::TooMany { found: 3 }));
    check(
        &kind,
        "eth0",
        Err(Fault::NotAnAddress {
            item: "eth0".to_owned(),
        }),
    );
}

#[test]
fn a_resolver_has_port_53_unless_it_has_another() {
    let kind = Resolvers { most: 8, port: 53 };
    let expected = ["192.0.2.1:53", "[2001:db8::1]:5353"].map(|text| text.parse().unwrap());
    check(&kind, "192.0.2.1,2001:db8::1@5353", Ok(expected.to_vec()));
    check(
        &kind,
        "0.0.0.0",
        Err(Fault::NotConnectable {
            item: "0.0.0.0".to_owned(),
        }),
    );
    check(
        &kind,
        "192.0.2.1@0",
        Err(Fault::NotAPort {
            item: "0".to_owned(),
        }),
    );
    check(
        &kind,
        "dns.test",
        Err(Fault::NotAnAddress {
            item: "dns.test".to_owned(),
        }),
    );
}
