//! Tenure: AI agents that keep their job when their process dies.
//!
//! One binary and one Postgres database run agents durably. The modules, in reading order:
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod agent;
pub mod engine;
pub mod id;
pub mod json;
pub mod llm;
pub mod postgres;
pub mod runtime;
pub mod store;
