//! The random world over many seeds, and the simulator itself.

mod random_world;
