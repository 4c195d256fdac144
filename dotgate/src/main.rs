//! The `dotgate` command.
#![forbid(unsafe_code)]
fn main() {}
