//! Tenure: AI agents that keep their job when their process dies.
//!
//! One binary and one Postgres database run agents durably. See `ARCHITECTURE.md` for the map.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod agent;
pub mod bench;
pub mod cli;
pub mod engine;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod id;
pub mod json;
pub mod llm;
pub mod notify;
pub mod perform;
pub mod ports;
pub mod postgres;
pub mod prompt;
pub mod runtime;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod torture;
pub mod web;
pub mod worker;
