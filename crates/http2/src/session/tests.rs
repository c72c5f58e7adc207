//! The session against every row of the rules, bugs of other stacks, hostile peers, cuts and chance.

mod bugs;
mod ends;
mod frames;
mod hostile;
mod interop;
mod model;
mod settings;
pub mod split;
mod states;
pub mod support;
mod windows;
