//! Integration tests.
mod worker;
