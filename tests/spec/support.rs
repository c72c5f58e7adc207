//! What several specs need.

pub mod foreign;
