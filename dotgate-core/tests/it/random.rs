//! Random operations, many sequences of them.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::checks::{check_engine, check_session};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn engines_keep_their_promises_whatever_happens(input in vec(any::<u8>(), 0..400)) {
        check_engine(&input);
    }

    #[test]
    fn sessions_keep_their_promises_whatever_happens(input in vec(any::<u8>(), 0..300)) {
        check_session(&input);
    }
}
