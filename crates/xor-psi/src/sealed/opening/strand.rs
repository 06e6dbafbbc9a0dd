//! The rows of a key as they lie in spill files: `rows (u32) ‖ bytes (u32) ‖ the rows`.
//!
//! Rows that are long together stand once in a file of their own, and only where they stand goes round.

use std::path::{Path, PathBuf};

use xor_base::wiped::Wiped;

use super::super::spill::{BLOCK_BYTES, Spill, Spilled};
use crate::PsiError;

pub(super) const HEADER_BYTES: usize = 8;
/// In place of the length: offset (u64) and length (u64) follow.
const ELSEWHERE: u32 = u32::MAX;
const PLACE_BYTES: usize = 16;
/// Half a block: reading it back from another place costs at most two.
const LONGEST: usize = BLOCK_BYTES / 2;

/// A strand as it was written.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub rows: usize,
    length: u32,
}

impl Header {
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Self {
        let (rows, length) = bytes.split_at(4);
        let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        Self {
            rows: number(rows) as usize,
            length: number(length),
        }
    }

    /// What follows the header.
    pub fn bytes(&self) -> usize {
        match self.length {
            ELSEWHERE => PLACE_BYTES,
            length => length as usize,
        }
    }

    pub fn is_elsewhere(&self) -> bool {
        self.length == ELSEWHERE
    }
}

/// The length of the strand at the start of `bytes`.
pub(super) fn length(bytes: &[u8]) -> usize {
    bytes
        .first_chunk()
        .map_or(0, |header| HEADER_BYTES + Header::read(header).bytes())
}

/// How many rows the strand at the start of `bytes` has.
pub(super) fn rows(bytes: &[u8]) -> usize {
    bytes.first_chunk().map_or(0, |header| Header::read(header).rows)
}

/// Appends a strand with its rows, which are shorter than 4 GiB. Counts are below the bound of a side.
pub(super) fn append_inline(count: usize, rows: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(count as u32).to_le_bytes());
    out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    out.extend_from_slice(rows);
}

/// Writes strands, and long rows into a file beside.
pub(super) struct Strands {
    directory: PathBuf,
    long: Option<Spill>,
    at: u64,
}

impl Strands {
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            long: None,
            at: 0,
        }
    }

    /// Appends a strand to `out`.
    ///
    /// # Errors
    /// As `Spill::push`.
    pub fn append(&mut self, count: usize, rows: &[u8], out: &mut Vec<u8>) -> Result<(), PsiError> {
        if rows.len() <= LONGEST {
            append_inline(count, rows, out);
            return Ok(());
        }
        out.extend_from_slice(&(count as u32).to_le_bytes());
        let long = match &mut self.long {
            Some(long) => long,
            None => self.long.insert(Spill::new(&self.directory, 1)?),
        };
        long.push(0, rows)?;
        out.extend_from_slice(&ELSEWHERE.to_le_bytes());
        out.extend_from_slice(&self.at.to_le_bytes());
        out.extend_from_slice(&(rows.len() as u64).to_le_bytes());
        self.at += rows.len() as u64;
        Ok(())
    }

    /// The file of the long rows, if there are any.
    ///
    /// # Errors
    /// As `Spill::finish`.
    pub fn finish(self) -> Result<Option<Spilled>, PsiError> {
        self.long.map(Spill::finish).transpose()
    }
}

/// Where one stands in a part of a spill file.
#[derive(Default)]
pub(super) struct Cursor {
    part: usize,
    block: usize,
    bytes: Wiped<u8>,
    at: usize,
    end: usize,
}

impl Cursor {
    pub fn new(part: usize) -> Self {
        Self {
            part,
            ..Self::default()
        }
    }

    /// Whether nothing follows.
    ///
    /// # Errors
    /// As `Spilled::read`.
    pub fn is_at_end(&mut self, spilled: &Spilled) -> Result<bool, PsiError> {
        if self.at < self.end {
            return Ok(false);
        }
        let length = spilled.read_one(self.part, self.block, &mut self.bytes)?;
        self.block += 1;
        (self.at, self.end) = (0, length.unwrap_or(0));
        Ok(length.is_none())
    }

    /// Appends the next `length` bytes to `out`.
    ///
    /// # Errors
    /// As `Spilled::read`; `OutOfMemory`.
    pub fn append(&mut self, spilled: &Spilled, length: usize, out: &mut Vec<u8>) -> Result<(), PsiError> {
        out.try_reserve(length).map_err(|_| PsiError::OutOfMemory)?;
        let mut missing = length;
        while missing > 0 && !self.is_at_end(spilled)? {
            let now = missing.min(self.end - self.at);
            out.extend_from_slice(self.bytes.get(self.at..self.at + now).unwrap_or_default());
            self.at += now;
            missing -= now;
        }
        Ok(())
    }

    /// The next `N` bytes; zeros behind the end.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn array<const N: usize>(&mut self, spilled: &Spilled) -> Result<[u8; N], PsiError> {
        let mut out = [0; N];
        let mut rest = out.as_mut_slice();
        while !rest.is_empty() && !self.is_at_end(spilled)? {
            let now = rest.len().min(self.end - self.at);
            let (to, following) = rest.split_at_mut(now);
            to.copy_from_slice(self.bytes.get(self.at..self.at + now).unwrap_or_default());
            self.at += now;
            rest = following;
        }
        Ok(out)
    }

    /// Appends the rows of a strand, of which the header was read: here, or in the file of the long ones.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_rows(
        &mut self,
        [spilled, long]: [&Spilled; 2],
        header: Header,
        out: &mut Vec<u8>,
    ) -> Result<(), PsiError> {
        if !header.is_elsewhere() {
            return self.append(spilled, header.bytes(), out);
        }
        let offset = u64::from_le_bytes(self.array(spilled)?) as usize;
        let length = u64::from_le_bytes(self.array(spilled)?) as usize;
        let mut there = Self {
            block: offset / BLOCK_BYTES,
            ..Self::default()
        };
        there.is_at_end(long)?;
        there.at = offset % BLOCK_BYTES;
        there.append(long, length, out)
    }
}
