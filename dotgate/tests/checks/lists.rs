//! What holds for any file of names: lists, zones of policies, hosts files, and records of the settings.

use dotgate::filter::{Purpose, read};
use dotgate::lines::WireName;
use dotgate::local::read_hosts;
use dotgate_config::{read_record, split_records};
use dotgate_core::{ListsBuilder, LocalDataBuilder};

/// Reads a file as each of them. Reading ends, each entry and each fault has a line of the file, and what is read can be
/// looked up by the engines.
pub(crate) fn check_file(text: &[u8]) {
    check_lists(text);
    check_hosts(text);
    let text = String::from_utf8_lossy(text);
    for record in split_records(&text) {
        if let Ok(record) = read_record(record) {
            check_name(&record.name);
            let mut builder = LocalDataBuilder::new();
            let (rtype, ttl) = (record.rtype, record.ttl.unwrap_or(60));
            if builder
                .add(&record.name, rtype, ttl, &record.rdata, 0)
                .is_ok()
            {
                drop(builder.finish(7, 60));
            }
        }
    }
}

fn check_lists(text: &[u8]) {
    for purpose in [Purpose::Block, Purpose::Allow] {
        let mut builder = ListsBuilder::new(7);
        let mut entries = 0;
        let ended = read::<()>(text, purpose, |line, entry| {
            check_line(text, line);
            if let Ok(entry) = entry {
                check_wire(&entry.name);
                entries += 1;
                assert_eq!(
                    builder.add(entry.name.as_slice(), entry.scope, entry.action),
                    Ok(())
                );
            }
            Ok(())
        });
        assert_eq!(ended, Ok(()));
        let names = builder.finish().count().names;
        assert!(names <= entries && (names > 0) == (entries > 0));
    }
}

fn check_hosts(text: &[u8]) {
    let mut builder = LocalDataBuilder::new();
    let ended = read_hosts::<()>(text, |line, entry| {
        check_line(text, line);
        if let Ok(entry) = entry {
            check_wire(&entry.name);
            let (rtype, rdata) = match entry.address {
                std::net::IpAddr::V4(address) => (1, address.octets().to_vec()),
                std::net::IpAddr::V6(address) => (28, address.octets().to_vec()),
            };
            assert_eq!(
                builder.add(entry.name.as_slice(), rtype, 60, &rdata, line),
                Ok(())
            );
        }
        Ok(())
    });
    assert_eq!(ended, Ok(()));
    let is_empty = builder.is_empty();
    // A file of many thousand lines for one name is the only one that cannot be served.
    if let Ok(data) = builder.finish(7, 60) {
        assert_eq!(data.names() == 0, is_empty);
    }
}

fn check_line(text: &[u8], line: u32) {
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!((1..=lines).contains(&(line as usize)), "{line} of {lines}");
}

fn check_wire(name: &WireName) {
    check_name(name.as_slice());
}

/// A whole name in lower case.
fn check_name(name: &[u8]) {
    assert!(domain::base::Name::from_slice(name).is_ok(), "{name:?}");
    assert_eq!(name, name.to_ascii_lowercase());
}
