//! The simulator seen from a client: the h2 crate over rustls, with every received frame recorded.

mod broadcasts;
mod channel_faults;
mod channels;
mod connects;
mod control;
mod endings;
mod faults;
mod identities;
mod malformed;
mod poison_and_budgets;
mod push_types;
mod rules;
mod scripted_settings;
mod settings;
mod slow;
mod support;
