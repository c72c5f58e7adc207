//! Fuzzes the HPACK encoder; what it does stands beside the code, in `src/apns/http2/fuzzing/hpack_encoder.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pyapns_fuzz::hpack_encoder(input));
