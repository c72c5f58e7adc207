//! What several specs need.

pub mod client;
pub mod foreign;
pub mod stream;
pub mod world;

/// Whether the long forms were asked for (`tests/run --full`).
pub fn full() -> bool {
    std::env::var_os("PYAPNS_TEST_FULL").is_some()
}
