//! Every family of faults on Apple's side: traffic before, during and after it, and outcomes against the ledger.

mod bursts;
mod connect_failures;
mod error_budget;
mod goaway;
mod malformed;
mod neighbours;
mod outcomes;
mod resets;
mod settings;
mod slow;
mod stalls;
mod throttling;
mod tokens;
mod wire;
