//! Batches of another node to begin with, good ones and one for each rule.

use super::Seed;

/// An item: what there is of it, its push type, and start and length of its texts.
type Item<'a> = (u8, u8, &'a [(u8, u8)]);

fn seed(texts: &str, items: &[Item<'_>]) -> Vec<u8> {
    let length = u8::try_from(texts.len()).ok().filter(|length| *length < 0x80).expect("short texts");
    let mut seed = vec![length];
    seed.extend_from_slice(texts.as_bytes());
    for (has, push_type, spans) in items {
        seed.extend_from_slice(&[*has, *push_type]);
        seed.extend(spans.iter().flat_map(|(start, length)| [*start, *length]));
    }
    seed
}

const TEXTS: &str = r#"00fc{"aps":{}}"one"game 7com.example.app"#;
const TOKEN: (u8, u8) = (0, 4);
const PAYLOAD: (u8, u8) = (4, 10);
const IDENTIFIER: (u8, u8) = (14, 5);
const COLLAPSE_ID: (u8, u8) = (19, 6);
const TOPIC: (u8, u8) = (25, 15);

pub fn seeds() -> Vec<Seed> {
    let full: Item<'_> = (7, 0, &[TOKEN, PAYLOAD, IDENTIFIER, COLLAPSE_ID, TOPIC]);
    let one = |has, spans: &[(u8, u8)]| seed(TEXTS, &[full, (has, 0, spans)]);
    vec![
        ("good", seed(TEXTS, &[full])),
        ("good_many", seed(TEXTS, &[full, (0, 2, &[TOKEN, PAYLOAD]), full, full])),
        ("good_number", seed("00fc{}-45.5e7", &[(1, 0, &[(0, 4), (4, 2), (6, 7)])])),
        ("good_escapes", seed(r#"00{}"\u00e9\n""#, &[(1, 0, &[(0, 2), (2, 2), (4, 10)])])),
        ("good_none", seed("", &[])),
        ("bad_token_odd", one(0, &[(0, 3), PAYLOAD])),
        ("bad_token_text", one(0, &[(4, 2), PAYLOAD])),
        ("bad_token_empty", one(0, &[(0, 0), PAYLOAD])),
        ("bad_payload", one(0, &[TOKEN, (5, 3)])),
        ("bad_payload_outside", one(0, &[TOKEN, (200, 3)])),
        ("bad_payload_far", [seed(TEXTS, &[]), vec![0, 0, 0, 4, 255, 255, 255, 255, 255, 10]].concat()),
        ("bad_identifier", one(1, &[TOKEN, PAYLOAD, (15, 4)])),
        ("bad_identifier_more", one(1, &[TOKEN, PAYLOAD, (14, 6)])),
        ("bad_collapse_id", one(2, &[TOKEN, PAYLOAD, (19, 5)])),
        ("bad_topic", one(4, &[TOKEN, PAYLOAD, (25, 0)])),
        ("bad_utf8", seed("00{\"é\"}", &[(0, 0, &[(0, 2), (2, 3)])])),
    ]
}
