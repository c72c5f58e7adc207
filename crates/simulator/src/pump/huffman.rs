//! The Huffman code of HPACK (RFC 7541, appendix B), decoded bit by bit: only recorded connections need it.

use std::sync::LazyLock;

const EOS: u16 = 256;
const BITS_MAX: usize = 30;

/// The lengths of the code words, with their symbols. Counting by length, then by symbol, gives every code word.
const LENGTHS: [(usize, &str); 21] = [
    (5, "48-50 97 99 101 105 111 115 116"),
    (6, "32 37 45-47 51-57 61 65 95 98 100 102-104 108-110 112 114 117"),
    (7, "58 66-87 89 106 107 113 118-122"),
    (8, "38 42 44 59 88 90"),
    (10, "33 34 40 41 63"),
    (11, "39 43 124"),
    (12, "35 62"),
    (13, "0 36 64 91 93 126"),
    (14, "94 125"),
    (15, "60 96 123"),
    (19, "92 195 208"),
    (20, "128 130 131 162 184 194 224 226"),
    (21, "153 161 167 172 176 177 179 209 216 217 227 229 230"),
    (22, "129 132-134 136 146 154 156 160 163 164 169 170 173 178 181 185-187 189 190 196 198 228 232 233"),
    (23, "1 135 137-141 143 147 149-152 155 157 158 165 166 168 174 175 180 182 183 188 191 197 231 239"),
    (24, "9 142 144 145 148 159 171 206 215 225 236 237"),
    (25, "199 207 234 235"),
    (26, "192 193 200-202 205 210 213 218 219 238 240 242 243 255"),
    (27, "203 204 211 212 214 221-223 241 244-248 250-254"),
    (28, "2-8 11 12 14-21 23-31 127 220 249"),
    (30, "10 13 22 256"),
];

/// By length: the first code word, and the symbols of that length.
static CODE: LazyLock<[(u32, Vec<u16>); BITS_MAX + 1]> = LazyLock::new(|| {
    let mut code: [(u32, Vec<u16>); BITS_MAX + 1] = std::array::from_fn(|_| (0, Vec::new()));
    let mut next = 0;
    for (bits, words) in code.iter_mut().enumerate().skip(1) {
        next <<= 1;
        let listed = LENGTHS.iter().find(|(length, _)| *length == bits).map_or("", |(_, symbols)| symbols);
        let symbols: Vec<u16> = listed.split(' ').filter_map(range).flatten().collect();
        let first = next;
        next += symbols.len() as u32;
        *words = (first, symbols);
    }
    code
});

fn range(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    Some(from.parse().ok()?..=to.parse().ok()?)
}

/// `None` if the bytes are not valid in this code.
pub fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let (mut word, mut bits) = (0_u32, 0);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| u32::from(byte >> at & 1))) {
        (word, bits) = (word << 1 | bit, bits + 1);
        let (first, symbols) = CODE.get(bits)?;
        let symbol = word.checked_sub(*first).and_then(|at| symbols.get(at as usize));
        if let Some(symbol) = symbol {
            if *symbol == EOS {
                return None;
            }
            text.push(*symbol as u8);
            (word, bits) = (0, 0);
        }
    }
    // Padding is the beginning of EOS: all ones, less than a byte.
    (bits < 8 && word + 1 == 1 << bits).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_complete_and_reads_the_examples_of_the_rfc() {
        let all: usize = CODE.iter().map(|(_, symbols)| symbols.len()).sum();
        assert_eq!((all, CODE[BITS_MAX].0 + 4), (257, 1 << BITS_MAX));
        let host = b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(decode(host).as_deref(), Some(&b"www.example.com"[..]));
        assert_eq!(decode(b"\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f").as_deref(), Some(&b"custom-key"[..]));
        assert_eq!((decode(b"\x18"), decode(b"\xff\xff\xff\xff")), (None, None));
    }
}
