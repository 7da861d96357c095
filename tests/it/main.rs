//! Integration tests.
mod sdk;
