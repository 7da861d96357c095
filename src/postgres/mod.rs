//! Finds, starts and connects Postgres.
