//! Integration tests: one binary, one link.

mod cli;
mod postgres;
mod sdk;
mod sql;
mod wire;
mod worker;
