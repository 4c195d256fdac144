//! Local records as `[[record]]` tables of the file, one table per record.

use std::str::FromStr;

use domain::base::{Name, Rtype};

use super::{LocalRecord, TTL_MAX, read_record};
use crate::fault::Fault;
use crate::numbers::digits;
use crate::problem::Problem;
use crate::settings::{LOCAL_RECORDS, RECORD_DATA, RECORD_NAME, RECORD_TTL, RECORD_TYPE};
use crate::spec::KeyTable;

/// Reads the tables; all problems of them are found. `None` after one.
pub(crate) fn read_tables(
    problems: &mut Vec<Problem>,
    tables: &[KeyTable],
) -> Option<Vec<LocalRecord>> {
    let most = LOCAL_RECORDS.kind.most;
    if let Some(table) = tables.get(most) {
        let fault = Fault::TooManyRecords {
            found: tables.len(),
            most,
        };
        table.refuse(problems, &RECORD_NAME, fault);
        return None;
    }
    let read: Vec<Option<LocalRecord>> = tables
        .iter()
        .map(|table| read_table(problems, table))
        .collect();
    read.into_iter().collect()
}

fn read_table(problems: &mut Vec<Problem>, table: &KeyTable) -> Option<LocalRecord> {
    let name = table.read_required(problems, &RECORD_NAME, read_name);
    let rtype = table.read_required(problems, &RECORD_TYPE, read_type);
    let ttl = table.read(problems, &RECORD_TTL, read_ttl);
    let data = table.read_required(problems, &RECORD_DATA, read_text);
    let (name, rtype, data) = (name?, rtype?, data?);
    let text = match ttl? {
        Some(ttl) => format!("{name} {ttl} {rtype} {data}"),
        None => format!("{name} {rtype} {data}"),
    };
    match read_record(&text) {
        Ok(record) => Some(LocalRecord {
            place: table.origin.to_string(),
            ..record
        })
        .filter(|_| !table.is_broken),
        Err(why) => {
            let item = text;
            table.refuse(problems, &RECORD_DATA, Fault::NotARecord { item, why });
            None
        }
    }
}

/// The name as it is written: one word, so that nothing else of the record is in it.
fn read_name(text: &str) -> Result<String, Fault> {
    let is_name = !text.contains(char::is_whitespace) && Name::<Vec<u8>>::from_str(text).is_ok();
    is_name
        .then(|| text.to_owned())
        .ok_or_else(|| Fault::NotARecordName {
            item: text.to_owned(),
        })
}

fn read_type(text: &str) -> Result<Rtype, Fault> {
    Rtype::from_str(text).map_err(|_| Fault::NotARecordType {
        item: text.to_owned(),
    })
}

fn read_ttl(text: &str) -> Result<u32, Fault> {
    let ttl = digits(text).and_then(|text| text.parse().ok());
    ttl.filter(|ttl| *ttl <= TTL_MAX).ok_or(Fault::OutOfRange)
}

fn read_text(text: &str) -> Result<String, Fault> {
    match text {
        "" => Err(Fault::Empty),
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Config, Environment};

    const HEAD: &str =
        "[server]\nhost = \"127.0.0.1\"\nport = 5300\n[dns]\nhost = \"9.9.9.9\"\nport = 853\n";

    fn config(text: &str, records: Option<&str>) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{HEAD}{text}")).unwrap();
        let variables = records.map(|records| ("DOTGATE_LOCAL_RECORDS", records));
        let environment: Environment = variables.into_iter().collect();
        let loaded = crate::load(&environment, Some(file.path()));
        let path = file.path().display().to_string();
        let config = loaded.map(|loaded| loaded.config);
        config.map_err(|problems| problems.to_string().replace(&path, "FILE"))
    }

    const TABLES: &str = "\
[[record]]
name = \"nas.home.arpa\"
type = \"A\"
data = \"192.168.1.10\"

[[record]]
name = \"*.lab.example\"
type = \"TXT\"
data = '\"one; two\" three'
ttl = 300
";

    #[test]
    fn tables_mean_what_the_list_means_and_have_lines() {
        let tables = config(TABLES, None).unwrap();
        let list = "nas.home.arpa A 192.168.1.10; *.lab.example 300 TXT \"one; two\" three";
        let of_list = config("", Some(list)).unwrap();
        let meant = |config: &Config| {
            let records = config.local().records.iter();
            let meant = records.map(|it| (it.name.clone(), it.rtype, it.ttl, it.rdata.clone()));
            meant.collect::<Vec<_>>()
        };
        assert_eq!(meant(&tables), meant(&of_list));
        assert_eq!(meant(&tables).len(), 2);
        let places = tables.local().records.iter().map(|it| &*it.place);
        let lines: Vec<&str> = places
            .filter_map(|place| place.rsplit(':').next())
            .collect();
        assert_eq!(lines, ["7", "12"]);
        // A variable decides in place of the tables.
        let both = config(TABLES, Some("a A 10.0.0.1")).unwrap();
        assert_eq!(both.local().records.len(), 1);
    }

    #[test]
    fn what_is_wrong_in_a_table_is_said_with_its_line() {
        let record = |lines: &str| format!("[[record]]\n{lines}");
        for (text, expected) in [
            (
                record("name = \"a\"\ntype = \"A\"\n"),
                "FILE:7: this [[record]] has no data\n  expected: the data of a record of this type",
            ),
            (
                record("name = \"a b\"\ntype = \"A\"\ndata = \"10.0.0.1\"\n"),
                "FILE:8: [[record]] name = \"a b\": a b is not a domain name",
            ),
            (
                record("name = \"a\"\ntype = \"NOSUCH\"\ndata = \"10.0.0.1\"\n"),
                "FILE:9: [[record]] type = \"NOSUCH\": NOSUCH is not a record type",
            ),
            (
                record("name = \"a\"\ntype = \"A\"\ndata = \"10.0.0.256\"\n"),
                "FILE:10: [[record]] data = \"10.0.0.256\": a A 10.0.0.256 is not a record that can be served: \
                 expected IPv4 address",
            ),
            (
                record("name = \"a\"\ntype = \"A\"\ndata = \"10.0.0.1\"\nttl = \"5m\"\n"),
                "FILE:11: [[record]] ttl = \"5m\": it is out of range",
            ),
            (
                record("name = \"a\"\ntype = \"A\"\ndata = \"10.0.0.1\"\nclass = \"IN\"\n"),
                "FILE:11: [[record]] class is not a setting",
            ),
            (
                record("name = \"a\"\ntype = \"A\"\ndata = \"10.0.0.1\"\n")
                    + "[local]\nrecords = \"b A 10.0.0.2\"\n",
                "FILE:7: [[record]] and [local] records (FILE:12) are the same list in two forms",
            ),
        ] {
            let problem = config(&text, None).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }
}
