//! The fuzz targets of `fuzz/`, which `cargo test` runs too: each takes any bytes and panics if a rule is broken.

mod forwarded_batch;
mod frames;
mod hpack_decoder;
mod hpack_encoder;
mod input;
mod naive_hpack;
mod referee;
mod session;
#[cfg(test)]
mod tests;

pub use forwarded_batch::forwarded_batch;
pub use frames::frames;
pub use hpack_decoder::hpack_decoder;
pub use hpack_encoder::hpack_encoder;
pub use session::session;
