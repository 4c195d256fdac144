//! An upstream's response: any bytes.
#![no_main]
#![expect(dead_code, reason = "each target uses some of the checks")]

#[path = "../../dotgate-wire/tests/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::check_answer(input);
    // Most random bytes are no response: what they hold is looked at as one, too.
    if let Some(flags) = input.get(2)
        && flags & 0xf8 != 0x80
    {
        let mut response = input.to_vec();
        response[2] = flags & 0x07 | 0x80;
        checks::check_answer(&response);
    }
});
