//! One player's table on disk, in parts by the first bits of its keys' digests.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;
use xor_base::keys::{Inputs, Keys};
use xor_base::random;
use xor_base::wiped::Wiped;

use super::super::encoded::StoredRows;
use super::super::join::Table;
use super::super::order;
use super::super::spec::JoinSpec;
use super::super::spill::{BLOCK_BYTES, Spill, Spilled};
use super::{Cut, advance};
use crate::PsiError;
use crate::oprf::{Input, OnProgress, Side};

/// Rows that one thread encodes at a time.
const ROWS_PER_TASK: usize = 1 << 12;

/// What one part may take with all that is made of it; only equal keys make a part that large.
const MAX_PART_BYTES: usize = 1 << 30;

const INPUT_BYTES: usize = size_of::<Input>();

/// A table that fits its declaration, on disk. Making one sends nothing.
pub struct SpilledTable {
    pub(super) spec: JoinSpec,
    pub(super) side: Side,
    pub(super) directory: PathBuf,
    pub(super) memory: usize,
    /// Of keys, rows and secrets.
    pub(super) cut: Cut,
    /// In each part the inputs of its rows with a key, in the order of the rows.
    keys: Spilled,
    /// The rows of each part; then, in as many parts, those without a key.
    rows: Spilled,
    /// Distinct inputs, and random ones up to the bound.
    pub(super) inputs: Spilled,
    pub(in super::super) seconds: f64,
}

impl SpilledTable {
    /// Reads a table batch by batch, each checked against the parameters.
    ///
    /// # Errors
    /// `TooManyRows` above the bound; `Table` for columns that are not as declared; `TooManyEqualKeys`; `Write`
    /// if `directory` takes no more; whatever `batches` gives; `Cancelled`.
    ///
    /// # Cost
    /// About `memory` bytes. On disk the encoded rows and 64 bytes for each row of the bound.
    pub fn new(
        spec: &JoinSpec,
        side: Side,
        batches: impl Iterator<Item = Result<Table, PsiError>>,
        directory: &Path,
        memory: usize,
        progress: OnProgress<'_>,
    ) -> Result<Self, PsiError> {
        let started = Instant::now();
        let (bound, shapes) = (spec.bound(side), spec.shapes(side));
        let record = INPUT_BYTES + shapes.cells.map_or(0, |list| list.width);
        let cut = Cut::new(bound.saturating_mul(record), memory);
        let mut intake = Intake {
            spec,
            side,
            cut,
            count: 0,
            keys: Spill::new(directory, cut.parts())?,
            rows: Spill::new(directory, 2 * cut.parts())?,
        };
        for batch in batches {
            intake.push(&batch?)?;
            advance(progress, "keys", bound, [0, 1])?;
        }
        let (keys, rows) = (intake.keys.finish()?, intake.rows.finish()?);
        check_parts(&keys, &rows, cut, shapes.cell.label + shapes.cell.body)?;
        Ok(Self {
            inputs: distinct(&keys, bound, directory)?,
            spec: spec.clone(),
            side,
            directory: directory.to_owned(),
            memory,
            cut,
            keys,
            rows,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// What the table was read for.
    #[must_use]
    pub fn spec(&self) -> &JoinSpec {
        &self.spec
    }

    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    /// The inputs of a part's rows that have a key.
    pub(super) fn keys(&self, part: usize) -> Result<Inputs, PsiError> {
        let bytes = self.keys.read(part)?;
        let (values, _) = bytes.as_chunks::<INPUT_BYTES>();
        Ok(Inputs {
            values: values.to_vec(),
            is_null: vec![false; values.len()],
        })
    }

    /// A part's rows that have a key.
    pub(super) fn rows(&self, part: usize) -> Result<StoredRows, PsiError> {
        let bytes = self.rows.read(part)?;
        Ok(StoredRows::new(bytes, self.spec.payload(self.side)))
    }

    /// A part's rows without a key, where the result has them.
    pub(super) fn unkeyed(&self, part: usize) -> Result<StoredRows, PsiError> {
        self.rows(self.cut.parts() + part)
    }
}

/// A table on its way to disk.
struct Intake<'a> {
    spec: &'a JoinSpec,
    side: Side,
    cut: Cut,
    /// Rows so far.
    count: usize,
    keys: Spill,
    rows: Spill,
}

impl Intake<'_> {
    fn push(&mut self, table: &Table) -> Result<(), PsiError> {
        let bound = self.spec.bound(self.side);
        if table.rows > bound - self.count {
            return Err(PsiError::TooManyRows { bound });
        }
        let rows = self.spec.payload(self.side).read(&table.payload, table.rows)?;
        let keys = Keys::new(self.spec.key_types(self.side), &table.keys, table.rows)?.inputs();
        let tasks: Vec<Range<usize>> = (0..table.rows)
            .step_by(ROWS_PER_TASK)
            .map(|first| first..table.rows.min(first + ROWS_PER_TASK))
            .collect();
        // A few at a time, so that a batch of any size is not held twice.
        for tasks in tasks.chunks(2 * rayon::current_num_threads()) {
            let encoded: Vec<StoredRows> = tasks
                .par_iter()
                .map(|numbers| StoredRows::encode(&rows, numbers.clone()))
                .collect::<Result<_, _>>()?;
            for (numbers, encoded) in tasks.iter().zip(&encoded) {
                self.write(&keys, numbers.start, encoded)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, keys: &Inputs, first: usize, rows: &StoredRows) -> Result<(), PsiError> {
        let shapes = self.spec.shapes(self.side);
        let keys = keys.values.iter().zip(&keys.is_null).skip(first);
        for ((key, is_null), row) in keys.zip(rows.stored()) {
            self.count += 1;
            let part = if !is_null {
                let part = self.cut.part(key);
                self.keys.push(part, key)?;
                part
            } else if shapes.cell.is_readable {
                // Anywhere: their labels are random.
                self.cut.parts() + self.count % self.cut.parts()
            } else {
                continue;
            };
            if shapes.cells.is_some() {
                self.rows.push(part, row)?;
            }
        }
        Ok(())
    }
}

/// Parts are alike but for equal keys, whose rows come together. How many are too many is found here, before the
/// peer is contacted.
fn check_parts(keys: &Spilled, rows: &Spilled, cut: Cut, width: usize) -> Result<(), PsiError> {
    for part in 0..cut.parts() {
        let count = keys.bytes(part) / INPUT_BYTES;
        let made = count.saturating_mul(width).saturating_add(2 * rows.bytes(part));
        if count > order::MAX_SORTED || made.saturating_add(3 * keys.bytes(part)) > MAX_PART_BYTES {
            return Err(PsiError::TooManyEqualKeys);
        }
    }
    Ok(())
}

/// Each input once, then random ones: what follows on the channel takes `bound` of them, however many keys
/// there are, and nobody knows a key of those that are random.
fn distinct(keys: &Spilled, bound: usize, directory: &Path) -> Result<Spilled, PsiError> {
    let mut inputs = Spill::new(directory, 1)?;
    let mut rest = bound;
    for part in 0..keys.parts() {
        let bytes = keys.read(part)?;
        let (values, _) = bytes.as_chunks::<INPUT_BYTES>();
        let value = |index: usize| values.get(index).map(<[u8; 32]>::as_slice).unwrap_or_default();
        let mut last: &[u8] = &[];
        for index in &order::ascending(values.len(), value)? {
            let next = value(*index as usize);
            if next != last {
                inputs.push(0, next)?;
                rest -= 1;
            }
            last = next;
        }
    }
    let mut block = Wiped::try_zeros(BLOCK_BYTES)?;
    while rest > 0 {
        let (fillers, _) = block.split_at_mut(rest.saturating_mul(INPUT_BYTES).min(BLOCK_BYTES));
        random::fill(fillers)?;
        inputs.push(0, fillers)?;
        rest -= fillers.len() / INPUT_BYTES;
    }
    inputs.finish()
}
