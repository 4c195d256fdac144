//! The engine stays small: it holds its owners and what crosses them, and each owner holds its own state.

use super::{functions, read, root, rust_files, without_tests};

/// Fields of `Engine`.
const FIELDS_MAX: usize = 12;
/// Methods of `Engine`, in all its `impl` blocks.
const METHODS_MAX: usize = 60;
/// Types of which an owner has several: a field of the engine is none of them, nor is it inside of one.
const QUEUES: [&str; 7] = [
    "VecDeque",
    "Vec",
    "BinaryHeap",
    "BTreeMap",
    "HashMap",
    "SlotMap",
    "DueQueue",
];

/// The lines of each item at the margin that begins with one of these, without its first and its last line.
fn items<'s>(source: &'s str, starts: &[&str]) -> Vec<Vec<&'s str>> {
    let lines: Vec<&str> = source.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        if starts.iter().any(|start| line.starts_with(start)) && !line.ends_with('}') {
            let body = lines[first + 1..].iter().take_while(|line| **line != "}");
            found.push(body.copied().collect());
        }
    }
    found
}

/// The fields of a struct, each as its declaration.
fn fields<'s>(source: &'s str, name: &str) -> Vec<&'s str> {
    let declaration = format!("pub struct {name} {{");
    let bodies = items(source, &[&declaration]);
    let lines = bodies.into_iter().flatten().map(str::trim);
    lines
        .filter(|line| !line.starts_with("//") && !line.starts_with('#'))
        .collect()
}

/// How many methods a type has in its `impl` blocks of this file.
fn methods(source: &str, name: &str) -> usize {
    let own = format!("impl {name} {{");
    let is_of_trait = format!(" for {name} {{");
    let own = items(source, &[&own]);
    let of_traits = source
        .lines()
        .filter(|line| line.starts_with("impl ") && line.ends_with(&is_of_trait))
        .flat_map(|line| items(source, &[line]));
    own.into_iter()
        .chain(of_traits)
        .map(|body| functions(&body.join("\n")).len())
        .sum()
}

#[test]
fn the_engine_has_few_fields_and_methods_and_no_queue() {
    let source = root().join("dotgate-core/src");
    let engine = read(&source.join("engine.rs"));
    let declared = fields(without_tests(&engine), "Engine");
    assert!(declared.len() >= 5, "the fields are read wrongly");
    assert!(
        declared.len() <= FIELDS_MAX,
        "the engine has {} fields, {FIELDS_MAX} at most: {declared:#?}",
        declared.len()
    );
    let is_queue = |field: &&&str| {
        QUEUES
            .iter()
            .any(|queue| field.contains(&format!("{queue}<")))
    };
    let queues: Vec<_> = declared.iter().filter(is_queue).collect();
    assert!(
        queues.is_empty(),
        "give each of these an owner: {queues:#?}"
    );
    let files = rust_files(&source);
    let count = |path: &std::path::PathBuf| methods(without_tests(&read(path)), "Engine");
    let all: usize = files
        .iter()
        .filter(|path| !path.components().any(|part| part.as_os_str() == "tests"))
        .map(count)
        .sum();
    assert!(all >= 30, "{all} methods: the code is read wrongly");
    assert!(
        all <= METHODS_MAX,
        "the engine has {all} methods, {METHODS_MAX} at most: what concerns one owner alone belongs to that owner"
    );
}

#[test]
fn fields_and_methods_are_counted() {
    let source = "\
pub struct Engine {
    /// One.
    pub one: VecDeque<u8>,
    #[expect(dead_code)]
    two: u8,
}

impl Engine {
    pub fn a(&self) {}

    fn b(&self) -> u8 {
        fn_like(1)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {}
}

impl Other {
    fn c() {}
}
";
    assert_eq!(
        fields(source, "Engine"),
        ["pub one: VecDeque<u8>,", "two: u8,"]
    );
    assert_eq!(methods(source, "Engine"), 3);
}
