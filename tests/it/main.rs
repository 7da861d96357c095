//! Integration tests: one binary, one link.

mod agent_loop;
mod cli;
mod harness;
mod postgres;
mod sdk;
mod worker;
