//! Integration tests.
mod cli;
mod worker;
