//! Tenure.
fn main() {}
