//! Fuzz input read as numbers and texts. Once it is used up all of them are zero or empty.

#[derive(Clone, Copy)]
pub struct Input<'a>(&'a [u8]);

/// Numbers at the edges of some rule.
const EDGES: [u32; 15] = [
    1_000,
    1_500,
    4_096,
    16_383,
    16_384,
    16_385,
    65_535,
    65_536,
    524_288,
    0x00ff_ffff,
    0x0100_0000,
    0x7fff_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
];

/// The first byte of a number below this is the number; the next ones stand for `EDGES`, the last for four bytes.
const SMALL: u8 = u8::MAX - EDGES.len() as u8;

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// At most 32,767: a byte below 128, or two.
    pub fn length(&mut self) -> usize {
        match self.byte() {
            short @ ..0x80 => usize::from(short),
            high => usize::from(high & 0x7f) << 8 | usize::from(self.byte()),
        }
    }

    /// Any `u32`; numbers at the edges of a rule are as likely as others.
    pub fn number(&mut self) -> u32 {
        match self.byte() {
            small if small < SMALL => u32::from(small),
            u8::MAX => self.bytes(4).iter().fold(0, |number, &byte| number << 8 | u32::from(byte)),
            edge => EDGES[usize::from(edge - SMALL)],
        }
    }

    /// A length and as many bytes, or what is left.
    pub fn text(&mut self) -> &'a [u8] {
        let length = self.length();
        self.bytes(length)
    }

    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (now, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        now
    }
}
