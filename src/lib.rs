//! Tenure: AI agents that keep their job when their process dies.
//!
//! One binary and one Postgres database run agents durably. The modules, in reading order:
pub mod cli;
pub mod id;
pub mod postgres;
pub mod worker;
