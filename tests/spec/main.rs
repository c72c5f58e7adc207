//! What pyapns promises, as sentences; through the real composition root, against Apple's stand-in.

mod bulk;
mod canaries;
mod command_line;
mod credentials;
mod doctor;
mod faults;
mod http2_foreign;
mod killed;
mod lane_connections;
mod lane_faults;
mod ledger;
mod listeners;
mod main_path;
mod reaching_apple;
mod reloading;
mod running;
mod sending;
mod support;
