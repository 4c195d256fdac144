//! The tree keeps its own rules: pages name what exists, files and functions fit, and nothing was left behind.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a file that cannot be read is a failed test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/engine.rs"]
mod engine;
#[path = "tidy/words.rs"]
mod words_used;

/// Lines of a product file, tests not counted.
const FILE_LINES_MAX: usize = 600;
/// Lines of a product function, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Crates that are shipped.
const PRODUCT: [&str; 9] = [
    "dotgate",
    "dotgate-config",
    "dotgate-core",
    "dotgate-http",
    "dotgate-net",
    "dotgate-quic",
    "dotgate-testbed",
    "dotgate-tls",
    "dotgate-wire",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files below a folder, in order; none if there is no such folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The files of a crate, without their tests.
fn files_of(folder: &str) -> Vec<(String, String)> {
    let paths = rust_files(&root().join(folder).join("src")).into_iter();
    let named = paths.map(|path| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        (name, path)
    });
    let is_test = |name: &str| {
        name.split('/')
            .any(|part| part == "tests" || part == "tests.rs")
    };
    named
        .filter(|(name, _)| !is_test(name))
        .map(|(name, path)| (name, without_tests(&read(&path)).to_owned()))
        .collect()
}

/// The files of the product, without their tests.
fn product_files() -> Vec<(String, String)> {
    let files: Vec<(String, String)> = PRODUCT.iter().flat_map(|folder| files_of(folder)).collect();
    assert!(
        files.len() > 50,
        "{} files: looked in the wrong place",
        files.len()
    );
    files
}

/// Source code up to the tests at its end.
fn without_tests(source: &str) -> &str {
    let tests = ["#[cfg(test)]\nmod tests", "#[cfg(all(test"];
    let end = tests.iter().filter_map(|start| source.find(start)).min();
    &source[..end.unwrap_or(source.len())]
}

/// A line without its comment and without the text of its strings.
fn code_of(line: &str) -> String {
    let line = line.split("//").next().unwrap_or_default();
    let outside = line.split('"').step_by(2);
    outside.collect::<Vec<_>>().join("\"\"")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_')
}

/// Name and length of each function, as rustfmt lays it out.
fn functions(source: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = source.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let code = code_of(line);
        let mut parts = words(code.trim_start()).skip_while(|word| {
            [
                "pub", "crate", "super", "in", "const", "async", "unsafe", "extern", "C", "",
            ]
            .contains(word)
        });
        if parts.next() != Some("fn") {
            continue;
        }
        let name = parts.next().unwrap_or_default().to_owned();
        let is_end = |line: &&str| {
            let at_indent = line
                .strip_prefix(indent)
                .is_some_and(|rest| !rest.starts_with(' '));
            at_indent && (line.ends_with('}') || line.ends_with(';'))
        };
        let length = lines[first..].iter().position(is_end).unwrap_or(0) + 1;
        found.push((name, length));
    }
    found
}

/// What stands between backticks on a page.
fn quoted(page: &str) -> Vec<&str> {
    page.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_test_on_the_page_of_rfcs_exists() {
    let page = read(&root().join("docs/rfc-coverage.md"));
    let mut missing = BTreeSet::new();
    let mut count = 0;
    for (file, test) in quoted(&page)
        .iter()
        .filter_map(|quoted| quoted.split_once(".rs::"))
    {
        count += 1;
        let source = fs::read_to_string(root().join(format!("{file}.rs"))).unwrap_or_default();
        let declaration = format!("fn {test}(");
        let mut before = source
            .lines()
            .scan("", |last, line| Some((std::mem::replace(last, line), line)));
        let is_test = before.any(|(above, line)| {
            line.contains(&declaration) && above.trim_start().starts_with("#[")
        });
        if !is_test {
            missing.insert(format!("{file}.rs::{test}"));
        }
    }
    assert!(count > 150, "{count} tests: the page is read wrongly");
    assert_eq!(missing, BTreeSet::new());
}

#[test]
fn every_row_on_the_page_of_rfcs_has_a_test_or_says_that_it_is_not_done() {
    let page = read(&root().join("docs/rfc-coverage.md"));
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| RFC"));
    let bare: Vec<&str> = rows
        .filter(|row| !row.contains(".rs::") && !row.contains("not done: "))
        .collect();
    assert_eq!(bare, [""; 0]);
}

#[test]
fn product_files_and_functions_fit() {
    let mut long = Vec::new();
    for (name, source) in product_files() {
        let lines = source.lines().count();
        if lines > FILE_LINES_MAX {
            long.push(format!("{name}: {lines} lines"));
        }
        for (function, lines) in functions(&source) {
            if lines > FUNCTION_LINES_MAX {
                long.push(format!("{name}: fn {function} has {lines} lines"));
            }
        }
    }
    assert_eq!(long, [""; 0]);
}

#[test]
fn nothing_was_left_behind_in_product_code() {
    let mut left = Vec::new();
    for (name, source) in product_files() {
        for (number, line) in source.lines().enumerate() {
            let code = code_of(line);
            if ["let _ =", "dbg!(", "todo!("]
                .iter()
                .any(|leftover| code.contains(leftover))
            {
                left.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert_eq!(left, [""; 0]);
}

/// Folder and name of each crate of the workspace.
fn crates() -> Vec<(String, String)> {
    let manifest = |folder: &str| -> toml::Table {
        read(&root().join(folder).join("Cargo.toml"))
            .parse()
            .unwrap()
    };
    let members = manifest("")["workspace"]["members"]
        .as_array()
        .unwrap()
        .clone();
    let folders = members
        .iter()
        .map(|member| member.as_str().unwrap().to_owned());
    folders
        .map(|folder| {
            let name = manifest(&folder)["package"]["name"]
                .as_str()
                .unwrap()
                .to_owned();
            (folder, name)
        })
        .collect()
}

#[test]
fn unsafe_code_stands_in_dotgate_net_alone() {
    // Not of the workspace: a prototype for a measurement.
    let prototype = root().join("bench/uring");
    let mut found = Vec::new();
    for (folder, _) in crates()
        .iter()
        .filter(|(folder, _)| folder != "dotgate-net")
    {
        for path in rust_files(&root().join(folder)) {
            if path.starts_with(&prototype) {
                continue;
            }
            let source = read(&path);
            let lines = source.lines().map(code_of).enumerate();
            found.extend(
                lines
                    .filter(|(_, code)| words(code).any(|word| word == "unsafe"))
                    .map(|(number, _)| format!("{}:{}", path.display(), number + 1)),
            );
        }
    }
    assert_eq!(found, [""; 0]);
    let net: String = rust_files(&root().join("dotgate-net/src"))
        .iter()
        .map(|path| read(path))
        .collect();
    assert!(
        words(&net).any(|word| word == "unsafe"),
        "the word is not found where it is"
    );
}

#[test]
fn rustls_is_named_in_dotgate_tls_alone_and_settings_know_no_socket() {
    // The testbed is the other end of a session, and a module of the crate of QUIC has that name.
    let may_name_rustls = [
        "dotgate-tls/",
        "dotgate-testbed/",
        "dotgate-quic/src/setup.rs",
    ];
    let sockets = [
        "mio",
        "socket2",
        "tokio",
        "TcpListener",
        "TcpStream",
        "UdpSocket",
    ];
    let mut found = Vec::new();
    let mut is_found_where_it_is = false;
    for (name, source) in product_files() {
        for (number, line) in source.lines().enumerate() {
            let code = code_of(line);
            let names = |banned: &str| words(&code).any(|word| word == banned);
            let is_exempt = may_name_rustls.iter().any(|it| name.starts_with(it));
            is_found_where_it_is |= is_exempt && names("rustls");
            let has_socket = sockets.iter().any(|it| names(it));
            if (names("rustls") && !is_exempt)
                || (has_socket && name.starts_with("dotgate-config/"))
            {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert_eq!(found, [""; 0]);
    assert!(is_found_where_it_is, "the word is not found where it is");
}

/// Whether a crate has this module, such as `engine::intake`.
fn has_module(folder: &str, module: &str) -> bool {
    let path = root()
        .join(folder)
        .join("src")
        .join(module.replace("::", "/"));
    path.with_extension("rs").is_file() || path.join("mod.rs").is_file()
}

/// The modules that a crate's root declares, tests left out.
fn top_modules(folder: &str) -> Vec<String> {
    let source = read(&root().join(folder).join("src/lib.rs"));
    let mut modules = Vec::new();
    let mut is_test = false;
    for line in source.lines() {
        let declared = line
            .strip_prefix("pub ")
            .unwrap_or(line)
            .strip_prefix("mod ");
        if let Some((module, _)) = declared.and_then(|rest| rest.split_once(';'))
            && !is_test
        {
            modules.push(module.to_owned());
        }
        is_test = line == "#[cfg(test)]";
    }
    modules
}

/// The part of the architecture page about one crate.
fn section<'p>(page: &'p str, name: &str) -> Option<&'p str> {
    let heading = format!("\n### {name}\n");
    let start = page.find(&heading)? + heading.len();
    let rest = &page[start..];
    Some(&rest[..rest.find("\n##").unwrap_or(rest.len())])
}

/// The paths of modules of one crate that a page names anywhere, such as `dotgate_core::query`.
fn module_paths<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    let prefix = format!("{}::", name.replace('-', "_"));
    page.split(|character: char| !(character.is_alphanumeric() || "_:".contains(character)))
        .filter_map(|token| token.strip_prefix(prefix.as_str()))
        .collect()
}

/// Whether `word` is lower case, as a module or a function.
fn is_identifier(word: &str) -> bool {
    !word.is_empty()
        && word
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter == '_' || letter == ':')
}

#[test]
fn every_crate_and_module_on_the_architecture_page_exists() {
    let page = read(&root().join("ARCHITECTURE.md"));
    let mut unknown = Vec::new();
    let names: Vec<String> = crates().into_iter().map(|(_, name)| name).collect();
    let is_crate = |quoted: &&str| quoted.starts_with("dotgate-") && !quoted.contains('.');
    unknown.extend(
        quoted(&page)
            .into_iter()
            .filter(is_crate)
            .filter(|quoted| !names.iter().any(|name| name == quoted))
            .map(str::to_owned),
    );
    for folder in PRODUCT {
        let mut modules = module_paths(&page, folder);
        let sources: String = rust_files(&root().join(folder).join("src"))
            .iter()
            .map(|path| read(path))
            .collect();
        let section = section(&page, folder).unwrap_or_default();
        let described = section.split("**Invariants.**").next().unwrap_or_default();
        let named = quoted(described);
        modules.extend(
            named
                .into_iter()
                .filter(|word| is_identifier(word) && !sources.contains(&format!("fn {word}("))),
        );
        unknown.extend(
            modules
                .iter()
                .filter(|module| !has_module(folder, module))
                .map(|module| format!("{folder}: {module}")),
        );
    }
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn the_architecture_page_names_every_top_level_module_of_the_crates_it_describes() {
    let page = read(&root().join("ARCHITECTURE.md"));
    let mut missing = Vec::new();
    let mut described = Vec::new();
    for folder in PRODUCT {
        let Some(section) = section(&page, folder) else {
            continue;
        };
        described.push(folder);
        let mut named: BTreeSet<&str> = quoted(section).into_iter().collect();
        named.extend(module_paths(&page, folder));
        let modules = top_modules(folder).into_iter();
        missing.extend(
            modules
                .filter(|module| !named.contains(module.as_str()))
                .map(|module| format!("{folder}: {module}")),
        );
    }
    assert_eq!(described, ["dotgate", "dotgate-core"]);
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_planted_fault_is_in_the_code_and_on_their_page() {
    let page = read(&root().join("mutants/README.md"));
    let mut listed: BTreeSet<&str> = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.split(" | ");
        let name = cells
            .next()
            .unwrap_or_default()
            .trim_matches(['|', ' ', '`']);
        let words = cells.next().unwrap_or_default();
        assert!(words.ends_with('.'), "{name}: what does it break?");
        listed.insert(name);
    }
    let files = product_files();
    let sources = files
        .iter()
        .flat_map(|(_, source)| source.split("planted!(\"").skip(1));
    let planted: BTreeSet<&str> = sources.filter_map(|rest| rest.split('"').next()).collect();
    assert!(
        planted.len() >= 40,
        "{} faults: the code is read wrongly",
        planted.len()
    );
    assert_eq!(planted, listed);
}

#[test]
fn functions_are_measured_from_signature_to_closing_brace() {
    let source = "\
impl A {
    pub(crate) fn one(&self) {}
    const fn three() -> u8 {
        7
    }
    fn none(
        &self,
    ) -> u8;
}
pub async fn four<T>(
    of: T,
) {
}
// fn in a comment
";
    let expected = [("one", 1), ("three", 3), ("none", 3), ("four", 4)];
    assert_eq!(
        functions(source),
        expected.map(|(name, lines)| (name.to_owned(), lines))
    );
}

#[test]
fn comments_and_strings_are_no_code() {
    assert_eq!(
        code_of(r#"let a = "let _ = b"; // dbg!(c)"#).trim_end(),
        r#"let a = "";"#
    );
    assert_eq!(
        without_tests("fn a() {}\n#[cfg(test)]\nmod tests {}\n"),
        "fn a() {}\n"
    );
}

#[test]
fn every_log_line_is_an_entry_of_the_table_of_messages() {
    let macros = [
        "error!(", "warn!(", "info!(", "debug!(", "trace!(", "event!(",
    ];
    let mut found = Vec::new();
    for (name, source) in product_files() {
        if name.ends_with("src/log/message.rs") {
            continue;
        }
        let uses = |line: &&str| macros.iter().any(|it| code_of(line).contains(it));
        found.extend(
            source
                .lines()
                .filter(uses)
                .map(|line| format!("{name}: {line}")),
        );
    }
    assert!(
        found.is_empty(),
        "log with `say!`, so that docs/log-messages.md is whole: {found:#?}"
    );
}
