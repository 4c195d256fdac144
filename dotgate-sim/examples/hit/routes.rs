//! Looks a name up among routes.

use std::hint::black_box;

use dotgate_core::RouteTable;
use dotgate_wire::Question;

/// Looks up a name of so many labels, at least two, among 10,000 routes for longer names; among none if `labels` is 0.
/// Returns how often the right group was found. Each label of the name is one of a suffix.
pub(crate) fn look_up(labels: usize, count: usize) -> usize {
    let all = [
        "host7.",
        "rack17.",
        "floor17.",
        "site7.",
        "corporation.",
        "example.",
    ];
    let suffix = |number: usize| {
        let (rack, floor, site) = (number % 1_000, number % 100, number % 10);
        wire(&format!(
            "host{number}.rack{rack}.floor{floor}.site{site}.corporation.example."
        ))
    };
    let name = match labels {
        0 | 3 => wire(&all[3..].concat()),
        labels => wire(
            &all[all.len() - labels..]
                .concat()
                .replace("host7", "host4017"),
        ),
    };
    let routes = match labels {
        0 => Vec::new(),
        _ => (0..10_000)
            .map(|number| (suffix(number), 2))
            .chain([(name.clone(), 1)])
            .collect(),
    };
    let expected = usize::from(labels > 0);
    // The first of a suffix that is there twice counts.
    let table = RouteTable::new(routes.into_iter().rev());
    let Some(question) = Question::new(&name, 1, 1) else {
        return 0;
    };
    let is_found = |_: &usize| table.find(black_box(&question)).group == expected;
    (0..count).filter(is_found).count()
}

fn wire(name: &str) -> Box<[u8]> {
    let mut wire = Vec::new();
    for label in name.split_terminator('.') {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire.into()
}
