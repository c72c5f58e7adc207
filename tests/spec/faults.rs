//! Every family of faults that Apple's side can show: traffic before, during and after it, and the books compared.

mod books;
mod bursts;
mod connect_failures;
mod error_budget;
mod goaway;
mod malformed;
mod neighbours;
mod resets;
mod settings;
mod slow;
mod stalls;
mod throttling;
mod tokens;
mod wire;
