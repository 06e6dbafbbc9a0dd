//! What an exchange reads and writes where a table is on disk.

use xor_base::wiped::Wiped;
use zeroize::Zeroizing;

use super::super::layout::SECRET_BYTES;
use super::super::order;
use super::super::secrets::{Attempt, HalfSecrets, Secret};
use super::super::spill::{Spill, Spilled};
use super::table::SpilledTable;
use crate::PsiError;
use crate::oprf::{Assign, Input, Outputs, Shelf, Side};

/// Input ‖ s_0 ‖ s_1.
const RECORD_BYTES: usize = 32 + 2 * SECRET_BYTES;

/// The inputs of a table, and the half secrets that come of them, in the parts of the table.
///
/// # Security
/// The peer sees how long this takes: it reads and writes the same number of bytes whatever the table holds,
/// fillers included.
pub(in super::super) struct Shelved<'a> {
    table: &'a SpilledTable,
    attempt: Attempt,
    shards: Option<Spilled>,
    secrets: Spill,
}

impl<'a> Shelved<'a> {
    /// # Errors
    /// `Write`.
    pub fn new(table: &'a SpilledTable, attempt: Attempt) -> Result<Self, PsiError> {
        Ok(Self {
            table,
            attempt,
            shards: None,
            secrets: Spill::new(&table.directory, table.cut.parts())?,
        })
    }

    /// The secrets of all inputs, once all are kept.
    ///
    /// # Errors
    /// `Write`.
    pub fn finish(self) -> Result<Spilled, PsiError> {
        self.secrets.finish()
    }
}

impl Shelf for Shelved<'_> {
    type Error = PsiError;

    fn count(&self) -> usize {
        self.table.inputs.bytes(0) / size_of::<Input>()
    }

    fn sort(&mut self, count: usize, assign: Assign<'_>) -> Result<(), PsiError> {
        let mut shards = Spill::new(&self.table.directory, count)?;
        // Blocks hold whole inputs.
        self.table.inputs.for_each_block(0, |block| {
            let (inputs, _) = block.as_chunks();
            for (input, shard) in inputs.iter().zip(&assign(inputs)) {
                shards.push(usize::from(*shard), input)?;
            }
            Ok(())
        })?;
        self.shards = Some(shards.finish()?);
        Ok(())
    }

    fn inputs(&mut self, shard: usize) -> Result<Wiped<Input>, PsiError> {
        let bytes = match &self.shards {
            Some(shards) => shards.read(shard)?,
            None => Wiped::default(),
        };
        let (inputs, _) = bytes.as_chunks();
        Ok(inputs.iter().copied().collect())
    }

    fn keep(&mut self, inputs: &[Input], outputs: Outputs) -> Result<(), PsiError> {
        let halves = HalfSecrets::derive(self.table.side, outputs, &self.attempt)?;
        let secrets = halves.of(Side::Left).iter().zip(halves.of(Side::Right));
        let mut record = Zeroizing::new([0; RECORD_BYTES]);
        for (input, (left, right)) in inputs.iter().zip(secrets) {
            let (to_input, to_halves) = record.split_at_mut(input.len());
            to_input.copy_from_slice(input);
            let (to_left, to_right) = to_halves.split_at_mut(SECRET_BYTES);
            to_left.copy_from_slice(left);
            to_right.copy_from_slice(right);
            self.secrets.push(self.table.cut.part(input), record.as_slice())?;
        }
        Ok(())
    }
}

/// The half secrets of some inputs of one part, in their order.
///
/// # Errors
/// `Read` if the file does not hold them.
pub(super) fn halves_of(secrets: &Spilled, part: usize, inputs: &[Input]) -> Result<HalfSecrets, PsiError> {
    let bytes = secrets.read(part)?;
    let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
    let record = |index: usize| records.get(index).and_then(|record| record.first_chunk::<32>());
    let input = |index: usize| inputs.get(index);
    let found = order::ascending(records.len(), |index| {
        record(index).map(<[u8; 32]>::as_slice).unwrap_or_default()
    })?;
    let wanted = order::ascending(inputs.len(), |index| {
        input(index).map(<[u8; 32]>::as_slice).unwrap_or_default()
    })?;
    let mut left = Wiped::<Secret>::try_zeros(inputs.len())?;
    let mut right = Wiped::<Secret>::try_zeros(inputs.len())?;
    let mut found = found.iter().map(|index| *index as usize);
    for index in wanted.iter().map(|index| *index as usize) {
        // Fillers lie in between.
        let at = found
            .find(|at| record(*at) == input(index))
            .and_then(|at| records.get(at));
        let halves = at.and_then(|record| record.last_chunk::<{ 2 * SECRET_BYTES }>());
        let (halves, _) = halves.ok_or_else(lost)?.as_chunks::<SECRET_BYTES>();
        if let ([first, second], Some(left), Some(right)) =
            (halves, left.get_mut(index), right.get_mut(index))
        {
            (*left, *right) = (*first, *second);
        }
    }
    Ok(HalfSecrets::of_sides([left, right]))
}

fn lost() -> PsiError {
    PsiError::Read(std::io::ErrorKind::InvalidData.into())
}
