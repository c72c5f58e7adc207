//! The simulator seen from a client: the h2 crate over rustls, with every received frame recorded.

mod settings;
mod support;
