//! The datagrams at a listener of DNS over QUIC: any bytes, and the first packets of a client with some of them changed.
#![no_main]

#[path = "../../dotgate-quic/tests/checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::check_quic(input);
});
