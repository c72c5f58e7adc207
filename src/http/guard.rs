//! Guards between the socket and hyper: limits on connections, on clients that are slow, and on floods of HTTP/2 frames.

mod beginning;
pub mod frames;
pub mod lasting;
pub mod patient;
pub mod places;
pub mod unread;
pub mod words;
