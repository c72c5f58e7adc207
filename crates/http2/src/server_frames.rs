//! A server's frames, built by hand: for the tests of this crate and for the fuzz targets.

use crate::frame::{FrameHead, StreamId, flag, kind};

/// `:status 200`, indexed.
pub const OK: &[u8] = &[0x88];

pub fn frame(kind: u8, flags: u8, stream: StreamId, payload: &[u8]) -> Vec<u8> {
    let mut bytes = FrameHead { length: payload.len(), kind, flags, stream }.bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

pub fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let entry = |&(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, &entries.iter().flat_map(entry).collect::<Vec<_>>())
}

pub fn headers(stream: StreamId, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flags | flag::END_HEADERS, stream, block)
}

/// A whole answer without a body.
pub fn ok(stream: StreamId) -> Vec<u8> {
    headers(stream, flag::END_STREAM, OK)
}

pub fn data(stream: StreamId, flags: u8, data: &[u8]) -> Vec<u8> {
    frame(kind::DATA, flags, stream, data)
}

pub fn rst_stream(stream: StreamId, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub fn goaway(last_id: StreamId, code: u32, debug: &[u8]) -> Vec<u8> {
    frame(kind::GOAWAY, 0, 0, &[&last_id.to_be_bytes()[..], &code.to_be_bytes(), debug].concat())
}

pub fn window_update(stream: StreamId, increment: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub fn ping(flags: u8, opaque: u64) -> Vec<u8> {
    frame(kind::PING, flags, 0, &opaque.to_be_bytes())
}

/// A field block of literals that touch no table.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let length = text.len();
            if length < 127 {
                block.push(length as u8);
            } else {
                let rest = length - 127;
                block.extend([127, (rest % 128) as u8 | 128, (rest / 128) as u8]);
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// Every kind of frame, each in several shapes.
pub fn recording() -> Vec<u8> {
    let padded = data(3, flag::PADDED, b"\x04{\"reason\":....");
    let answer = [OK, &block(&[("apns-id", "123e4567"), ("apns-unique-id", "42")])].concat();
    [
        headers(1, 0, &block(&[(":status", "103"), ("link", "x")])),
        frame(
            kind::HEADERS,
            flag::END_STREAM | flag::PADDED | flag::PRIORITY,
            1,
            &[&[2, 0, 0, 0, 0, 9], &answer[..3], &[0, 0]].concat(),
        ),
        frame(kind::CONTINUATION, 0, 1, &answer[3..9]),
        frame(kind::CONTINUATION, 0, 1, &[]),
        frame(kind::CONTINUATION, flag::END_HEADERS, 1, &answer[9..]),
        ping(0, 0x0102_0304_0506_0708),
        headers(3, 0, &block(&[(":status", "410"), ("content-length", "22")])),
        padded,
        window_update(5, 500),
        settings(&[(3, 77), (4, 1_200), (1, 128)]),
        frame(0xbe, 0xef, 9, b"unknown"),
        data(3, 0, b"\"Unregistere"),
        headers(3, flag::END_STREAM, &block(&[("trailer", "yes")])),
        window_update(5, 2_000),
        window_update(0, 10),
        frame(kind::PRIORITY, 0, 5, &[0; 5]),
        headers(5, 0, &block(&[(":status", "400")])),
        data(5, flag::END_STREAM, b"{\"reason\":\"BadTopic\"}"),
        data(5, flag::END_STREAM, b"late"),
        rst_stream(1, 8),
        goaway(5, 0, b"{\"reason\":\"Shutdown\"}"),
    ]
    .concat()
}
