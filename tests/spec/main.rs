//! What pyapns promises, as sentences; through the real composition root, against Apple's stand-in.
#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests block, print and start tasks")]

mod bound;
mod bulk;
mod canaries;
mod canary_keys;
mod closed_pipes;
mod command_line;
mod completions;
mod credential_paths;
mod credentials;
mod disk_full;
mod doctor;
mod draining;
mod faults;
mod hostile;
mod http2_foreign;
mod key_reloading;
mod killed;
mod lane_connections;
mod lane_faults;
mod lanes;
mod ledger;
mod listeners;
mod main_path;
mod many_apps;
mod permissions;
mod reaching_apple;
mod readme;
mod reloading;
mod running;
mod seeing;
mod sending;
mod supervised;
mod support;
mod upgrade;
