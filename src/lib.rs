//! pyapns: a universal Apple Push Notification service provider.
//!
//! Modules in layer order: each may know those above it, none below. `tests/tidy.rs` keeps that.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests block, print and start tasks")
)]

pub mod model;

pub mod clock;
pub mod drain;
pub mod telemetry;

pub mod credentials;
pub mod store;

pub mod apns;

pub mod events;
pub mod registry;

pub mod delivery;

pub mod api;
pub mod autoprovision;

pub mod config;

pub mod node;

pub mod cli;

// Stands alone: only `cli` and the tests use it.
pub mod simulator;
