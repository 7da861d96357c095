//! Reading for people and programs. Nothing here decides or changes anything.

pub mod agents;
pub mod approvals;
pub mod attempts;
pub mod costs;
pub mod diff;
pub mod events;
pub mod executions;
pub mod health;
pub mod list;
pub mod messages;
pub mod pages;
pub mod queues;
pub mod run;
pub mod workers;
