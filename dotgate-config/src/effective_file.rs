//! The settings in effect as a file: what `dotgate check --print toml` prints.
//!
//! It is made of what was written, not of what that came to, so nothing is lost: an upstream has its pins and its weight, a
//! route its strategy. A process that reads the file without any variable has the same configuration.

use std::fmt::Write as _;
use std::path::Path;

use super::environment::Environment;
use super::fault::Escaped;
use super::from_spec::Config;
use super::origin::Origin;
use super::problem::Problems;
use super::reference::file_literal;
use super::setting::{AnySetting, TableKey, Unset};
use super::settings::{
    DNS_HOST, LOCAL_RECORDS, RECORD_KEYS, ROUTE_KEYS, ROUTES, TABLE, UPSTREAM_KEYS,
};
use super::spec::{KeyTable, Lookup, Spec};

/// Returns the configuration of `environment` and the file it names, or of `file`, as one file. Settings that have their
/// default are comments.
///
/// # Errors
/// What is wrong with the configuration.
pub fn effective_file(environment: &Environment, file: Option<&Path>) -> Result<String, Problems> {
    let mut problems = Vec::new();
    let spec = Spec::collect(environment, file, &mut problems);
    if Config::from_spec(&spec, &mut problems).is_none() {
        return Err(Problems::new(problems));
    }
    let mut page =
        String::from("# The settings in effect. Those with their default are comments.\n");
    push_variables(&mut page, &spec);
    let mut sections: Vec<&str> = Vec::new();
    for (section, _) in TABLE.iter().filter_map(|it| it.entry().section_and_key()) {
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    for section in sections {
        push(&mut page, format_args!("\n[{section}]\n"));
        for &subject in TABLE {
            match subject.entry().section_and_key() {
                Some((of, key)) if of == section => push_setting(&mut page, &spec, subject, key),
                Some(_) | None => {}
            }
        }
    }
    push_tables(&mut page, &spec);
    Ok(page)
}

/// Values that only a variable can have, as comments in the file: `DOTGATE_ROUTES` has become tables.
fn push_variables(page: &mut String, spec: &Spec) {
    let routes = ROUTES.entry.variable();
    for &subject in TABLE {
        let (entry, variable) = (subject.entry(), subject.entry().variable());
        if let (None, Lookup::Value(written)) = (entry.section_and_key(), spec.lookup(subject))
            && variable != routes
            && matches!(written.origin, Origin::Variable(_))
        {
            let text = Escaped(&written.text);
            push(
                page,
                format_args!("# In the environment: {variable}={text}\n"),
            );
        }
    }
}

fn push_setting(page: &mut String, spec: &Spec, subject: AnySetting, key: &str) {
    let literal = |text: &str| file_literal(text, subject.separator());
    match (spec.lookup(subject), &subject.entry().unset) {
        (Lookup::Value(written), _) => {
            push_origin(page, &written.origin);
            push(page, format_args!("{key} = {}\n", literal(&written.text)));
        }
        // Tables stand for it, which follow.
        (Lookup::Unset | Lookup::Broken, _) if !spec.tables_of(subject).is_empty() => {}
        (Lookup::Unset | Lookup::Broken, Unset::Default(text)) => {
            push(page, format_args!("# {key} = {}\n", literal(text)));
        }
        (Lookup::Unset | Lookup::Broken, Unset::Required | Unset::Nothing) => {}
    }
}

fn push_tables(page: &mut String, spec: &Spec) {
    for (subject, name, keys) in [
        (&DNS_HOST as AnySetting, "upstream", &UPSTREAM_KEYS[..]),
        (&ROUTES, "route", &ROUTE_KEYS[..]),
        (&LOCAL_RECORDS, "record", &RECORD_KEYS[..]),
    ] {
        match spec.lookup(subject) {
            Lookup::Unset => {
                for table in spec.tables_of(subject) {
                    push_table(page, name, keys, table);
                }
            }
            Lookup::Value(written) if name == "route" => {
                push_routes(page, &written.text, &written.origin);
            }
            Lookup::Value(_) | Lookup::Broken => {}
        }
    }
}

fn push_table(page: &mut String, name: &str, keys: &[&TableKey], table: &KeyTable) {
    page.push('\n');
    push_origin(page, &table.origin);
    push(page, format_args!("[[{name}]]\n"));
    for key in keys {
        if let Some(written) = table.values.get(key.key) {
            let literal = file_literal(&written.text, key.is_list.then_some(','));
            push(page, format_args!("{} = {literal}\n", key.key));
        }
    }
}

/// Routes of the variable, which are separated by white space: `SUFFIX,...=UPSTREAM,...`.
fn push_routes(page: &mut String, routes: &str, origin: &Origin) {
    for (suffixes, upstreams) in routes
        .split_whitespace()
        .filter_map(|it| it.split_once('='))
    {
        page.push('\n');
        push_origin(page, origin);
        let (suffixes, upstreams) = (
            file_literal(suffixes, Some(',')),
            file_literal(upstreams, Some(',')),
        );
        push(
            page,
            format_args!("[[route]]\nsuffixes = {suffixes}\nupstreams = {upstreams}\n"),
        );
    }
}

fn push_origin(page: &mut String, origin: &Origin) {
    let origin = origin.to_string();
    push(page, format_args!("# {}\n", Escaped(&origin)));
}

fn push(page: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a string has no way to fail.
    page.write_fmt(more).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    /// The configuration of this text and these variables, and that of the file made of it, as they are printed for
    /// debugging, without where things were written.
    fn twice(text: &str, variables: &[(&str, &str)]) -> [String; 2] {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        std::fs::write(&first, text).unwrap();
        let environment: Environment = variables.iter().copied().collect();
        let printed = effective_file(&environment, Some(&first)).unwrap();
        std::fs::write(&second, &printed).unwrap();
        let meaning = |environment: &Environment, file: &Path| {
            let loaded = load(environment, Some(file));
            let loaded = loaded.unwrap_or_else(|problems| panic!("{printed}\n{problems}"));
            let groups = format!("{:#?}", loaded.config.groups());
            let settings = loaded.effective.iter().map(|it| {
                let value = it.value.as_deref().unwrap_or_default();
                format!("{}={value}", it.subject.entry().variable())
            });
            let settings = settings.filter(|it| !it.starts_with("DOTGATE_CONFIG_FILE"));
            let settings: Vec<String> = settings.collect();
            format!("{}\n{groups}", settings.join("\n"))
        };
        [
            meaning(&environment, &first),
            meaning(&Environment::default(), &second),
        ]
    }

    const PIN: &str = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    #[test]
    fn the_printed_file_has_the_same_configuration_as_what_it_was_made_of() {
        let required = "[server]\nhost = [\"127.0.0.1\", \"::1\"]\nport = 53\n[dns]\nport = 853\n";
        let one = "host = \"9.9.9.9#dns.quad9.net\"\n";
        let tables = format!(
            "{required}strategy = \"round-robin\"\n[cache]\nsize = \"1MiB\"\n[[upstream]]\naddress = \"9.9.9.9\"\n\
             auth_name = \"dns.quad9.net\"\npins = [\"{PIN}\"]\nweight = 3\n[[upstream]]\naddress = \"1.1.1.1\"\n\
             auth_name = \"one.one.one.one\"\n[[route]]\nsuffixes = [\"lan\", \"10.0.0.0/8\"]\nupstreams = \
             [\"plain:192.168.1.1\", \"plain:192.168.1.2\"]\nstrategy = \"fastest\"\n[[record]]\nname = \"a.test\"\n\
             type = \"TXT\"\ndata = '\"one; two\" \"back\\\\slash\"'\n"
        );
        for (text, variables) in [
            (format!("{required}{one}"), &[][..]),
            (tables.clone(), &[]),
            (
                tables,
                &[
                    ("DNS_HOST", "1.1.1.1#one.one.one.one"),
                    (
                        "DOTGATE_ROUTES",
                        "corp.example,fd00::/8=10.0.0.53@853#dns.corp.example home.arpa=plain:192.168.1.1@53",
                    ),
                    (
                        "DOTGATE_LOCAL_RECORDS",
                        "nas.test A 192.0.2.1;b.test TXT \"x;y\"",
                    ),
                    ("LOG_LEVEL", "debug"),
                ],
            ),
        ] {
            let [written, printed] = twice(&text, variables);
            assert_eq!(printed, written);
        }
    }

    #[test]
    fn a_configuration_that_is_not_valid_is_not_printed() {
        assert!(effective_file(&Environment::default(), None).is_err());
    }
}
