//! Integration tests.

mod postgres;
mod cli;
mod worker;
