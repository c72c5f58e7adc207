//! Checks SQLite's write-ahead log (WAL) before SQLite reads it: SQLite uses the log up to the first frame with a wrong
//! checksum, and drops the rest silently. The format is that of <https://www.sqlite.org/fileformat2.html#walformat>.

use std::io::{self, ErrorKind, Read};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const MAGIC: u32 = 0x377f_0682;
/// The page size of our databases, assumed for a log with a damaged header.
const USUAL_PAGE_BYTES: usize = 4096;
/// The maximum distance of the first salt of old frames. The salt grows by one each time the log restarts.
const OLDER_MAX: u32 = 1 << 16;

/// The state of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Examined {
    /// The frames that SQLite will use: up to the last complete commit.
    pub used: u64,
    pub tail: Tail,
}

/// The frames after those that SQLite will use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tail {
    /// There are no such frames, or they were not committed.
    #[default]
    Sound,
    /// The last write is truncated or unreadable, and its commit is missing.
    CutOff,
    /// There are commits after a damaged frame: SQLite drops them.
    Dropped { frames: u64, commits: u64 },
}

/// Reads a log to its end. An empty log is sound.
pub(super) fn examine(mut log: impl Read) -> io::Result<Examined> {
    let mut head = [0; HEADER_BYTES];
    if fill(&mut log, &mut head)? < HEADER_BYTES {
        return Ok(Examined::default());
    }
    let header = Header::read(&head);
    let mut state = State { salts: header.salts, sum: header.sum, is_broken: !header.is_good, ..State::default() };
    let mut frame = vec![0; FRAME_HEADER_BYTES + header.page_bytes];
    loop {
        match fill(&mut log, &mut frame)? {
            0 => return Ok(state.examined()),
            read if read < frame.len() => state.cut_off(&frame[..read]),
            _ => state.frame(&frame, header.is_big_endian),
        }
    }
}

struct Header {
    is_good: bool,
    is_big_endian: bool,
    page_bytes: usize,
    salts: [u32; 2],
    sum: [u32; 2],
}

impl Header {
    fn read(head: &[u8; HEADER_BYTES]) -> Self {
        let magic = word(head, 0);
        let is_big_endian = magic & 1 == 1;
        let sum = checksum([0; 2], &head[..24], is_big_endian);
        let page_bytes = word(head, 8) as usize;
        let has_size = page_bytes.is_power_of_two() && (512..=65_536).contains(&page_bytes);
        Self {
            is_good: magic & !1 == MAGIC && has_size && sum == [word(head, 24), word(head, 28)],
            is_big_endian,
            page_bytes: if has_size { page_bytes } else { USUAL_PAGE_BYTES },
            salts: [word(head, 16), word(head, 20)],
            sum,
        }
    }
}

#[derive(Default)]
struct State {
    salts: [u32; 2],
    /// The checksum up to the last good frame.
    sum: [u32; 2],
    is_broken: bool,
    is_cut_off: bool,
    /// The number of good frames, and of commits among them.
    good: u64,
    used: u64,
    /// The number of this log's frames after the first bad one, and of commits among them.
    behind: u64,
    commits: u64,
}

impl State {
    fn frame(&mut self, frame: &[u8], is_big_endian: bool) {
        let (page, is_commit) = (word(frame, 0), word(frame, 4) != 0);
        let sum = checksum(self.sum, &frame[..8], is_big_endian);
        let sum = checksum(sum, &frame[FRAME_HEADER_BYTES..], is_big_endian);
        let is_ours = page != 0 && self.salts == [word(frame, 8), word(frame, 12)];
        if !self.is_broken && is_ours && sum == [word(frame, 16), word(frame, 20)] {
            self.sum = sum;
            self.good += 1;
            if is_commit {
                self.used = self.good;
            }
            return;
        }
        self.is_broken = true;
        if is_ours || self.has_one_salt(frame) {
            self.behind += 1;
            self.commits += u64::from(is_commit);
        } else if !self.is_older(frame) {
            self.is_cut_off = true;
        }
    }

    fn cut_off(&mut self, part: &[u8]) {
        self.is_broken = true;
        self.is_cut_off |= part.len() < FRAME_HEADER_BYTES || !self.is_older(part);
    }

    /// Returns true if only one salt is damaged: in another log's frames both differ.
    fn has_one_salt(&self, frame: &[u8]) -> bool {
        self.salts[0] == word(frame, 8) || self.salts[1] == word(frame, 12)
    }

    /// Returns true if a frame is left from before the last restart of the log.
    fn is_older(&self, frame: &[u8]) -> bool {
        word(frame, 0) != 0 && (1..=OLDER_MAX).contains(&self.salts[0].wrapping_sub(word(frame, 8)))
    }

    fn examined(&self) -> Examined {
        let tail = match self {
            Self { commits: 0, behind: 0, is_cut_off: false, .. } => Tail::Sound,
            Self { commits: 0, .. } => Tail::CutOff,
            // Good frames without a commit belong to the dropped commit.
            Self { commits, .. } => Tail::Dropped { frames: self.good - self.used + self.behind, commits: *commits },
        };
        Examined { used: self.used, tail }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn checksum([mut one, mut two]: [u32; 2], bytes: &[u8], is_big_endian: bool) -> [u32; 2] {
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let word = word(pair, at);
            if is_big_endian { word } else { word.swap_bytes() }
        };
        one = one.wrapping_add(word(0)).wrapping_add(two);
        two = two.wrapping_add(word(4)).wrapping_add(one);
    }
    [one, two]
}

/// Reads until the buffer is full or the input ends. Returns the number of bytes.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match log.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
