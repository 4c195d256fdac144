//! Files import each other in small circles at most, so that each can be read and changed with few others.
//!
//! An import is a path that starts with `crate`, `super`, `self` or the name of a child, in a `use` or in code. It leads to
//! the file that defines the item: a `pub use` is followed, and is no import itself. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};

use super::{PRODUCT, files_of};

/// The most files of one circle.
const CIRCLE_MAX: usize = 3;

/// The path of a module or an item below the root of its crate.
type Path = Vec<String>;

/// A file of a crate, as far as imports go.
#[derive(Default)]
struct File {
    /// What it uses.
    uses: Vec<Path>,
    /// The names that it passes on, and where they come from.
    exports: BTreeMap<String, Path>,
}

/// The files of a crate by their modules.
type Crate = BTreeMap<Path, File>;

/// The module of a file below `src`; none for a program next to the library.
fn module_of(name: &str) -> Option<Path> {
    let path = name.strip_suffix(".rs")?;
    match path {
        "lib" => Some(Vec::new()),
        "main" => None,
        _ => Some(path.split('/').map(str::to_owned).collect()),
    }
}

/// Source code without comments, and with nothing in its strings.
fn bare(source: &str) -> String {
    let mut bare = String::new();
    let mut characters = source.chars().peekable();
    let mut before = ' ';
    while let Some(character) = characters.next() {
        match character {
            '/' if characters.peek() == Some(&'/') => {
                while characters.next_if(|next| *next != '\n').is_some() {}
            }
            // A quote as a character is no string.
            '"' if before != '\'' => {
                while let Some(next) = characters.next() {
                    match next {
                        '\\' => drop(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            _ => bare.push(character),
        }
        before = character;
    }
    bare
}

/// The paths of a `use`, whose braces are resolved, each with the name it has from then on.
fn paths_of(tree: &str) -> Vec<(Path, String)> {
    let tree = tree.trim();
    if let Some((prefix, rest)) = tree.split_once('{') {
        let inner = rest.strip_suffix('}').unwrap_or(rest);
        let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
        for (at, character) in inner.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    parts.push(&inner[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
        }
        parts.push(&inner[start..]);
        let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
        return parts
            .flat_map(|part| paths_of(&format!("{prefix}{}", part.trim())))
            .collect();
    }
    let (path, alias) = match tree.split_once(" as ") {
        Some((path, alias)) => (path, Some(alias.trim().to_owned())),
        None => (tree, None),
    };
    let mut path: Path = path
        .split("::")
        .map(|part| part.trim().to_owned())
        .collect();
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
    vec![(path, name)]
}

/// A path from the root of the crate; none if it leads out of it.
fn absolute(module: &[String], path: &[String], modules: &BTreeSet<Path>) -> Option<Path> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let (_, parent) = module.split_last()?;
            match rest.first().map(String::as_str) {
                Some("super") => absolute(parent, rest, modules),
                _ => Some([parent, rest].concat()),
            }
        }
        _ => {
            let child = [module, std::slice::from_ref(first)].concat();
            modules.contains(&child).then(|| [module, path].concat())
        }
    }
}

/// Reads one file.
fn read_file(module: &Path, source: &str, modules: &BTreeSet<Path>) -> File {
    let mut file = File::default();
    let mut code = String::new();
    let mut statement: Option<String> = None;
    for line in bare(source).lines() {
        let trimmed = line.trim_start();
        let visible = trimmed
            .strip_prefix("pub")
            .map(|rest| match rest.split_once(") ") {
                Some((_, behind)) if rest.starts_with('(') => behind,
                _ => rest.trim_start(),
            });
        let starts = statement.is_none() && visible.unwrap_or(trimmed).starts_with("use ");
        if starts || statement.is_some() {
            let whole = statement.get_or_insert_default();
            whole.push_str(trimmed);
            whole.push(' ');
        } else {
            code.push_str(line);
            code.push('\n');
        }
        if let Some(whole) = statement.take_if(|whole| whole.contains(';')) {
            let is_export = whole.starts_with("pub");
            let tree = whole.split_once("use ").map_or("", |(_, tree)| tree);
            for (path, name) in paths_of(tree.split(';').next().unwrap_or_default()) {
                match absolute(module, &path, modules) {
                    Some(path) if is_export => drop(file.exports.insert(name, path)),
                    Some(path) => file.uses.push(path),
                    None => {}
                }
            }
        }
    }
    let is_of_path = |character: char| character.is_alphanumeric() || "_:".contains(character);
    let tokens = code.split(|character| !is_of_path(character));
    for token in tokens.filter(|token| token.contains("::")) {
        let path: Path = token.split("::").map(str::to_owned).collect();
        file.uses.extend(absolute(module, &path, modules));
    }
    file
}

/// Reads the files of a crate: their names below `src`, and their code.
fn read_crate(files: &[(String, String)]) -> Crate {
    let named = files
        .iter()
        .filter_map(|(name, source)| Some((module_of(name)?, source)));
    let modules: BTreeSet<Path> = named.clone().map(|(module, _)| module).collect();
    named
        .map(|(module, source)| {
            let file = read_file(&module, source, &modules);
            (module, file)
        })
        .collect()
}

/// The module of the file that defines what is at `path`.
fn definition(krate: &Crate, path: &[String]) -> Path {
    let mut path = path.to_vec();
    // No chain of exports is as long.
    for _ in 0..16 {
        let module = (0..=path.len()).rev().map(|length| &path[..length]);
        let module = module
            .into_iter()
            .find(|module| krate.contains_key(*module));
        let module = module.unwrap_or_default().to_vec();
        let exported = path
            .get(module.len())
            .and_then(|name| krate[&module].exports.get(name));
        match exported {
            Some(origin) => path = [origin.as_slice(), &path[module.len() + 1..]].concat(),
            None => return module,
        }
    }
    path
}

/// What each file imports.
fn imports(krate: &Crate) -> BTreeMap<&Path, BTreeSet<Path>> {
    let of_file = |(module, file): (_, &File)| {
        let mut imported: BTreeSet<Path> = file
            .uses
            .iter()
            .map(|path| definition(krate, path))
            .collect();
        imported.remove(module);
        (module, imported)
    };
    krate.iter().map(of_file).collect()
}

/// All files that a file imports, and that these import.
fn reachable<'i>(
    imports: &'i BTreeMap<&Path, BTreeSet<Path>>,
    from: &'i Path,
) -> BTreeSet<&'i Path> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        let new = imports.get(module).into_iter().flatten();
        open.extend(new.filter(|import| found.insert(*import)));
    }
    found
}

/// The circles of more than one file, largest first.
fn circles(krate: &Crate) -> Vec<Vec<String>> {
    let imports = imports(krate);
    let reachable: BTreeMap<&Path, BTreeSet<&Path>> = krate
        .keys()
        .map(|module| (module, reachable(&imports, module)))
        .collect();
    let mut circles = BTreeSet::new();
    for (module, reached) in &reachable {
        let circle = reached
            .iter()
            .filter(|other| reachable[**other].contains(*module));
        let circle: Vec<String> = circle.map(|other| other.join("::")).collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    let mut circles: Vec<Vec<String>> = circles.into_iter().collect();
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    circles
}

#[test]
fn no_circle_of_imports_has_more_than_three_files() {
    let mut large = Vec::new();
    let mut count = 0;
    for folder in PRODUCT.into_iter().chain(["dotgate-sim"]) {
        let prefix = format!("{folder}/src/");
        let own = files_of(folder).into_iter();
        let own = own.map(|(name, source)| (name.replace(&prefix, ""), source));
        let krate = read_crate(&own.collect::<Vec<_>>());
        count += imports(&krate).values().map(BTreeSet::len).sum::<usize>();
        let circles = circles(&krate).into_iter();
        large.extend(
            circles
                .filter(|circle| circle.len() > CIRCLE_MAX)
                .map(|circle| format!("{folder}: {}", circle.join(", "))),
        );
    }
    assert!(count > 500, "{count} imports: the code is read wrongly");
    assert_eq!(large, [""; 0]);
}

#[test]
fn a_circle_is_found_through_exports_braces_and_paths_in_code() {
    let files = [
        ("lib.rs", "mod a;\nmod b;\npub use b::Deep;\nmod c;\n"),
        (
            "a.rs",
            "use crate::{\n    c::{self, Other},\n    Deep,\n};\n// use crate::d;\n",
        ),
        ("b.rs", "mod deep;\npub use self::deep::Deep;\n"),
        (
            "b/deep.rs",
            "use super::super::c::Other;\npub struct Deep;\n",
        ),
        ("c.rs", "fn f() { crate::a::g(\"crate::b::x\") }\n"),
        ("d.rs", "use crate::a;\n"),
    ];
    let files = files.map(|(name, source)| (name.to_owned(), source.to_owned()));
    let krate = read_crate(&files);
    assert_eq!(circles(&krate), [["a", "b::deep", "c"]]);
    let apart = &files[..4];
    assert_eq!(circles(&read_crate(apart)), [[""; 0]; 0]);
}
