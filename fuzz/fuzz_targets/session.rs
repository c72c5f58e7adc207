//! Fuzzes the session; its body and its rules are in `fuzz/src/session.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pyapns_fuzz::session(input));
