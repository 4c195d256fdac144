//! The bytes of a client over HTTPS, behind TLS: any bytes.
#![no_main]

#[path = "../../dotgate-http/tests/checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::check_http(input);
});
