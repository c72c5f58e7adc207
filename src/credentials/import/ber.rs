//! Converts BER to DER: indefinite lengths, and strings in pieces, as NSS, Windows and old Keychains write them (X.690,
//! 8.1.3.6 and 8.7.3).

use crate::credentials::CredentialError;
use der::asn1::AnyRef;
use der::{Tag, Tagged};
use zeroize::Zeroizing;

/// The maximum depth of nested elements. PKCS#12 nests about ten deep.
const DEPTH_MAX: usize = 32;

const OCTET_STRING: &[u8] = &[0x04];
const OCTET_STRING_IN_PIECES: &[u8] = &[0x24];
const END_OF_CONTENTS: &[u8] = &[0, 0];

/// Rewrites one element with definite, shortest lengths and whole OCTET STRINGs; DER stays unchanged. Does not parse
/// the contents of OCTET STRINGs. Refuses truncated input, trailing bytes, and nesting deeper than [`DEPTH_MAX`].
pub fn to_der(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    // Reserved in advance: a growing vector would leave copies of the key in memory. Up to 64 KiB no length takes more
    // bytes in DER.
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len() + 64));
    let rest = element(bytes, DEPTH_MAX, &mut out)?;
    rest.is_empty().then_some(out).ok_or(CredentialError::Damaged)
}

/// The bytes of an OCTET STRING whose tag is `[0] IMPLICIT`: whole, or in pieces that are OCTET STRINGs.
pub fn implicit_octets(any: AnyRef<'_>) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let mut out = Zeroizing::new(Vec::with_capacity(any.value().len()));
    match any.tag() {
        Tag::ContextSpecific { constructed: false, number } if number.value() == 0 => {
            out.extend_from_slice(any.value());
        }
        Tag::ContextSpecific { constructed: true, number } if number.value() == 0 => {
            let mut rest = any.value();
            while !rest.is_empty() {
                rest = piece(rest, DEPTH_MAX, &mut out)?;
            }
        }
        _ => return Err(CredentialError::Damaged),
    }
    Ok(out)
}

/// The tag and length of an element.
struct Head<'a> {
    tag: &'a [u8],
    /// `None` = indefinite: until the end-of-contents octets.
    length: Option<usize>,
    rest: &'a [u8],
}

impl<'a> Head<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        const MORE: u8 = 0x80;
        // Tag numbers over 30 follow in further bytes.
        let tag_bytes = match bytes.first()? & 0x1f {
            0x1f => 2 + bytes.get(1..)?.iter().take(4).position(|byte| byte & MORE == 0)?,
            _ => 1,
        };
        let (tag, rest) = bytes.split_at_checked(tag_bytes)?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..MORE => (Some(usize::from(first)), rest),
            MORE => (None, rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & !MORE))?;
                (Some(digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit))), rest)
            }
            _ => return None,
        };
        Some(Self { tag, length, rest })
    }

    fn is_constructed(&self) -> bool {
        self.tag[0] & 0x20 != 0
    }

    /// The contents of a primitive element, and the rest after it.
    fn contents(&self) -> Option<(&'a [u8], &'a [u8])> {
        self.rest.split_at_checked(self.length?)
    }
}

/// Appends the first element; returns the rest after it.
fn element<'a>(bytes: &'a [u8], depth: usize, out: &mut Vec<u8>) -> Result<&'a [u8], CredentialError> {
    let head = Head::read(bytes).ok_or(CredentialError::Damaged)?;
    if !head.is_constructed() {
        let (contents, rest) = head.contents().ok_or(CredentialError::Damaged)?;
        out.extend(header(head.tag, contents.len()));
        out.extend_from_slice(contents);
        return Ok(rest);
    }
    let start = out.len();
    let (tag, rest) = match head.tag {
        OCTET_STRING_IN_PIECES => (OCTET_STRING, each(&head, depth, out, piece)?),
        tag => (tag, each(&head, depth, out, element)?),
    };
    let header = header(tag, out.len() - start);
    out.splice(start..start, header);
    Ok(rest)
}

/// Appends the contents of the first OCTET STRING; returns the rest after it.
fn piece<'a>(bytes: &'a [u8], depth: usize, out: &mut Vec<u8>) -> Result<&'a [u8], CredentialError> {
    let head = Head::read(bytes).ok_or(CredentialError::Damaged)?;
    match head.tag {
        OCTET_STRING => {
            let (contents, rest) = head.contents().ok_or(CredentialError::Damaged)?;
            out.extend_from_slice(contents);
            Ok(rest)
        }
        OCTET_STRING_IN_PIECES => each(&head, depth, out, piece),
        _ => Err(CredentialError::Damaged),
    }
}

type Take<'a> = fn(&'a [u8], usize, &mut Vec<u8>) -> Result<&'a [u8], CredentialError>;

/// Processes the inner elements in order; returns the rest after the whole.
fn each<'a>(head: &Head<'a>, depth: usize, out: &mut Vec<u8>, take: Take<'a>) -> Result<&'a [u8], CredentialError> {
    let depth = depth.checked_sub(1).ok_or(CredentialError::Damaged)?;
    if head.length.is_some() {
        let (mut inside, after) = head.contents().ok_or(CredentialError::Damaged)?;
        while !inside.is_empty() {
            inside = take(inside, depth, out)?;
        }
        return Ok(after);
    }
    let mut rest = head.rest;
    loop {
        match rest.strip_prefix(END_OF_CONTENTS) {
            Some(after) => return Ok(after),
            None => rest = take(rest, depth, out)?,
        }
    }
}

/// Writes tag and length in DER.
fn header(tag: &[u8], length: usize) -> Vec<u8> {
    let digits = length.to_be_bytes();
    let digits = &digits[digits.iter().take_while(|&&digit| digit == 0).count()..];
    let long = [&[0x80 | digits.len() as u8], digits].concat();
    let length = if length < 0x80 { vec![length as u8] } else { long };
    [tag, &length].concat()
}

#[cfg(test)]
mod tests;
