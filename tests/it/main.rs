//! Integration tests: one binary, one link.

mod cli;
mod docs;
mod postgres;
mod sdk;
mod worker;
