//! Integration tests: one binary, one link.

mod agent_loop;
mod agents_page;
mod architecture;
mod auth;
mod bad_input;
mod bench;
mod browser;
mod captures;
mod cli;
mod crash;
mod demo;
mod docs;
mod harness;
mod invariants;
mod list;
mod outage;
mod postgres;
mod queues;
mod run_page;
mod sdk;
mod shutdown;
mod sql;
mod torture;
mod ui;
mod wire;
mod worker;
