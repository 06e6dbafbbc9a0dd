//! A sealed stream that is read again and again, some chunks at a time, each block while the one before is
//! worked on.

use std::io::SeekFrom;
use std::ops::Range;

use rayon::prelude::*;
use xor_base::kernels::memory;
use xor_base::wiped::Wiped;

use super::super::layout::chunk_count;
use super::super::outer::{CHUNK_BYTES, StreamKey, TAG_BYTES, read_exactly};
use super::super::receive::Source;
use crate::PsiError;

/// Where a list stands in the plaintext of a stream.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub start: u64,
    pub count: usize,
    pub width: usize,
}

impl Span {
    fn end(&self) -> u64 {
        self.start + self.count as u64 * self.width as u64
    }
}

/// A stream that was verified, and the key of its chunks.
///
/// # Security
/// A chunk opens with its own bytes at its own place only, so every later reading gives what the first one gave,
/// or fails.
pub(in super::super) struct Sealed<'s> {
    source: &'s mut dyn Source,
    key: StreamKey,
    plain_bytes: u64,
}

impl<'s> Sealed<'s> {
    /// # Errors
    /// `BadChunk`: an empty stream has one chunk too, which no list reaches.
    pub fn new(source: &'s mut dyn Source, key: StreamKey, plain_bytes: u64) -> Result<Self, PsiError> {
        if plain_bytes == 0 {
            source.seek(SeekFrom::Start(0)).map_err(PsiError::Read)?;
            key.open(source, 0)?;
        }
        Ok(Self {
            source,
            key,
            plain_bytes,
        })
    }

    /// Gives `each` the records of a list in blocks, with the number of each block's first record, and `tick` how
    /// many have been read.
    ///
    /// # Errors
    /// `BadChunk`, `WrongLength`, `Read`, and what `each` and `tick` return.
    pub(super) fn for_each_block(
        &mut self,
        span: Span,
        chunks_at_once: u64,
        tick: &mut dyn FnMut(usize) -> Result<(), PsiError>,
        mut each: impl FnMut(usize, &[u8]) -> Result<(), PsiError> + Send,
    ) -> Result<(), PsiError> {
        if span.count == 0 || span.width == 0 {
            return Ok(());
        }
        let chunk = CHUNK_BYTES as u64;
        let mut chunks = span.start / chunk..span.end().div_ceil(chunk);
        let at = chunks.start * (chunk + TAG_BYTES as u64);
        self.source.seek(SeekFrom::Start(at)).map_err(PsiError::Read)?;
        let most = self.plain_bytes.min(chunks.end * chunk) - chunks.start * chunk;
        let most = most.min(chunks_at_once * chunk) as usize;
        let mut block = Block::new(span.width, most)?;
        let mut next = Block::new(span.width, most)?;
        let skipped = (span.start - chunks.start * chunk) as usize;
        self.load(&mut chunks, chunks_at_once, &mut block)?;
        block.start += skipped;
        let mut done = 0;
        loop {
            let (records, rest) = block.records(span.width, span.count - done);
            let is_last = chunks.is_empty();
            next.carry(rest);
            let (worked, loaded) = rayon::join(
                || each(done, records),
                || self.load(&mut chunks, chunks_at_once, &mut next),
            );
            worked?;
            loaded?;
            done += records.len() / span.width;
            tick(done)?;
            if is_last {
                return Ok(());
            }
            std::mem::swap(&mut block, &mut next);
        }
    }

    /// Reads and decrypts as many of the chunks as there is room for.
    fn load(&mut self, chunks: &mut Range<u64>, at_once: u64, block: &mut Block) -> Result<(), PsiError> {
        let (first, last) = (chunks.start, chunk_count(self.plain_bytes) - 1);
        let until = chunks.end.min(first + at_once);
        if first >= until {
            return Ok(());
        }
        let plain_end = self.plain_bytes.min(until * CHUNK_BYTES as u64);
        let plain = (plain_end - first * CHUNK_BYTES as u64) as usize;
        let sealed = plain + (until - first) as usize * TAG_BYTES;
        let sealed = block.sealed.get_mut(..sealed).ok_or(PsiError::OutOfMemory)?;
        read_exactly(self.source, sealed)?;
        block.end = block.margin + plain;
        let out = block.plain.get_mut(block.margin..block.end);
        let out = out.ok_or(PsiError::OutOfMemory)?;
        let key = &self.key;
        out.par_chunks_mut(CHUNK_BYTES)
            .zip(sealed.par_chunks(CHUNK_BYTES + TAG_BYTES))
            .enumerate()
            .try_for_each(|(number, (out, sealed))| {
                let index = first + number as u64;
                key.open_chunk(index, index == last, sealed, out)
            })?;
        chunks.start = until;
        Ok(())
    }
}

/// Memory for some chunks, and in front of them for the record that began in the chunks before.
struct Block {
    sealed: Vec<u8>,
    plain: Wiped<u8>,
    margin: usize,
    /// What is not used yet.
    start: usize,
    end: usize,
}

impl Block {
    fn new(margin: usize, bytes: usize) -> Result<Self, PsiError> {
        let sealed = memory::zeros(bytes + bytes.div_ceil(CHUNK_BYTES) * TAG_BYTES);
        Ok(Self {
            sealed: sealed.ok_or(PsiError::OutOfMemory)?,
            plain: Wiped::try_zeros(margin + bytes)?,
            margin,
            start: margin,
            end: margin,
        })
    }

    /// The records that are complete, and what follows them.
    fn records(&self, width: usize, at_most: usize) -> (&[u8], &[u8]) {
        let bytes = self.plain.get(self.start..self.end).unwrap_or_default();
        let records = (bytes.len() / width).min(at_most);
        bytes.split_at(records * width)
    }

    /// Takes what the next chunks will complete.
    fn carry(&mut self, rest: &[u8]) {
        self.start = self.margin.saturating_sub(rest.len());
        if let Some(room) = self.plain.get_mut(self.start..self.margin) {
            room.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        }
    }
}
