//! What pyapns promises, as sentences; through the real composition root, against Apple's stand-in.

mod bound;
mod bulk;
mod canaries;
mod command_line;
mod credentials;
mod disk_full;
mod doctor;
mod faults;
mod hostile;
mod http2_foreign;
mod killed;
mod lane_connections;
mod lane_faults;
mod lanes;
mod ledger;
mod listeners;
mod main_path;
mod many_apps;
mod reaching_apple;
mod readme;
mod reloading;
mod running;
mod seeing;
mod sending;
mod supervised;
mod support;
