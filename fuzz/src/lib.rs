//! The fuzz targets of `fuzz/`, which `cargo test` runs too: each takes any bytes and panics if a rule is broken.

mod hpack_decoder;
mod hpack_encoder;
mod input;
mod naive_hpack;
mod referee;
mod session;
#[cfg(test)]
mod tests;

pub use hpack_decoder::hpack_decoder;
pub use hpack_encoder::hpack_encoder;
pub use session::session;
