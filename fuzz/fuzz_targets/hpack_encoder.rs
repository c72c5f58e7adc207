//! Fuzzes the HPACK encoder; its body and its rules are in `fuzz/src/hpack_encoder.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pyapns_fuzz::hpack_encoder(input));
