//! Walks strict JSON (RFC 8259) once, long strings many bytes at a time. Copies nothing. Returns `None` for anything
//! unexpected, without an explanation.

use super::scan::end_of_plain_text;

/// A position in a text. Unusable after it returned `None`.
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn over(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is not white space, without consuming it.
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// The text from the next byte that is not white space, without consuming it.
    pub fn ahead(&mut self) -> &'a [u8] {
        self.peek();
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Returns `true` if only white space is left.
    pub fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Consumes this byte, and white space before it.
    pub fn take(&mut self, byte: u8) -> Option<()> {
        self.take_if(byte).then_some(())
    }

    /// Consumes this byte if it is next. Returns true if it was.
    pub fn take_if(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Consumes the comma between two members or items, or the end. Returns true at the end.
    pub fn comma_or(&mut self, end: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == b',' { Some(false) } else { (byte == end).then_some(true) }
    }

    /// Returns the text that `walk` consumes.
    pub fn text_of(&mut self, walk: impl FnOnce(&mut Self) -> Option<()>) -> Option<&'a str> {
        self.peek()?;
        let start = self.at;
        walk(self)?;
        self.text.get(start..self.at)
    }

    /// A string's content as written.
    pub fn string(&mut self) -> Option<&'a str> {
        self.string_with(Self::escape)
    }

    /// A string's content, if it has no escapes.
    pub fn plain_string(&mut self) -> Option<&'a str> {
        self.string_with(|_| None)
    }

    /// An integer of at most 18 digits.
    pub fn integer(&mut self) -> Option<u64> {
        self.peek()?;
        let start = self.at;
        self.digits_of_integer()?;
        if matches!(self.byte(), Some(b'.' | b'e' | b'E')) || self.at - start > 18 {
            return None;
        }
        self.text.get(start..self.at)?.parse().ok()
    }

    /// A number in any notation.
    pub fn number(&mut self) -> Option<()> {
        self.at += usize::from(self.byte()? == b'-');
        self.digits_of_integer()?;
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Some(())
    }

    /// `true`, `false` or `null`.
    pub fn word(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word.as_bytes()))?;
        self.at += word.len();
        Some(())
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn string_with(&mut self, escape: impl Fn(&mut Self) -> Option<()>) -> Option<&'a str> {
        self.take(b'"')?;
        let start = self.at;
        loop {
            self.at += end_of_plain_text(self.text.as_bytes().get(self.at..)?);
            match self.byte()? {
                b'"' => {
                    self.at += 1;
                    return self.text.get(start..self.at - 1);
                }
                b'\\' => escape(self)?,
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let (escape, rest) = self.text.as_bytes().get(self.at + 1..)?.split_first()?;
        let length = match escape {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' => rest.first_chunk::<4>()?.iter().all(u8::is_ascii_hexdigit).then_some(6)?,
            _ => return None,
        };
        self.at += length;
        Some(())
    }

    fn digits_of_integer(&mut self) -> Option<()> {
        if self.byte()? == b'0' {
            self.at += 1;
            return (!self.byte().is_some_and(|byte| byte.is_ascii_digit())).then_some(());
        }
        self.digits()
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}
