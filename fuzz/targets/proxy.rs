//! The first bytes of a balancer: any bytes.
#![no_main]

use dotgate_wire::{PROXY_HEADER_MAX, ProxyFault, ProxyHeader, parse_proxy_header};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let parsed = parse_proxy_header(input);
    match parsed {
        Ok(ProxyHeader::Complete { length, .. }) => {
            assert!(length <= input.len() && length <= PROXY_HEADER_MAX);
            // What follows changes nothing, and what is missing is asked for to the byte.
            assert_eq!(parse_proxy_header(&input[..length]), parsed);
            let known = ProxyHeader::Incomplete { length: length.max(16) };
            assert_eq!(parse_proxy_header(&input[..length - 1]), Ok(known));
        }
        Ok(ProxyHeader::Incomplete { length }) => {
            assert!(length > input.len() && length <= PROXY_HEADER_MAX);
        }
        Err(fault) => {
            assert!(fault == ProxyFault::Malformed || !input.is_empty());
            let longer = [input, b"\r\n\r\n"].concat();
            assert_eq!(parse_proxy_header(&longer), Err(fault));
        }
    }
});
