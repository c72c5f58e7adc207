//! HPACK, the header compression of HTTP/2 (RFC 7541): decodes field blocks, and encodes requests.

mod decoder;
mod encoder;
mod huffman;
mod primitive;
mod table;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use table::Table;

/// The default size of both dynamic tables (RFC 9113 6.5.2); our encoder never uses more.
pub const TABLE_SIZE_DEFAULT: usize = 4_096;

/// The reason that a field block cannot be decoded. The tables of both sides then differ, so the connection is lost
/// (RFC 9113 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    #[error("the peer's field block ends inside a field; the connection cannot go on")]
    Truncated,
    #[error("an integer in the peer's field block is longer than any we accept; the connection cannot go on")]
    IntegerTooLong,
    #[error("the peer refers to a header that is in no table; the connection cannot go on")]
    IndexOutOfRange,
    #[error("a Huffman string of the peer ends with invalid padding; the connection cannot go on")]
    HuffmanPadding,
    #[error("a Huffman string of the peer contains the end-of-string symbol; the connection cannot go on")]
    HuffmanEos,
    #[error("the peer enlarges its header table beyond what we allowed; the connection cannot go on")]
    SizeUpdateTooLarge,
    #[error("the peer changes the size of its header table after a field; the connection cannot go on")]
    LateSizeUpdate,
}

#[cfg(test)]
mod tests;
