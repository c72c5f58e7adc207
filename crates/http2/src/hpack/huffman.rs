//! The Huffman code of HPACK strings, decoded (RFC 7541 5.2 and appendix B). We never send it, for the reason at
//! `write_string`.
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

/// Two code words of six bits, which hex digits have at most, are found in one step.
const STEP_BITS: usize = 12;

static CODE: Code = Code::build();
static STEPS: [Step; 1 << STEP_BITS] = Step::build();

/// The contents of the next [`STEP_BITS`] bits: one or two symbols of at most 8 bits each, or none.
#[derive(Clone, Copy)]
struct Step {
    symbols: [u8; 2],
    count: u8,
    bits: u8,
}

impl Step {
    const fn build() -> [Self; 1 << STEP_BITS] {
        let mut steps = [Self { symbols: [0; 2], count: 0, bits: 0 }; 1 << STEP_BITS];
        let mut window = 0;
        while window < steps.len() {
            let (first, bits) = CODE.short[window >> (STEP_BITS - 8)];
            let left = STEP_BITS - bits as usize;
            let (second, more) = CODE.short[(window << bits & (steps.len() - 1)) >> (STEP_BITS - 8)];
            if bits > 0 {
                let both = more > 0 && more as usize <= left;
                let (count, bits) = if both { (2, bits + more) } else { (1, bits) };
                steps[window] = Self { symbols: [first, second], count, bits };
            }
            window += 1;
        }
        steps
    }
}

struct Code {
    /// Indexed by the next 8 bits: the symbol and the length of the code word that matches, else length 0.
    short: [(u8, u8); 256],
    /// All symbols in the order of their code words.
    symbols: [u16; SYMBOLS],
    /// Indexed by length: the first code word of that length, and the position of its symbol in `symbols`.
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

    /// A code word of `bits` bits matches every byte that begins with it.
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
pub(super) fn decode(mut input: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let mut end = out.len();
    // A step writes two symbols even if it has found only one.
    out.resize(end + input.len() * 8 / 5 + 2, 0);
    // The undecoded bits, left-aligned, followed by zeros.
    let mut window = 0_u64;
    let mut bits = 0;
    while input.len() >= 4 {
        refill(&mut input, &mut window, &mut bits);
        while bits >= STEP_BITS as u32 {
            let step = STEPS[(window >> (64 - STEP_BITS)) as usize];
            if step.count == 0 {
                break;
            }
            out[end..end + 2].copy_from_slice(&step.symbols);
            end += usize::from(step.count);
            window <<= step.bits;
            bits -= u32::from(step.bits);
        }
        if bits >= 32 {
            break;
        }
    }
    out.truncate(end);
    loop {
        if bits < 32 {
            refill(&mut input, &mut window, &mut bits);
        }
        let (symbol, length) = match CODE.short[(window >> 56) as usize] {
            (_, 0) => CODE.long(window),
            (symbol, length) => (usize::from(symbol), u32::from(length)),
        };
        if length > bits {
            let padded = bits < 8 && window.count_ones() == bits;
            return if padded { Ok(()) } else { Err(HpackError::HuffmanPadding) };
        }
        let Ok(symbol) = u8::try_from(symbol) else { return Err(HpackError::HuffmanEos) };
        out.push(symbol);
        window <<= length;
        bits -= length;
    }
}

/// Adds four bytes, or the rest, to a window with fewer than 32 bits.
fn refill(input: &mut &[u8], window: &mut u64, bits: &mut u32) {
    if let Some((bytes, rest)) = input.split_first_chunk::<4>() {
        *window |= u64::from(u32::from_be_bytes(*bytes)) << (32 - *bits);
        *bits += 32;
        *input = rest;
        return;
    }
    for &byte in *input {
        *window |= u64::from(byte) << (56 - *bits);
        *bits += 8;
    }
    *input = &[];
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The code word of each symbol, by counting: independent of the tables above.
    fn words() -> [u32; SYMBOLS] {
        let mut order: Vec<_> = (0..SYMBOLS).map(|symbol| (LENGTHS[symbol], symbol)).collect();
        order.sort_unstable();
        let mut words = [0; SYMBOLS];
        for pair in order.windows(2) {
            words[pair[1].1] = (words[pair[0].1] + 1) << (pair[1].0 - pair[0].0);
        }
        words
    }

    fn encode(text: &[u8]) -> Vec<u8> {
        let words = words();
        let mut bits: Vec<bool> = Vec::new();
        for &byte in text {
            let symbol = usize::from(byte);
            bits.extend((0..LENGTHS[symbol]).rev().map(|bit| words[symbol] >> bit & 1 == 1));
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
        assert_eq!(words()[EOS], (1 << BITS_MAX) - 1);
        // Spot checks against the RFC's table.
        for (symbol, word) in
            [(b'0', 0), (b'X', 0xfc), (0, 0x1ff8), (10, 0x3fff_fffc), (255, 0x3ff_ffee), (249, 0xfff_fffe)]
        {
            assert_eq!(words()[usize::from(symbol)], word, "{symbol}");
        }
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
    fn eos_is_refused_at_every_position() {
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
