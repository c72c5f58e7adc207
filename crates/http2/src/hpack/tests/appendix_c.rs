//! The examples of RFC 7541 appendix C; the examples of C.1 are in the tests of integers.

use super::{Decoder, decode, entries, fields, hex};

const DATE_21: &str = "Mon, 21 Oct 2013 20:13:21 GMT";
const DATE_22: &str = "Mon, 21 Oct 2013 20:13:22 GMT";
const COOKIE: &str = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const LOCATION: &str = "https://www.example.com";

/// A block, its headers, and the dynamic table after it, newest first, with its size.
struct Example<'a> {
    block: &'a str,
    headers: &'a [(&'a str, &'a str)],
    table: &'a [(&'a str, &'a str)],
    size: usize,
}

fn check(table_size_max: usize, examples: &[Example<'_>]) {
    let mut decoder = Decoder::new(table_size_max);
    for example in examples {
        assert_eq!(decode(&mut decoder, &hex(example.block)), Ok(fields(example.headers)), "{}", example.block);
        assert_eq!(entries(decoder.table()), fields(example.table), "{}", example.block);
        assert_eq!(decoder.table().size(), example.size, "{}", example.block);
    }
}

#[test]
fn c_2_each_representation_alone() {
    let custom = &[("custom-key", "custom-header")];
    let block = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    check(4096, &[Example { block, headers: custom, table: custom, size: 55 }]);
    let block = "040c 2f73 616d 706c 652f 7061 7468";
    check(4096, &[Example { block, headers: &[(":path", "/sample/path")], table: &[], size: 0 }]);
    let block = "1008 7061 7373 776f 7264 0673 6563 7265 74";
    check(4096, &[Example { block, headers: &[("password", "secret")], table: &[], size: 0 }]);
    check(4096, &[Example { block: "82", headers: &[(":method", "GET")], table: &[], size: 0 }]);
}

fn requests(blocks: [&str; 3]) {
    let authority = (":authority", "www.example.com");
    check(
        4096,
        &[
            Example {
                block: blocks[0],
                headers: &[(":method", "GET"), (":scheme", "http"), (":path", "/"), authority],
                table: &[authority],
                size: 57,
            },
            Example {
                block: blocks[1],
                headers: &[
                    (":method", "GET"),
                    (":scheme", "http"),
                    (":path", "/"),
                    authority,
                    ("cache-control", "no-cache"),
                ],
                table: &[("cache-control", "no-cache"), authority],
                size: 110,
            },
            Example {
                block: blocks[2],
                headers: &[
                    (":method", "GET"),
                    (":scheme", "https"),
                    (":path", "/index.html"),
                    authority,
                    ("custom-key", "custom-value"),
                ],
                table: &[("custom-key", "custom-value"), ("cache-control", "no-cache"), authority],
                size: 164,
            },
        ],
    );
}

#[test]
fn c_3_requests_in_plain_text() {
    requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
}

#[test]
fn c_4_requests_in_huffman_code() {
    requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
}

/// With a table of 256, so that entries are evicted.
fn responses(blocks: [&str; 3]) {
    let private = ("cache-control", "private");
    let location = ("location", LOCATION);
    check(
        256,
        &[
            Example {
                block: blocks[0],
                headers: &[(":status", "302"), private, ("date", DATE_21), location],
                table: &[location, ("date", DATE_21), private, (":status", "302")],
                size: 222,
            },
            Example {
                block: blocks[1],
                headers: &[(":status", "307"), private, ("date", DATE_21), location],
                table: &[(":status", "307"), location, ("date", DATE_21), private],
                size: 222,
            },
            Example {
                block: blocks[2],
                headers: &[
                    (":status", "200"),
                    private,
                    ("date", DATE_22),
                    location,
                    ("content-encoding", "gzip"),
                    ("set-cookie", COOKIE),
                ],
                table: &[("set-cookie", COOKIE), ("content-encoding", "gzip"), ("date", DATE_22)],
                size: 215,
            },
        ],
    );
}

#[test]
fn c_5_responses_in_plain_text() {
    responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d \
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f \
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b \
         2076 6572 7369 6f6e 3d31",
    ]);
}

#[test]
fn c_6_responses_in_huffman_code() {
    responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 \
         8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 \
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ]);
}
