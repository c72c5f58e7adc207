//! Every family of faults that Apple's side can show: traffic before, during and after it, and the books compared.

mod books;
mod error_budget;
mod goaway;
mod odd;
mod resets;
mod settings;
mod throttling;
mod tokens;
mod wire;
