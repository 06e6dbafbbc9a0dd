//! Tables and lists larger than memory: parts on disk, of which one after the other is held.
//!
//! What is written and why it shows nothing stands in `docs/protocols/sealed-join.md`, "Larger than memory".

mod build;
mod scattered;
mod shelf;
mod table;

pub(super) use build::build;
pub(super) use scattered::{Parts, Scattered, append};
pub(super) use shelf::Shelved;
pub use table::SpilledTable;

use super::order;
use super::spec::{JoinSpec, ReleaseSpec};
use crate::PsiError;
use crate::oprf::{OnProgress, Progress, Side, report};

/// Memory of one step, about: what takes more goes to disk.
pub const MEMORY_BYTES: usize = 1 << 29;

/// Parts of a file, at most: each has a block in memory while it is written.
const MAX_PART_BITS: u32 = 9;

/// How a file is cut: by the first bits of what looks random.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    bits: u32,
}

impl Cut {
    /// So that several parts are in memory at once, with all that is made of them.
    fn new(bytes: usize, memory: usize) -> Self {
        let part = (memory / 32).max(1);
        let bits = bytes.div_ceil(part).next_power_of_two().trailing_zeros();
        Self {
            bits: bits.min(MAX_PART_BITS),
        }
    }

    fn parts(self) -> usize {
        1 << self.bits
    }

    /// The part of a record. Parts are in the order of the records.
    fn part(self, record: &[u8]) -> usize {
        // In two steps: a shift by all 64 bits is none.
        (order::head(record) >> 1 >> (u64::BITS - 1 - self.bits)) as usize
    }
}

/// Whether a player's step takes more than `memory` bytes. From public bounds alone: which way a step takes may
/// show in its time.
#[must_use]
pub fn is_large(spec: &JoinSpec, side: Side, memory: usize) -> bool {
    spec.shapes(side).held_bytes(spec.bound(side)) > memory as u64
}

/// As [`is_large`], of a release.
#[must_use]
pub fn is_large_release(spec: &ReleaseSpec, memory: usize) -> bool {
    spec.shape().bytes().saturating_mul(2) > memory
}

/// After one of several parts: only the padded bound, whatever is in them.
pub(super) fn advance(
    progress: OnProgress<'_>,
    step: &'static str,
    bound: usize,
    [done, parts]: [usize; 2],
) -> Result<(), PsiError> {
    let total = bound as u64;
    let done = total * done as u64 / parts.max(1) as u64;
    Ok(report(progress, Progress { step, done, total })?)
}
