//! A list on disk, in parts by the first bits of its records: sorted parts one after the other are the sorted
//! list.

use std::path::Path;

use xor_base::random;
use xor_base::wiped::Wiped;
use zeroize::Zeroizing;

use super::super::layout::ListShape;
use super::super::lists::List;
use super::super::sealer::Sealer;
use super::super::spill::{Spill, Spilled};
use super::{Cut, advance};
use crate::PsiError;
use crate::oprf::OnProgress;

/// Bytes of fillers that are made at a time.
const FILLER_BYTES: usize = 1 << 20;

/// A list that is being written, in any order.
///
/// # Security
/// Records are scattered by labels, openers or tags, which look random: how much a part holds tells nothing of
/// keys, groups or rows.
pub(in super::super) struct Scattered {
    spill: Spill,
    shape: ListShape,
    cut: Cut,
    is_random: bool,
    used: usize,
}

impl Scattered {
    /// A list of records that look random, in ascending order.
    ///
    /// # Errors
    /// `Write`.
    pub fn new(directory: &Path, shape: ListShape, memory: usize) -> Result<Self, PsiError> {
        let cut = Cut::new(shape.bytes(), memory);
        Ok(Self {
            spill: Spill::new(directory, cut.parts())?,
            shape,
            cut,
            is_random: false,
            used: 0,
        })
    }

    /// A list of any records in random order: each goes to a random part, and each part is shuffled.
    ///
    /// # Errors
    /// `Write`.
    pub fn at_random(directory: &Path, shape: ListShape, memory: usize) -> Result<Self, PsiError> {
        let list = Self::new(directory, shape, memory)?;
        Ok(Self {
            is_random: true,
            ..list
        })
    }

    /// Takes whole records.
    ///
    /// # Errors
    /// `Write`, `Randomness`.
    pub fn push(&mut self, records: &[u8]) -> Result<(), PsiError> {
        let records = records.chunks_exact(self.shape.width);
        self.used += records.len();
        if self.is_random {
            let tags = Zeroizing::new(random::words(records.len())?);
            return records
                .zip(tags.iter())
                .try_for_each(|(record, tag)| self.spill.push(self.cut.part(&tag.to_be_bytes()), record));
        }
        for record in records {
            self.spill.push(self.cut.part(record), record)?;
        }
        Ok(())
    }

    /// Fills the list up: records of `random` random bytes, then zeros.
    ///
    /// # Errors
    /// `Write`, `Randomness`, `OutOfMemory`.
    pub fn finish(mut self, random: usize) -> Result<Parts, PsiError> {
        let width = self.shape.width;
        let at_once = (FILLER_BYTES / width).max(1);
        let mut noise = Wiped::try_zeros(at_once * random)?;
        let mut fillers = Wiped::try_zeros(at_once * width)?;
        while self.used < self.shape.count {
            let count = at_once.min(self.shape.count - self.used);
            random::fill(&mut noise)?;
            for (filler, noise) in fillers
                .chunks_exact_mut(width)
                .zip(noise.chunks_exact(random.max(1)))
            {
                let (head, _) = filler.split_at_mut(random);
                head.copy_from_slice(noise);
            }
            self.push(fillers.get(..count * width).unwrap_or_default())?;
        }
        Ok(Parts {
            spilled: self.spill.finish()?,
            width,
            is_random: self.is_random,
        })
    }
}

/// A complete list on disk.
pub(in super::super) struct Parts {
    spilled: Spilled,
    width: usize,
    is_random: bool,
}

impl Parts {
    fn list(&self, part: usize) -> Result<List, PsiError> {
        let records = self.spilled.read(part)?;
        if self.is_random {
            List::shuffled(records, self.width)
        } else {
            List::sorted(records, self.width)
        }
    }
}

/// Seals lists one after the other, each part sorted while the one before is sealed.
///
/// # Errors
/// `Read`, `Write`, `OutOfMemory`, `Cancelled`.
pub(in super::super) fn append(
    lists: &[Parts],
    sealer: &mut Sealer<'_>,
    bound: usize,
    progress: OnProgress<'_>,
) -> Result<(), PsiError> {
    let parts = lists
        .iter()
        .flat_map(|list| (0..list.spilled.parts()).map(move |part| (list, part)));
    let mut parts = parts.enumerate();
    let total = lists.iter().map(|list| list.spilled.parts()).sum();
    let mut next = || {
        parts
            .next()
            .map(|(number, (list, part))| (number, list.list(part)))
    };
    let mut ready = next();
    while let Some((number, list)) = ready {
        let list = list?;
        let (appended, following) = rayon::join(|| sealer.append(&list), &mut next);
        appended?;
        ready = following;
        // The last one is told when the stream is complete.
        advance(progress, "seal", bound, [number, total])?;
    }
    Ok(())
}
