//! Our HTTP/2 client core: bytes in, events out; requests in, bytes out. No clock, socket or task.

pub mod frame;
pub mod hpack;
pub mod request;
#[doc(hidden)]
pub mod server_frames;
pub mod session;

pub use frame::StreamId;
pub use request::{Head, Method, Request};
pub use session::{Answer, Blocked, Cause, Config, ConnectionError, End, Event, Processed, Refused, Session};
