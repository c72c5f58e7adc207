//! Apple's side: everything between a notification and the gateway's answer.

pub mod http2;
