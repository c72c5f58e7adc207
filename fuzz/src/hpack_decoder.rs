//! The decoder against a naive one: the same headers, the same table, or both refuse.

use super::input::Input;
use super::naive_hpack::{Broken, NaiveDecoder};
use http2::hpack::{Decoder, HpackError};

/// An input is the table's limit in units of 64 bytes, then blocks, each with its length before it.
pub fn hpack_decoder(input: &[u8]) {
    let mut input = Input::new(input);
    let limit = usize::from(input.byte()) * 64;
    let (mut decoder, mut naive) = (Decoder::new(limit), NaiveDecoder::new(limit));
    while !input.is_empty() {
        let block = input.text();
        let mut fields = Vec::new();
        let decoded = decoder.decode(block, |name, value| fields.push((name.to_vec(), value.to_vec())));
        assert_eq!(decoded.map(|()| fields).map_err(|_: HpackError| Broken), naive.decode(block));
        if decoded.is_err() {
            // The connection is lost.
            return;
        }
        let table = decoder.table();
        assert_eq!((table.size(), table.size_max()), (naive.size(), naive.size_max()));
        assert!(table.size() <= table.size_max() && table.size_max() <= limit);
        for (entry, index) in naive.entries().iter().zip(62..) {
            assert_eq!(table.get(index), Some((&entry.0[..], &entry.1[..])));
        }
        assert_eq!((table.get(0), table.get(62 + naive.entries().len())), (None, None));
    }
}
