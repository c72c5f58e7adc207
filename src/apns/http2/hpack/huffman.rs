//! The Huffman code of HPACK strings, decoded (RFC 7541 5.2 and appendix B). We never send it: see `write_string`.
//!
//! The code is canonical: counted up by length, then by symbol, the lengths below give every code word.

use super::HpackError;

const EOS: usize = 256;
const SYMBOLS: usize = EOS + 1;
const BITS_MAX: usize = 30;

/// The length of each symbol's code word, in bits; the last is EOS.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28,
    28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6,
    12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15,
    5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20,
    22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
    23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26,
    27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

static CODE: Code = Code::build();

struct Code {
    /// By the next 8 bits: the symbol and the length of a code word that fits them, else length 0.
    short: [(u8, u8); 256],
    /// All symbols in the order of their code words.
    symbols: [u16; SYMBOLS],
    /// By length: the first code word of that length, and the place of its symbol in `symbols`.
    first: [(u32, usize); BITS_MAX + 1],
}

impl Code {
    const fn build() -> Self {
        let mut code = Self { short: [(0, 0); 256], symbols: [0; SYMBOLS], first: [(0, 0); BITS_MAX + 1] };
        let mut word = 0;
        let mut place = 0;
        let mut bits = 1;
        while bits <= BITS_MAX {
            word <<= 1;
            code.first[bits] = (word, place);
            let mut symbol = 0;
            while symbol < SYMBOLS {
                if LENGTHS[symbol] as usize == bits {
                    code.symbols[place] = symbol as u16;
                    if bits <= 8 {
                        code.fill_short(symbol as u8, word, bits);
                    }
                    place += 1;
                    word += 1;
                }
                symbol += 1;
            }
            bits += 1;
        }
        code
    }

    /// A code word of `bits` bits stands for every byte that begins with it.
    const fn fill_short(&mut self, symbol: u8, word: u32, bits: usize) {
        let first = (word as usize) << (8 - bits);
        let mut byte = first;
        while byte < first + (1 << (8 - bits)) {
            self.short[byte] = (symbol, bits as u8);
            byte += 1;
        }
    }

    /// The symbol whose word of more than 8 bits begins `window` (left-aligned), and its length.
    fn long(&self, window: u64) -> (usize, u32) {
        let mut bits = 9;
        loop {
            let (first, place) = self.first[bits];
            let offset = (window >> (64 - bits)) as usize - first as usize;
            let count = self.first.get(bits + 1).map_or(SYMBOLS, |next| next.1) - place;
            if offset < count {
                return (usize::from(self.symbols[place + offset]), bits as u32);
            }
            bits += 1;
        }
    }
}

/// Appends the decoded text to `out`: at most 8/5 of the input's length.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    // The undecoded bits, left-aligned; ones behind them, so that what is cut off reads as padding.
    let mut window = u64::MAX;
    let mut bits = 0;
    let mut input = input.iter();
    loop {
        while bits <= 56 {
            let Some(&byte) = input.next() else { break };
            window ^= u64::from(!byte) << (56 - bits);
            bits += 8;
        }
        let (symbol, length) = match CODE.short[(window >> 56) as usize] {
            (_, 0) => CODE.long(window),
            (symbol, length) => (usize::from(symbol), u32::from(length)),
        };
        if length > bits {
            return if bits < 8 && window == u64::MAX { Ok(()) } else { Err(HpackError::HuffmanPadding) };
        }
        let Ok(symbol) = u8::try_from(symbol) else { return Err(HpackError::HuffmanEos) };
        out.push(symbol);
        window = (window << length) | ((1 << length) - 1);
        bits -= length;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The code word of a symbol, by counting: independent of the tables above.
    fn word(symbol: usize) -> u32 {
        let mut order: Vec<_> = (0..SYMBOLS).map(|symbol| (LENGTHS[symbol], symbol)).collect();
        order.sort_unstable();
        let mut word = 0;
        for pair in order.windows(2) {
            if pair[0].1 == symbol {
                break;
            }
            word = (word + 1) << (pair[1].0 - pair[0].0);
        }
        word
    }

    pub fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits: Vec<bool> = Vec::new();
        for &byte in text {
            let word = word(usize::from(byte));
            bits.extend((0..LENGTHS[usize::from(byte)]).rev().map(|bit| word >> bit & 1 == 1));
        }
        bits.resize(bits.len().next_multiple_of(8), true);
        bits.chunks(8).map(|chunk| chunk.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit))).collect()
    }

    fn decoded(input: &[u8]) -> Result<Vec<u8>, HpackError> {
        let mut out = Vec::new();
        decode(input, &mut out).map(|()| out)
    }

    #[test]
    fn the_code_is_complete_and_ends_in_eos() {
        let sum: u64 = LENGTHS.iter().map(|&bits| 1 << (BITS_MAX - usize::from(bits))).sum();
        assert_eq!(sum, 1 << BITS_MAX);
        assert_eq!(word(EOS), (1 << BITS_MAX) - 1);
        // Spot checks against the RFC's table.
        assert_eq!((word(usize::from(b'0')), word(usize::from(b'X')), word(0)), (0, 0xfc, 0x1ff8));
        assert_eq!((word(10), word(255), word(249)), (0x3fff_fffc, 0x3ff_ffee, 0xfff_fffe));
    }

    #[test]
    fn every_byte_survives_alone_and_in_company() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(decoded(&encode(&all)), Ok(all.clone()));
        for byte in all {
            assert_eq!(decoded(&encode(&[byte])), Ok(vec![byte]));
            assert_eq!(decoded(&encode(&[byte, b'a', byte])), Ok(vec![byte, b'a', byte]));
        }
    }

    #[test]
    fn padding_is_up_to_seven_ones_and_nothing_else() {
        assert_eq!(decoded(&[]), Ok(vec![]));
        assert_eq!(decoded(&[0x1f]), Ok(vec![b'a']));
        assert_eq!(decoded(&[0x18]), Err(HpackError::HuffmanPadding), "zeros");
        assert_eq!(decoded(&[0x1e]), Err(HpackError::HuffmanPadding), "a zero at the end");
        assert_eq!(decoded(&[0x1f, 0xff]), Err(HpackError::HuffmanPadding), "eleven ones");
        assert_eq!(decoded(&[0xff]), Err(HpackError::HuffmanPadding), "eight ones");
        assert_eq!(decoded(&[0xff; 3]), Err(HpackError::HuffmanPadding), "most of EOS");
    }

    #[test]
    fn eos_is_refused_wherever_it_stands() {
        assert_eq!(decoded(&[0xff; 4]), Err(HpackError::HuffmanEos));
        assert_eq!(decoded(&[0x1f, 0xff, 0xff, 0xff, 0xff]), Err(HpackError::HuffmanEos));
    }

    proptest! {
        #[test]
        fn any_text_survives(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&encode(&text)), Ok(text));
        }

        #[test]
        fn the_output_is_bounded_and_canonical(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(text) = decoded(&input) {
                prop_assert!(text.len() * 5 <= input.len() * 8);
                prop_assert_eq!(encode(&text), input);
            }
        }
    }
}
