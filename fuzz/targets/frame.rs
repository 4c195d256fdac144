//! The bytes of a stream: any bytes.
#![no_main]
#![expect(dead_code, reason = "each target uses some of the checks")]

#[path = "../../dotgate-wire/tests/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::check_frame(input);
});
