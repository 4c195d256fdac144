//! The COOKIE option of a client: any bytes as a message, and as the options of one.
#![no_main]
#![expect(dead_code, reason = "each target uses some of the checks")]

#[path = "../../dotgate-wire/tests/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::check_cookie(input);
    if let Ok(length) = u16::try_from(input.len()) {
        let mut message = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1];
        message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0]);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(input);
        checks::check_cookie(&message);
    }
});
