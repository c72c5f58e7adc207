//! The session against every row of the rules, bugs of other stacks, hostile peers, cuts and chance.

mod bugs;
mod ends;
mod frames;
mod hostile;
mod model;
mod settings;
mod split;
mod states;
mod support;
mod windows;
