//! The encoder against a strict peer: any Heads, messages and SETTINGS arrive unchanged, and both tables agree.

use super::input::Input;
use super::naive_hpack::{Field, NaiveDecoder};
use http2::hpack::Encoder;
use http2::request::{Head, Method, Request};

/// Enough to pass the encoder's restart of a crowded table twice.
const BLOCKS_MAX: u32 = 10_000;

/// A repeated request is sent this often.
const REPEATS: u32 = 4_500;

/// The first bytes of what may happen; each reaches up to the next.
pub const SETTINGS: u8 = 0;
pub const HEAD: u8 = 32;
pub const REQUEST: u8 = 64;
pub const REPEATED: u8 = u8::MAX;

const METHODS: [Method; 3] = [Method::Get, Method::Post, Method::Delete];
const SHARED: [&str; 6] =
    ["authorization", "apns-topic", "apns-push-type", "apns-priority", "apns-expiration", "content-type"];
const PER_MESSAGE: [&str; 6] =
    ["apns-id", "apns-expiration", "apns-collapse-id", "apns-request-id", "content-type", "apns-topic"];

/// An input is a list of what happens to the encoder: SETTINGS, a new Head, or a request with one of the Heads.
pub fn hpack_encoder(input: &[u8]) {
    let mut input = Input::new(input);
    let (mut encoder, mut peer) = (Encoder::new(), NaiveDecoder::new(4_096));
    let mut heads = vec![head(&mut input)];
    let mut blocks = 0;
    while !input.is_empty() && blocks < BLOCKS_MAX {
        match input.byte() {
            SETTINGS..HEAD => {
                let limit = input.number();
                encoder.set_table_size_max(limit);
                peer.set_limit(limit as usize);
            }
            HEAD..REQUEST => heads.push(head(&mut input)),
            kind => {
                let head = &heads[usize::from(input.byte()) % heads.len()];
                let token = input.text();
                let fields: Vec<_> = (0..input.byte() % 5)
                    .map(|_| (PER_MESSAGE[usize::from(input.byte()) % PER_MESSAGE.len()], input.text()))
                    .collect();
                let request = Request { head, path: [b"/3/device/", token], fields: &fields, body: b"" };
                let times = if kind == REPEATED { REPEATS } else { 1 };
                send(&request, times, &mut encoder, &mut peer);
                blocks += times;
            }
        }
    }
}

/// Values are spelled out, or one letter many times: large ones from little input.
fn head(input: &mut Input<'_>) -> Head {
    let method = METHODS[usize::from(input.byte()) % METHODS.len()];
    let authority = value(input);
    let fields: Vec<_> =
        (0..input.byte() % 8).map(|_| (SHARED[usize::from(input.byte()) % SHARED.len()], value(input))).collect();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &value[..])).collect();
    Head::new(method, &authority, &fields)
}

fn value(input: &mut Input<'_>) -> String {
    let visible = |byte: &u8| char::from(b' ' + byte % 95);
    match input.byte() {
        letter @ ..0x80 => visible(&letter).to_string().repeat(input.length()),
        _ => input.text().iter().map(visible).collect(),
    }
}

pub fn wanted(request: &Request<'_>) -> Vec<Field> {
    let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
    let path = (b":path".to_vec(), request.path.concat());
    let own = request.fields.iter().map(|(name, value)| owned((name.as_bytes(), value)));
    request.head.pseudo().map(owned).chain([path]).chain(request.head.fields().map(owned)).chain(own).collect()
}

/// Sends a request so many times.
fn send(request: &Request<'_>, times: u32, encoder: &mut Encoder, peer: &mut NaiveDecoder) {
    let mut harmless = None;
    for _ in 0..times {
        let mut out = b"before".to_vec();
        encoder.encode(request, &mut out);
        // A block that left the tables unchanged does so again, so that it is not read again.
        if harmless.as_ref() == Some(&out) {
            continue;
        }
        let entries = peer.entries().to_vec();
        check(request, &out, encoder, peer);
        harmless = (entries == peer.entries()).then_some(out);
    }
}

fn check(request: &Request<'_>, out: &[u8], encoder: &Encoder, peer: &mut NaiveDecoder) {
    let block = out.strip_prefix(b"before").expect("the earlier output stays");
    assert!(block.len() <= request.list_size() + 6);
    assert!(peer.decode(block).is_ok_and(|fields| fields == wanted(request)), "{block:02x?}");
    let table = encoder.table();
    assert_eq!((table.size(), table.size_max()), (peer.size(), peer.size_max()));
    assert_eq!(table.entry_count(), peer.entries().len());
    for (entry, index) in peer.entries().iter().zip(62..) {
        assert_eq!(table.get(index), Some((&entry.0[..], &entry.1[..])));
    }
}
