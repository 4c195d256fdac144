//! Names: both sides of each limit.
use super::*;

#[test]
fn work_is_counted_in_octets_and_hops() {
    // Two labels and a root: three first octets, and eight octets hashed.
    let steps = steps::taken_by(|| assert!(find(b"\x03org\x03www\0", 0).is_ok()));
    assert_eq!(steps, 3 + 8);
}
