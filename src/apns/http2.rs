//! Our HTTP/2 client core: bytes in, events out; requests in, bytes out. No clock, socket or task.

pub mod hpack;
pub mod request;

pub use request::{Head, Method, Request};
