//! HPACK inputs to begin with: RFC 7541 appendix C, good and bad vectors, and what an encoder goes through.

use super::super::hpack_encoder::{HEAD, REPEATED, REQUEST, SETTINGS};
use super::Seed;

/// A name, the table's limit in units of 64 bytes, and blocks in hexadecimal digits.
const DECODER: &[(&str, u8, &[&str])] = &[
    ("c_2_1", 64, &["400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572"]),
    ("c_2_2", 64, &["040c 2f73 616d 706c 652f 7061 7468"]),
    ("c_2_3", 64, &["1008 7061 7373 776f 7264 0673 6563 7265 74"]),
    ("c_2_4", 64, &["82"]),
    (
        "c_3",
        64,
        &[
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
    ),
    (
        "c_4",
        64,
        &[
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
    ),
    (
        "c_5",
        4,
        &[
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120
             474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738
             666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33
             3630 303b 2076 6572 7369 6f6e 3d31",
        ],
    ),
    (
        "c_6",
        4,
        &[
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718
             63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7
             b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ],
    ),
    ("good_huffman", 64, &["000161811f", "00016180"]),
    ("good_size_updates", 64, &["203fe11f88", "20202088", "20"]),
    ("good_name_evicted_by_its_own_insert", 64, &[NAME_EVICTED, "7e146363636363636363636363636363636363636363", "be"]),
    ("good_entry_larger_than_the_table", 1, &["4001610162", TOO_LARGE]),
    ("good_duplicates", 64, &["40016101624001610162", "bebf"]),
    ("bad_index_0", 64, &["80"]),
    ("bad_index_beyond", 64, &["be"]),
    ("bad_name_index_beyond", 64, &["7e0161"]),
    ("bad_integer_cut", 64, &["3f"]),
    ("bad_string_cut", 64, &["00056162"]),
    ("bad_string_length", 64, &["007fffffff07"]),
    ("bad_integer_length", 64, &["ff8080808080808080808000"]),
    ("bad_zero_padding", 64, &["0001618118"]),
    ("bad_long_padding", 64, &["000161821fff"]),
    ("bad_eos", 64, &["00016184ffffffff"]),
    ("bad_size_update", 64, &["3fe21f88"]),
    ("bad_late_size_update", 64, &["8820"]),
];

const NAME_EVICTED: &str = "3f21400a616161616161616161610a62626262626262626262";
const TOO_LARGE: &str = "400161216262626262626262626262626262626262626262626262626262626262626262";

pub fn decoder() -> Vec<Seed> {
    let seed = |&(name, limit, blocks): &(_, u8, &[&str])| {
        let blocks = blocks.iter().flat_map(|block| text(&hex(block)));
        (name, [limit].into_iter().chain(blocks).collect())
    };
    DECODER.iter().map(seed).collect()
}

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<_> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// A length and the bytes, as `Input::text` reads them.
pub fn text(bytes: &[u8]) -> Vec<u8> {
    [&length(bytes.len()), bytes].concat()
}

pub fn length(length: usize) -> Vec<u8> {
    if length < 0x80 { vec![length as u8] } else { vec![(length >> 8) as u8 | 0x80, length as u8] }
}

pub fn number(number: u32) -> Vec<u8> {
    [&[u8::MAX][..], &number.to_be_bytes()].concat()
}

/// A value of `Head`: one letter many times.
fn long(letter: u8, count: usize) -> Vec<u8> {
    [vec![letter], length(count)].concat()
}

fn post(token_length: usize) -> Vec<u8> {
    [&[1][..], &long(1, 18), &[4, 0], &long(2, token_length), &[1], &long(3, 15), &[3], &long(4, 2), &[4], &long(5, 1)]
        .concat()
}

fn request(kind: u8, head: u8) -> Vec<u8> {
    [&[kind, head][..], &text(&[b'a'; 64]), &[2, 0], &text(&[b'1'; 36]), &[2], &text(b"c")].concat()
}

fn settings(limit: u32) -> Vec<u8> {
    [vec![SETTINGS], number(limit)].concat()
}

fn another_head(token_length: usize) -> Vec<u8> {
    [vec![HEAD], post(token_length)].concat()
}

pub fn encoder() -> Vec<Seed> {
    let (once, often) = (request(REQUEST, 0), request(REPEATED, 0));
    let tokens = |length: usize| (1..20).flat_map(move |at| [another_head(length + at), request(REQUEST, at as u8)]);
    vec![
        ("two_requests", [post(184), once.clone(), once.clone()].concat()),
        ("no_table", [post(184), settings(0), once.clone(), once.clone()].concat()),
        ("lowered_and_raised", [post(184), once.clone(), settings(0), settings(4_096), once.clone()].concat()),
        ("lowered_twice", [post(184), once.clone(), settings(1_000), settings(100), once.clone()].concat()),
        ("raised_above_ours", [post(184), settings(u32::MAX), once.clone(), settings(4_097), once.clone()].concat()),
        ("a_small_table", [post(184), settings(64), once.clone(), once.clone()].concat()),
        ("a_header_larger_than_the_table", [post(5_000), once.clone(), once.clone()].concat()),
        ("many_tokens", [post(184), tokens(200).flatten().collect()].concat()),
        ("many_long_tokens", [post(184), tokens(1_500).flatten().collect()].concat()),
        ("a_crowded_table", [post(184), tokens(300).flatten().collect(), often.clone(), often, once.clone()].concat()),
        ("many_tokens_and_less_room", [post(184), tokens(200).flatten().collect(), settings(500), once].concat()),
    ]
}
