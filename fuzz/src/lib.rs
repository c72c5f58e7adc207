//! The HTTP/2 core without the daemon around it, so that it builds in seconds and nothing else is instrumented.
//!
//! `apns` is a link to the daemon's own folder: these are the same files, and that they build here shows that the core needs
//! no clock, socket or task.
#![forbid(unsafe_code)]

pub mod apns {
    pub mod http2;
}
