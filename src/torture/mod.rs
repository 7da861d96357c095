//! `tenure torture`: proves that nothing is lost, whatever dies.

pub mod world;
