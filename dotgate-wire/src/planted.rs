//! Deliberate faults, which show that the tests are not blind (`mutants/README.md`). They are in a build with `--cfg planted`
//! alone, where the environment names the one that a run has.

use std::env;
use std::sync::OnceLock;

/// Whether this run has a fault: false in every build for use.
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        cfg!(planted) && $crate::planted::is($name)
    };
}

/// Whether the environment names this fault.
#[doc(hidden)]
pub fn is(name: &str) -> bool {
    static PLANTED: OnceLock<Option<String>> = OnceLock::new();
    PLANTED.get_or_init(|| env::var("PLANTED").ok()).as_deref() == Some(name)
}
