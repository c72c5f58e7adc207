//! Frames out of bytes as they arrive.

use super::{Agreed, Features, Frame, HEADER_BYTES, Hello, Kind, Limits, Received, Refusal, WireError};
use super::{batch, lists, outcomes, scanner::Scanner};
use bytes::Bytes;

/// Longest HELLO, with room for what later versions append.
const HELLO_BYTES_MAX: u32 = 4096;
/// A frame's place in memory grows by no more than this before its bytes are there.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// Takes the bytes of one direction of a link, and gives its frames. It keeps no more than one frame that is not
/// complete, and no more memory than twice what arrived of it, or 64 KiB.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    stage: Stage,
    /// Bytes of an incomplete header.
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// The frame whose body is not complete, and that body.
    begun: Option<Header>,
    body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing but HELLO may come.
    Hello,
    Open(Features),
}

#[derive(Debug, Clone, Copy)]
struct Header {
    kind: Kind,
    id: u64,
    bytes: usize,
}

impl Decoder {
    /// A decoder for a new link. `limits` are those that this node announces in its HELLO.
    pub fn new(limits: Limits) -> Self {
        Self { limits, stage: Stage::Hello, header: [0; HEADER_BYTES], header_bytes: 0, begun: None, body: Vec::new() }
    }

    /// Lets nothing but the agreed features come. Until then, those come that the HELLO of the peer and this release have.
    pub fn agree(&mut self, agreed: Agreed) {
        self.stage = Stage::Open(agreed.features);
    }

    /// The next frame of `input`, which is shortened by what was read. `None` once all of it is used; the rest of a frame
    /// is then awaited. After an error the decoder is of no more use.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Received>, WireError> {
        let header = match self.begun {
            Some(header) => header,
            None => match self.header(input)? {
                Some(header) => header,
                None => return Ok(None),
            },
        };
        if self.body.is_empty()
            && let Some((body, rest)) = input.split_at_checked(header.bytes)
        {
            *input = rest;
            self.begun = None;
            return self.frame(header, body, |texts| Bytes::copy_from_slice(&body[texts])).map(Some);
        }
        self.begun = Some(header);
        let missing = header.bytes - self.body.len();
        let (body, rest) = input.split_at(missing.min(input.len()));
        *input = rest;
        self.keep(body, header.bytes);
        if self.body.len() < header.bytes {
            return Ok(None);
        }
        self.begun = None;
        let body = Bytes::from(std::mem::take(&mut self.body));
        self.frame(header, &body, |texts| body.slice(texts)).map(Some)
    }

    fn header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, WireError> {
        let missing = HEADER_BYTES - self.header_bytes;
        let (bytes, rest) = input.split_at(missing.min(input.len()));
        *input = rest;
        self.header[self.header_bytes..][..bytes.len()].copy_from_slice(bytes);
        self.header_bytes += bytes.len();
        if self.header_bytes < HEADER_BYTES {
            return Ok(None);
        }
        self.header_bytes = 0;
        let [l0, l1, l2, l3, kind, reserved @ .., i0, i1, i2, i3, i4, i5, i6, i7] = self.header;
        let bytes = u32::from_le_bytes([l0, l1, l2, l3]);
        let id = u64::from_le_bytes([i0, i1, i2, i3, i4, i5, i6, i7]);
        let (kind, limit) = self.allowed(kind)?;
        if bytes > limit {
            return Err(WireError::TooLong { bytes, limit });
        }
        if reserved != [0; 3] {
            return Err(WireError::Reserved);
        }
        Ok(Some(Header { kind, id, bytes: bytes as usize }))
    }

    /// The kind of that number if it may come now, and the most bytes that it may have.
    fn allowed(&self, number: u8) -> Result<(Kind, u32), WireError> {
        let kind = Kind::parse(number);
        match (self.stage, kind) {
            (Stage::Hello, Some(Kind::Hello)) => Ok((Kind::Hello, HELLO_BYTES_MAX)),
            (Stage::Hello, _) => Err(WireError::NoHello(number)),
            (Stage::Open(_), None) => Err(WireError::UnknownKind(number)),
            (Stage::Open(_), Some(Kind::Hello)) => Err(WireError::SecondHello),
            (Stage::Open(features), Some(kind @ (Kind::Call | Kind::Result)))
                if !features.contains(Features::CALLS) =>
            {
                Err(WireError::NotAgreed(kind))
            }
            (Stage::Open(_), Some(kind)) => Ok((kind, self.limits.frame_bytes)),
        }
    }

    /// Keeps a part of a body of `total` bytes. Its memory is exactly that in the end.
    fn keep(&mut self, part: &[u8], total: usize) {
        let needed = self.body.len() + part.len();
        if needed > self.body.capacity() {
            let capacity = total.min(needed.max(2 * self.body.capacity()).max(AHEAD_BYTES_MAX));
            self.body.reserve_exact(capacity - self.body.len());
        }
        self.body.extend_from_slice(part);
    }

    fn frame(
        &mut self,
        Header { kind, id, .. }: Header,
        body: &[u8],
        part: impl Fn(std::ops::Range<usize>) -> Bytes,
    ) -> Result<Received, WireError> {
        let frame = match kind {
            Kind::Hello => {
                let hello = Hello::decode(body)?;
                // The peer may have heard our HELLO already, and what it sends next may come in the same read.
                self.stage = Stage::Open(Features::OURS.and(hello.features));
                Frame::Hello(hello)
            }
            Kind::Batch => {
                let (head, batch) = batch::decode(id, body, self.limits, part)?;
                Frame::Batch(head, batch)
            }
            Kind::Outcomes => Frame::Outcomes(outcomes::decode(body, self.limits.items)?),
            Kind::Refused => Frame::Refused(Refusal::decode(body)?),
            Kind::Ping => empty(kind, body, Frame::Ping)?,
            Kind::Pong => {
                let mut body = Scanner::new(kind, body);
                let clock_ms = body.u64()?;
                body.finish()?;
                Frame::Pong { clock_ms }
            }
            Kind::Warm => Frame::Warm(lists::decode_lanes(kind, body)?),
            Kind::Ready => Frame::Ready(lists::decode_lanes(kind, body)?),
            Kind::Status => Frame::Status(lists::decode_status(body)?),
            Kind::Seen => Frame::Seen(lists::decode_seen(body)?),
            Kind::Leaving => empty(kind, body, Frame::Leaving)?,
            Kind::Call => Frame::Call(part(0..body.len())),
            Kind::Result => Frame::Result(part(0..body.len())),
        };
        Ok(Received { id, frame })
    }
}

fn empty(kind: Kind, body: &[u8], frame: Frame) -> Result<Frame, WireError> {
    Scanner::new(kind, body).finish().map(|()| frame)
}

#[cfg(test)]
mod tests;
