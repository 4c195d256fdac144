//! A file of names: a list, a zone of policies, a hosts file, or records of the settings.
#![no_main]

#[path = "../../dotgate/tests/checks/lists.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::check_file(input));
