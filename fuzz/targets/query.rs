//! A client's message: any bytes.
#![no_main]
#![expect(dead_code, reason = "each target uses some of the checks")]

#[path = "../../dotgate-wire/tests/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::check_query(input);
    if let Some(flags) = input.get(2)
        && flags & 0xf8 != 0
    {
        let mut query = input.to_vec();
        query[2] = flags & 0x07;
        checks::check_query(&query);
    }
});
