//! A simulator of Apple's gateway: checks requests by Apple's rules, fails by script, and keeps a ledger of every
//! request.
//!
//! It implements Apple's rules separately and shares no code or table with the client side, so that a mistake there is
//! not repeated here. Tests start it in their process with [`Simulator::start`]; `pyapns simulator` runs it alone.
//!
//! The control port is described in the README of this crate.
#![expect(clippy::disallowed_methods, reason = "it has its own tasks and clock, as Apple has")]

mod base64_bytes;
mod certificate;
mod channels;
mod clock;
pub mod command;
mod connection;
mod control;
mod error;
mod front;
pub mod identity;
mod jwt;
pub mod ledger;
mod pump;
pub mod rules;
pub mod script;
mod server;
mod shared;
mod site;
mod tokens;
mod valve;

pub use channels::{ChannelState, StoragePolicy};
pub use clock::Clock;
pub use error::SimulatorError;
pub use identity::{ClientSubject, Identity, generate_key};
pub use jwt::Key;
pub use ledger::{Entry, Ledger, LedgerMode, Totals};
pub use pump::{Field, Form};
pub use rules::{Check, Environment, TokenRate, TokenState};
pub use script::{
    Act, AlertTo, At, Breakage, Change, Close, ConnectRate, ConnectionAct, ConnectionFault, DebugData, Delay, Ending,
    ErrorBudget, Fault, Flaw, GoAway, Latency, ListenerFault, Malformed, Point, Script, SettingsPlay, Shut, Values,
    Violation, When,
};
pub use server::{Options, Simulator};
pub use site::{Call, Service};

#[cfg(test)]
mod tests;
