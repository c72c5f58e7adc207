//! pyapns: a universal Apple Push Notification service provider.
//!
//! The modules are in layer order: each may use those above it, and none below it. `cargo test --test tidy` checks
//! that.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests block, print and start tasks")
)]

pub mod hash;
pub mod json;
pub mod model;
pub mod network;
pub mod subject;

pub mod budget;
pub mod clock;
pub mod drain;
pub mod telemetry;

pub mod credentials;
pub mod health;
pub mod store;

pub mod apns;

pub mod events;
pub mod registry;

pub mod cluster;

pub mod delivery;

pub mod http;

pub mod api;
pub mod autoprovision;

pub mod config;

pub mod node;

pub mod cli;
