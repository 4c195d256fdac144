//! Random datagrams at a listener of QUIC.
#![expect(clippy::unwrap_used, reason = "what a test cannot make fails it")]

mod checks;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_datagrams_are_answered_with_no_more_than_three_times_their_bytes(
        datagrams in proptest::collection::vec(
            (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..80)),
            0..20,
        ),
    ) {
        let mut input = Vec::new();
        for (kind, bytes) in datagrams {
            input.extend([bytes.len() as u8, kind]);
            input.extend(bytes);
        }
        checks::check_quic(&input);
    }
}

#[test]
fn the_first_packets_of_a_client_begin_a_connection_if_none_is_changed() {
    checks::check_quic(&[0, 0b1_0100, 0, 0b10_0100]);
}
