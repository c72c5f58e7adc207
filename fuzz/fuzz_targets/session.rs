//! Fuzzes the session; what it does stands beside the code, in `src/apns/http2/fuzzing/session.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pyapns_fuzz::session(input));
