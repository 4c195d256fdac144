//! The COOKIE option of a client: any bytes as a message, and as the options of one.
#![no_main]
#![expect(dead_code, reason = "each target uses some of the checks")]

#[path = "../../dotgate-wire/tests/checks.rs"]
mod checks;

use dotgate_message::{Compose as _, OPT, Section, UDP_SIZE, query, record_in};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::check_cookie(input);
    if input.len() <= usize::from(u16::MAX) {
        let opt = record_in(&[0], OPT, UDP_SIZE, 0, input);
        checks::check_cookie(&query(1, "").with_record(Section::Additional, &opt));
    }
});
