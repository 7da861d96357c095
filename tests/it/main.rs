//! Integration tests.

mod postgres;
