//! An answer's headers, checked field by field (RFC 9113 8.2, 8.3), and its body so far.

use super::event::Answer;
use super::window::ReceiveWindow;

/// MAX_HEADER_LIST_SIZE of our SETTINGS, and a limit on fields that has no setting.
const LIST_SIZE_MAX: usize = 16_384;
const FIELDS_MAX: u32 = 128;
const FIELD_OVERHEAD: usize = 32;

/// A body buffer of more than this is not kept for the next answer.
const SPARE_MAX: usize = 1_024;

/// The headers that an `Answer` shows; their places in `Message::spans`.
const APNS_ID: usize = 0;
const UNIQUE_ID: usize = 1;
const CHANNEL_ID: usize = 2;
const REQUEST_ID: usize = 3;
const RETRY_AFTER: usize = 4;

/// The result of checking a field block.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    Interim,
    Final,
    Malformed,
    /// Over the limits; nothing of it was stored.
    TooLarge,
}

#[derive(Default)]
pub struct Message {
    status: u16,
    malformed: bool,
    regular_seen: bool,
    list_size: usize,
    fields: u32,
    content_length: Option<u64>,
    pub(super) text: Vec<u8>,
    /// Start and end in `text`; an absent header has none.
    spans: [Option<(u16, u16)>; 5],
    pub body: Vec<u8>,
    /// DATA bytes so far, without padding.
    pub received: usize,
    pub window: ReceiveWindow,
}

impl Message {
    /// Empties it for the next answer; small buffers stay.
    pub fn clear(&mut self) {
        let (mut text, mut body) = (std::mem::take(&mut self.text), std::mem::take(&mut self.body));
        text.clear();
        body.clear();
        if body.capacity() > SPARE_MAX {
            body = Vec::new();
        }
        *self = Self { text, body, ..Self::default() };
    }

    pub fn on_field(&mut self, name: &[u8], value: &[u8]) {
        self.list_size += name.len() + value.len() + FIELD_OVERHEAD;
        self.fields += 1;
        if self.is_too_large() {
            return;
        }
        match name {
            b":status" => return self.on_status(value),
            b"apns-id" => self.keep(APNS_ID, value),
            b"apns-unique-id" => self.keep(UNIQUE_ID, value),
            b"apns-channel-id" => self.keep(CHANNEL_ID, value),
            b"apns-request-id" => self.keep(REQUEST_ID, value),
            b"retry-after" => self.keep(RETRY_AFTER, value),
            b"content-length" => self.on_content_length(value),
            b"connection" | b"proxy-connection" | b"keep-alive" | b"transfer-encoding" | b"upgrade" => {
                self.malformed = true;
            }
            _ => self.malformed |= !is_name(name),
        }
        self.regular_seen = true;
        self.malformed |= !is_value(value);
    }

    /// The first block of an answer, or one after interim ones.
    pub fn judge(&self) -> Judged {
        match self.status {
            _ if self.is_too_large() => Judged::TooLarge,
            _ if self.malformed => Judged::Malformed,
            // 101 has no place in HTTP/2 (RFC 9113 8.6).
            0..100 | 101 => Judged::Malformed,
            100..200 => Judged::Interim,
            200.. => Judged::Final,
        }
    }

    /// The block after the final one: no pseudo-header may be in it (RFC 9113 8.1).
    pub fn judge_as_trailers(&self) -> Judged {
        match self.status {
            _ if self.is_too_large() => Judged::TooLarge,
            0 if !self.malformed => Judged::Final,
            _ => Judged::Malformed,
        }
    }

    /// Checks `content-length` at END_STREAM (RFC 9113 8.1.1).
    pub fn has_all_content(&self) -> bool {
        let excused = matches!(self.status, 204 | 304);
        excused || self.content_length.is_none_or(|length| length == self.received as u64)
    }

    pub fn answer<'a>(&'a self, body: &'a [u8], complete: bool) -> Answer<'a> {
        Answer {
            status: self.status,
            apns_id: self.kept(APNS_ID),
            unique_id: self.kept(UNIQUE_ID),
            channel_id: self.kept(CHANNEL_ID),
            request_id: self.kept(REQUEST_ID),
            retry_after: self.kept(RETRY_AFTER),
            body,
            complete,
        }
    }

    fn is_too_large(&self) -> bool {
        self.list_size > LIST_SIZE_MAX || self.fields > FIELDS_MAX
    }

    fn on_status(&mut self, value: &[u8]) {
        let status = match value {
            b"200" => 200,
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
            }
            _ => 0,
        };
        self.malformed |= status == 0 || self.status != 0 || self.regular_seen;
        self.status = status;
    }

    fn on_content_length(&mut self, value: &[u8]) {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
        let repeats_differ = self.content_length.is_some() && self.content_length != length;
        self.malformed |= length.is_none() || repeats_differ;
        self.content_length = length;
    }

    /// The first of several counts.
    fn keep(&mut self, which: usize, value: &[u8]) {
        if self.spans[which].is_none() {
            let start = self.text.len();
            self.text.extend_from_slice(value);
            // The list is at most 16,384 bytes, so both fit.
            self.spans[which] = Some((start as u16, self.text.len() as u16));
        }
    }

    fn kept(&self, which: usize) -> Option<&[u8]> {
        self.spans[which].map(|(start, end)| &self.text[usize::from(start)..usize::from(end)])
    }
}

/// Visible ASCII without capitals and colon: stricter than HTTP, as RFC 9113 8.2.1 asks at least.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'A'..=b'Z' | b':'))
}

fn is_value(value: &[u8]) -> bool {
    // One vector pass settles nearly all: visible text has no byte as low as CR.
    let lowest = value.iter().fold(u8::MAX, |lowest, &byte| lowest.min(byte));
    let forbidden = lowest <= b'\r' && value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'));
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !forbidden && !blank(value.first()) && !blank(value.last())
}

/// Answers whose body has not ended. Ended ones are kept to reuse their memory.
#[derive(Default)]
pub struct PartialAnswers {
    pub(super) messages: Vec<Message>,
    free: Vec<u32>,
}

impl PartialAnswers {
    /// Stores `message`, and replaces it by an empty one.
    pub fn insert(&mut self, message: &mut Message) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.messages.push(Message::default());
            (self.messages.len() - 1) as u32
        });
        std::mem::swap(&mut self.messages[at as usize], message);
        at
    }

    pub fn get_mut(&mut self, at: u32) -> &mut Message {
        &mut self.messages[at as usize]
    }

    /// Moves the answer to `message`, and keeps the old message to reuse its memory.
    pub fn remove_into(&mut self, at: u32, message: &mut Message) {
        std::mem::swap(&mut self.messages[at as usize], message);
        self.discard(at);
    }

    pub fn discard(&mut self, at: u32) {
        self.messages[at as usize].clear();
        self.free.push(at);
    }

    pub fn release(&mut self) {
        if self.free.len() == self.messages.len() {
            *self = Self::default();
        }
    }
}
