//! Fuzzes the HPACK decoder; its body and its rules are in `fuzz/src/hpack_decoder.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pyapns_fuzz::hpack_decoder(input));
