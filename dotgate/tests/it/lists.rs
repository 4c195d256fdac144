//! Files of names, whatever is in them.

#[path = "../checks/lists.rs"]
mod checks;

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use checks::check_file;

/// Parts of files, right and wrong ones.
const PIECES: [&[u8]; 32] = [
    b"10.0.0.1",
    b"0.0.0.0",
    b"::1",
    b"fe80::1%eth0",
    b" ",
    b"\t",
    b"\n",
    b"\r\n",
    b"a.b",
    b"*.",
    b"*",
    b".",
    b"#",
    b";",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\"",
    b"\\",
    b"(",
    b")",
    b"$TTL 1\n",
    b"$ORIGIN rpz.\n",
    b"@",
    b" SOA ",
    b" NS ",
    b" CNAME ",
    b"rpz-passthru.",
    b"rpz-ip",
    b"||",
    b" TXT \"",
    b" A 1.2.3.4",
    b"localhost",
];

#[test]
fn files_that_were_odd_once_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/lists");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(files.len() > 2);
    for file in files {
        check_file(&std::fs::read(file.unwrap().path()).unwrap());
    }
}

proptest! {
    #[test]
    fn any_parts_of_files_are_read(parts in vec(prop::sample::select(&PIECES[..]), 0..40)) {
        check_file(&parts.concat());
    }

    #[test]
    fn any_bytes_are_read(bytes in vec(any::<u8>(), 0..300)) {
        check_file(&bytes);
    }
}
