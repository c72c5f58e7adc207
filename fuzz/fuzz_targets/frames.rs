//! Fuzzes the decoder of the frames between nodes; its body and its rules are in `fuzz/src/frames.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pyapns_fuzz::frames(input));
