//! Keys of several cells: the second pass puts each cell into its slot, then they are put together.

use rayon::prelude::*;

use super::super::layout::SECRET_BYTES;
use super::super::secrets::xor;
use super::super::written::{StringLength, readable_row};
use super::lookup::{Group, Sink, count_rows, hand_on};
use super::pieces::{Filled, Head, Pieces, READABLE_HEAD_BYTES, slot_bytes, split};
use super::scan::{Match, Stage};
use super::side::Lists;
use super::singles::{Masks, open_readable};
use crate::{OpeningError, PsiError};

/// Keys of several cells that are put together at once, and the bytes of their strands.
const HEADS_AT_ONCE: usize = 1 << 14;
const STRAND_BYTES_AT_ONCE: usize = 1 << 22;
const HEADS_PER_TASK: usize = 1 << 8;

/// The second pass: cells of keys that have several, each into its slot.
pub(super) struct Slots<'a, 'p> {
    pub lists: &'a Lists<'a>,
    pub pieces: &'p mut Pieces,
}

impl Stage for Slots<'_, '_> {
    type Found = Vec<u8>;

    fn open(&self, matches: &[Match<'_>]) -> Result<Self::Found, PsiError> {
        let masks = Masks::derive(self.lists, matches);
        let shape = self.lists.shape;
        let mut bytes = Vec::with_capacity(matches.len() * slot_bytes(self.lists));
        for (number, found) in matches.iter().enumerate() {
            if shape.is_readable {
                let (secret, _) = open_readable(self.lists, found.body, masks.of(number))?;
                bytes.extend_from_slice(&(found.cell as u64 + 1).to_le_bytes());
                bytes.extend_from_slice(&secret);
                bytes.extend_from_slice(found.body.get(shape.secret_bytes()..).unwrap_or_default());
            } else {
                let start = bytes.len();
                bytes.extend_from_slice(found.body);
                xor(bytes.get_mut(start..).unwrap_or_default(), masks.of(number));
            }
        }
        Ok(bytes)
    }

    fn keep(&mut self, matches: &[Match<'_>], slots: Self::Found) -> Result<(), PsiError> {
        for (found, slot) in matches.iter().zip(slots.chunks_exact(slot_bytes(self.lists))) {
            // A readable cell may lie behind the end of its key's rows; see `readable_rows`.
            if !self.lists.shape.is_readable {
                self.lists.claim(found.cell)?;
            }
            self.pieces.put(found.request.piece.1, slot)?;
        }
        Ok(())
    }
}

/// Puts keys of several cells together, part by part.
///
/// # Errors
/// `Opening`; as `Spilled::read`.
pub(super) fn assemble<S: Sink>(
    lists: &Lists<'_>,
    mut filled: Filled,
    has_strand: bool,
    sink: &mut S,
) -> Result<(), PsiError> {
    let (mut heads, mut strands) = (Vec::<Head>::new(), Vec::new());
    let mut part: Option<(usize, Vec<u8>)> = None;
    while let Some(head) = filled.next_head(&mut strands, has_strand)? {
        let (number, _) = split(head.place);
        let is_loaded = part.as_ref().is_some_and(|(loaded, _)| *loaded == number);
        if !is_loaded {
            // The head's own strand is the last and stays.
            finish_heads(lists, &heads, &strands, (&part, has_strand), sink)?;
            heads.clear();
            drop(part.take());
            part = Some((number, filled.load(number)?));
        }
        heads.push(head);
        if heads.len() >= HEADS_AT_ONCE || strands.len() >= STRAND_BYTES_AT_ONCE {
            finish_heads(lists, &heads, &strands, (&part, has_strand), sink)?;
            heads.clear();
            strands.clear();
        }
    }
    finish_heads(lists, &heads, &strands, (&part, has_strand), sink)
}

fn finish_heads<S: Sink>(
    lists: &Lists<'_>,
    heads: &[Head],
    strands: &[u8],
    (part, is_second): (&Option<(usize, Vec<u8>)>, bool),
    sink: &mut S,
) -> Result<(), PsiError> {
    let Some((_, slots)) = part else {
        return Ok(());
    };
    let finished = heads
        .par_chunks(HEADS_PER_TASK)
        .map(|heads| {
            let (mut bytes, mut groups) = (Vec::new(), Vec::new());
            for (from, head) in heads.iter().enumerate() {
                let (_, slot) = split(head.place);
                let width = slot_bytes(lists);
                let slots = slots.get(slot * width..(slot + head.run) * width);
                let slots = slots.ok_or(OpeningError::BadLength)?;
                if lists.shape.is_readable {
                    let group = readable_rows(lists, (from, head), slots, &mut bytes)?;
                    if group.is_none() && is_second {
                        return Err(OpeningError::MissingCell.into());
                    }
                    groups.extend(group);
                } else {
                    groups.push(closed_rows(lists, (from, head), slots, slot * width)?);
                }
            }
            let ready = sink.prepare(&groups);
            Ok((heads, bytes, groups, ready))
        })
        .collect::<Result<Vec<_>, PsiError>>()?;
    for (heads, bytes, groups, ready) in finished {
        let strand = |from: usize| {
            let head: Option<&Head> = heads.get(from);
            head.and_then(|head| strands.get(head.strand.clone()))
                .unwrap_or_default()
        };
        let bytes = if lists.shape.is_readable { &bytes } else { slots };
        hand_on(lists, (&groups, bytes), strand, &ready, sink)?;
    }
    Ok(())
}

/// The rows of a string of several cells, which begins at `start` of all slots.
fn closed_rows(
    lists: &Lists<'_>,
    (from, head): (usize, &Head),
    string: &[u8],
    start: usize,
) -> Result<Group, PsiError> {
    let length = StringLength::read(lists.shape, string, head.run)?;
    let (secret, rows) = length.split(lists.shape, string)?;
    let end = start + length.total;
    Ok(Group {
        key: head.key,
        secret,
        rows: end - rows.len()..end,
        count: count_rows(lists, rows)?,
        from,
    })
}

/// The rows of a readable key: those up to the first number that no cell has. What lies behind belongs to no key.
fn readable_rows(
    lists: &Lists<'_>,
    (from, head): (usize, &Head),
    slots: &[u8],
    bytes: &mut Vec<u8>,
) -> Result<Option<Group>, PsiError> {
    let (start, mut secret, mut count) = (bytes.len(), None, 0);
    for slot in slots.chunks_exact(slot_bytes(lists)) {
        let (place, record) = slot
            .split_at_checked(READABLE_HEAD_BYTES)
            .ok_or(OpeningError::BadLength)?;
        let (cell, held) = place.split_at(READABLE_HEAD_BYTES - SECRET_BYTES);
        let cell = cell
            .first_chunk()
            .map_or(0, |cell| u64::from_le_bytes(*cell) as usize);
        let Some(cell) = cell.checked_sub(1) else {
            break;
        };
        lists.claim(cell)?;
        if secret.is_some_and(|secret| secret != held) {
            return Err(OpeningError::MixedGroup.into());
        }
        secret = Some(held);
        let row = readable_row(lists.codec, record)?;
        bytes.extend_from_slice(row.ok_or(OpeningError::BadRow)?);
        count += 1;
    }
    Ok(secret.map(|secret| Group {
        key: head.key,
        secret: secret.try_into().unwrap_or_default(),
        rows: start..bytes.len(),
        count,
        from,
    }))
}
