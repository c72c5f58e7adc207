//! What pyapns promises, as sentences; through the real composition root, against Apple's stand-in.

mod http2_foreign;
mod reaching_apple;
mod support;
