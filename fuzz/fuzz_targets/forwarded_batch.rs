//! Fuzzes the check of a batch that another node sent; its body and its rules are in `fuzz/src/forwarded_batch.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pyapns_fuzz::forwarded_batch(input));
