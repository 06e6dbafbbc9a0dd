//! Keys with several cells: each cell has a slot, and a key's slots lie side by side.

use std::ops::Range;

use xor_base::kernels::memory;

use super::super::secrets::Secret;
use super::super::spill::{Spill, Spilled};
use super::requests::{Asked, Form, Requests};
use super::room::Room;
use super::side::Lists;
use super::strand::{self, Cursor};
use crate::{OpeningError, PsiError};

/// Cells whose labels are derived at once.
const CELLS_AT_ONCE: u64 = 64;

/// Slots of a part have numbers of that many bits.
const SLOT_BITS: u32 = 40;

/// What a readable cell's slot begins with: its number plus one (zero: there is none) ‖ secret.
pub(super) const READABLE_HEAD_BYTES: usize = 8 + size_of::<Secret>();

/// What a slot holds: of a closed list the open bytes of a cell, of a readable one also which cell it was.
pub(super) fn slot_bytes(lists: &Lists<'_>) -> usize {
    let shape = lists.shape;
    match shape.is_readable {
        true => READABLE_HEAD_BYTES + shape.body - shape.secret_bytes(),
        false => shape.body,
    }
}

/// Slots that are being filled, and the requests for what belongs there.
pub(super) struct Pieces {
    requests: Option<Requests>,
    heads: Spill,
    slots: Spill,
    /// Slots of each part that was begun.
    sizes: Vec<u64>,
    slots_per_part: u64,
    parts: usize,
    slot_bytes: usize,
    record: Vec<u8>,
}

impl Pieces {
    /// # Errors
    /// As `Spill::new`.
    pub fn new(room: &Room, lists: &Lists<'_>) -> Result<Self, PsiError> {
        let (cells, slot_bytes) = (lists.cells.count, slot_bytes(lists));
        // Twice the cells: a readable key may seem to have some more than it has.
        let parts = room.parts(2 * cells as u64 * slot_bytes as u64);
        let form = Form {
            label: lists.shape.label,
            is_piece: true,
            has_strand: false,
        };
        Ok(Self {
            requests: Some(Requests::new(room, form, cells, 0)?),
            heads: Spill::new(&room.directory, 1)?,
            slots: Spill::new(&room.directory, parts)?,
            sizes: vec![0],
            slots_per_part: (2 * cells as u64).div_ceil(parts as u64).max(1),
            parts,
            slot_bytes,
            record: Vec::new(),
        })
    }

    /// Slots for a key of `run` cells: the place of the first.
    ///
    /// # Errors
    /// As `Spill::push`.
    pub fn start(&mut self, key: &Secret, run: u64, strand: &[u8]) -> Result<u64, PsiError> {
        let is_full = self.sizes.last().is_some_and(|size| *size >= self.slots_per_part);
        if is_full && self.sizes.len() < self.parts {
            self.sizes.push(0);
        }
        let part = self.sizes.len() as u64 - 1;
        let Some(size) = self.sizes.last_mut() else {
            return Err(PsiError::OutOfMemory);
        };
        let place = part << SLOT_BITS | *size;
        *size += run;
        self.record.clear();
        self.record.extend_from_slice(key);
        self.record.extend_from_slice(&run.to_le_bytes());
        self.record.extend_from_slice(&place.to_le_bytes());
        self.record.extend_from_slice(strand);
        self.heads.push(0, &self.record)?;
        Ok(place)
    }

    /// Asks for cells of a key, of which number 0 has that place.
    ///
    /// # Errors
    /// As `Spill::push`.
    pub fn request(
        &mut self,
        lists: &Lists<'_>,
        key: &Secret,
        numbers: Range<u64>,
        place: u64,
    ) -> Result<(), PsiError> {
        let Some(requests) = &mut self.requests else {
            return Ok(());
        };
        let label = lists.shape.label;
        let mut labels = vec![0; CELLS_AT_ONCE as usize * label];
        let mut next = numbers.start;
        while next < numbers.end {
            let count = CELLS_AT_ONCE.min(numbers.end - next);
            let (now, _) = labels.split_at_mut(count as usize * label);
            let cells = (next..next + count).map(|number| (key, number));
            lists.stream.fill(cells, now, label);
            for (label, number) in now.chunks_exact(label).zip(next..) {
                let mut rest = [0; 16];
                let (low, high) = rest.split_at_mut(8);
                low.copy_from_slice(&number.to_le_bytes());
                high.copy_from_slice(&(place + number).to_le_bytes());
                requests.push(label, key, &rest)?;
            }
            next += count;
        }
        Ok(())
    }

    /// Everything that was asked for; nothing more is.
    ///
    /// # Errors
    /// As `Spill::finish`.
    pub fn asked(&mut self) -> Result<Option<Asked>, PsiError> {
        self.requests.take().map(Requests::finish).transpose()
    }

    /// Fills a slot.
    ///
    /// # Errors
    /// As `Spill::push`.
    pub fn put(&mut self, place: u64, piece: &[u8]) -> Result<(), PsiError> {
        let (part, slot) = split(place);
        self.record.clear();
        self.record.extend_from_slice(&(slot as u64).to_le_bytes());
        self.record.extend_from_slice(piece);
        self.slots.push(part, &self.record)
    }

    /// # Errors
    /// As `Spill::finish`.
    pub fn finish(self) -> Result<Filled, PsiError> {
        Ok(Filled {
            heads: self.heads.finish()?,
            slots: self.slots.finish()?,
            sizes: self.sizes,
            slot_bytes: self.slot_bytes,
            cursor: Cursor::default(),
        })
    }
}

/// Part and slot of a place.
pub(super) fn split(place: u64) -> (usize, usize) {
    let slot = place & ((1 << SLOT_BITS) - 1);
    ((place >> SLOT_BITS) as usize, slot as usize)
}

/// A key whose cells were looked up.
pub(super) struct Head {
    pub key: Secret,
    /// How many there may be.
    pub run: usize,
    /// Of the first slot.
    pub place: u64,
    /// Of all strands that were read with it.
    pub strand: Range<usize>,
}

/// All slots, read back part by part.
pub(super) struct Filled {
    heads: Spilled,
    slots: Spilled,
    sizes: Vec<u64>,
    pub slot_bytes: usize,
    cursor: Cursor,
}

impl Filled {
    /// The next key; its strand is appended to `strands`.
    ///
    /// # Errors
    /// As `Spilled::read`.
    pub fn next_head(&mut self, strands: &mut Vec<u8>, has_strand: bool) -> Result<Option<Head>, PsiError> {
        if self.cursor.is_at_end(&self.heads)? {
            return Ok(None);
        }
        let key = self.cursor.array(&self.heads)?;
        let run = u64::from_le_bytes(self.cursor.array(&self.heads)?) as usize;
        let place = u64::from_le_bytes(self.cursor.array(&self.heads)?);
        let start = strands.len();
        if has_strand {
            let header: [u8; strand::HEADER_BYTES] = self.cursor.array(&self.heads)?;
            strands.extend_from_slice(&header);
            let rest = strand::Header::read(&header).bytes();
            self.cursor.append(&self.heads, rest, strands)?;
        }
        Ok(Some(Head {
            key,
            run,
            place,
            strand: start..strands.len(),
        }))
    }

    /// All slots of a part; those that nothing was put into are zeros.
    ///
    /// # Errors
    /// As `Spilled::read`; `OutOfMemory`.
    pub fn load(&self, part: usize) -> Result<Vec<u8>, PsiError> {
        let slots = self.sizes.get(part).copied().unwrap_or(0) as usize;
        let bytes = slots.checked_mul(self.slot_bytes).and_then(memory::zeros);
        let mut bytes = bytes.ok_or(PsiError::OutOfMemory)?;
        let mut cursor = Cursor::new(part);
        let mut piece = Vec::new();
        while !cursor.is_at_end(&self.slots)? {
            let slot = u64::from_le_bytes(cursor.array(&self.slots)?) as usize;
            piece.clear();
            cursor.append(&self.slots, self.slot_bytes, &mut piece)?;
            let room = bytes.get_mut(slot * self.slot_bytes..(slot + 1) * self.slot_bytes);
            match room {
                Some(room) if room.len() == piece.len() => room.copy_from_slice(&piece),
                _ => return Err(OpeningError::BadLength.into()),
            }
        }
        Ok(bytes)
    }
}
