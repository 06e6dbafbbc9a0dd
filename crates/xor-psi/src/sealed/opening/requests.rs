//! Labels that are looked up among cells which pass by in the order of their labels.

use rayon::prelude::*;
use xor_base::wiped::Wiped;

use super::super::layout::SECRET_BYTES;
use super::super::order::head;
use super::super::secrets::Secret;
use super::super::spill::{Spill, Spilled};
use super::room::Room;
use super::strand;
use crate::PsiError;

/// How a request is written: label ‖ key ‖ (a piece's number ‖ its place) ‖ (a strand).
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub label: usize,
    /// One of several cells of a key.
    pub is_piece: bool,
    /// What was found for the key before.
    pub has_strand: bool,
}

const PIECE_BYTES: usize = 16;

impl Form {
    fn fixed_bytes(&self) -> usize {
        self.label + SECRET_BYTES + if self.is_piece { PIECE_BYTES } else { 0 }
    }
}

/// Requests, collected in parts by the leading bits of their labels.
pub(super) struct Requests {
    spill: Spill,
    form: Form,
    count: u64,
    parts: usize,
    record: Vec<u8>,
}

impl Requests {
    /// Room for about `count` requests with strands of `strand` bytes.
    ///
    /// # Errors
    /// As `Spill::new`.
    pub fn new(room: &Room, form: Form, count: usize, strand: usize) -> Result<Self, PsiError> {
        let bytes = count as u64 * (form.fixed_bytes() + strand) as u64;
        let parts = room.parts(bytes);
        Ok(Self {
            spill: Spill::new(&room.directory, parts)?,
            form,
            count: 0,
            parts,
            record: Vec::new(),
        })
    }

    /// Takes a label, and in one piece what follows it in the record.
    ///
    /// # Errors
    /// As `Spill::push`.
    pub fn push(&mut self, label: &[u8], key: &Secret, rest: &[u8]) -> Result<(), PsiError> {
        self.record.clear();
        self.record.extend_from_slice(label);
        self.record.extend_from_slice(key);
        self.record.extend_from_slice(rest);
        self.count += 1;
        self.spill.push(part_of(label, self.parts), &self.record)
    }

    /// # Errors
    /// As `Spill::finish`.
    pub fn finish(self) -> Result<Asked, PsiError> {
        Ok(Asked {
            spilled: self.spill.finish()?,
            form: self.form,
            count: self.count,
        })
    }
}

/// The part of `parts` that a label belongs to: ascends with the label.
fn part_of(label: &[u8], parts: usize) -> usize {
    ((u128::from(head(label)) * parts as u128) >> u64::BITS) as usize
}

/// All requests of a pass.
pub(super) struct Asked {
    spilled: Spilled,
    form: Form,
    pub count: u64,
}

impl Asked {
    pub fn part_of(&self, label: &[u8]) -> usize {
        part_of(label, self.spilled.parts())
    }

    /// The requests of a part, sorted by their labels.
    ///
    /// # Errors
    /// As `Spilled::read`; `OutOfMemory`.
    pub fn load(&self, part: usize) -> Result<Sorted, PsiError> {
        let bytes = self.spilled.read(part)?;
        let form = self.form;
        let mut entries = Vec::new();
        let least = bytes.len() / form.fixed_bytes();
        let most = if form.has_strand { 0 } else { least };
        entries.try_reserve(most).map_err(|_| PsiError::OutOfMemory)?;
        let mut at = 0;
        while let Some(label) = bytes.get(at..at + form.label) {
            entries.push(Entry {
                head: head(label),
                at,
            });
            at += form.fixed_bytes();
            if form.has_strand {
                at += strand::length(bytes.get(at..).unwrap_or_default());
            }
        }
        let label = |entry: &Entry| bytes.get(entry.at..entry.at + form.label);
        entries.par_sort_unstable_by(|left, right| {
            let by_head = left.head.cmp(&right.head);
            by_head.then_with(|| label(left).cmp(&label(right)))
        });
        Ok(Sorted { bytes, entries, form })
    }
}

struct Entry {
    /// The label's first bytes as a number.
    head: u64,
    at: usize,
}

/// Some requests in the order of their labels.
pub(super) struct Sorted {
    bytes: Wiped<u8>,
    entries: Vec<Entry>,
    form: Form,
}

/// One request.
#[derive(Clone, Copy)]
pub(super) struct Request<'r> {
    pub key: &'r Secret,
    /// Its number among the key's cells, and where it belongs.
    pub piece: (u64, u64),
    pub strand: &'r [u8],
}

impl Sorted {
    fn label(&self, entry: &Entry) -> &[u8] {
        self.bytes
            .get(entry.at..entry.at + self.form.label)
            .unwrap_or_default()
    }

    fn request(&self, entry: &Entry) -> Option<Request<'_>> {
        let rest = self.bytes.get(entry.at + self.form.label..)?;
        let (key, mut rest) = rest.split_first_chunk()?;
        let mut piece = (0, 0);
        if self.form.is_piece {
            let (number, following) = rest.split_first_chunk()?;
            let (place, following) = following.split_first_chunk()?;
            piece = (u64::from_le_bytes(*number), u64::from_le_bytes(*place));
            rest = following;
        }
        let strand = match self.form.has_strand {
            true => rest.get(..strand::length(rest))?,
            false => &[],
        };
        Some(Request { key, piece, strand })
    }

    /// Gives `found` each request and the number of the cell that has its label. Cells ascend.
    pub fn merge<'r>(&'r self, cells: &[u8], width: usize, mut found: impl FnMut(Request<'r>, usize)) {
        let length = self.form.label;
        let first = head(cells.get(..length).unwrap_or_default());
        let mut next = self.entries.partition_point(|entry| entry.head < first);
        for (cell, number) in cells.chunks_exact(width).zip(0..) {
            let label = cell.get(..length).unwrap_or_default();
            let place = head(label);
            while let Some(entry) = self.entries.get(next).filter(|entry| entry.head <= place) {
                if entry.head == place {
                    match self.label(entry).cmp(label) {
                        std::cmp::Ordering::Less => {}
                        std::cmp::Ordering::Greater => break,
                        std::cmp::Ordering::Equal => {
                            if let Some(request) = self.request(entry) {
                                found(request, number);
                            }
                        }
                    }
                }
                next += 1;
            }
        }
    }
}
