//! A release: one player's plaintext table sealed to the recipients, without a join.

use std::io::Write;
use std::path::Path;

use arrow_array::ArrayRef;
use xor_base::random;

use super::header::Core;
use super::join::notify;
use super::lists;
use super::outer::SealedStream;
use super::sealer::Sealer;
use super::spec::ReleaseSpec;
use super::spilled::{self, Scattered};
use crate::PsiError;
use crate::oprf::OnProgress;

/// Seals exactly the padded bound of rows, in random order.
///
/// # Errors
/// `TooManyRows` and `Table` before anything is written; `Write`; `Cancelled`.
///
/// # Discloses
/// To the recipients: all rows, and the bound. To whoever stores the stream: the bound.
pub fn release_table(
    spec: &ReleaseSpec,
    columns: &[ArrayRef],
    rows: usize,
    sink: &mut (dyn Write + Send),
    progress: OnProgress<'_>,
) -> Result<SealedStream, PsiError> {
    if rows > spec.rows {
        return Err(PsiError::TooManyRows { bound: spec.rows });
    }
    let rows = spec.payload.read(columns, rows)?;
    let list = lists::released(&rows, spec.shape())?;
    let core = Core::of_release(spec, &random::array()?);
    let mut sealer = Sealer::new(sink, core, &spec.binding.recipients)?;
    sealer.append(&list)?;
    let stream = sealer.finish()?;
    notify(progress, "seal", spec.rows)?;
    Ok(stream)
}

/// As [`release_table`], for rows that are not in memory together.
///
/// # Errors
/// As [`release_table`], or whatever `batches` gives. What is wrong with a later row is found when an earlier
/// one is on disk, sealed for nobody yet.
///
/// # Cost
/// About `memory` bytes; the stream's length once more in `directory`.
pub fn release_batches(
    spec: &ReleaseSpec,
    batches: impl Iterator<Item = Result<(Vec<ArrayRef>, usize), PsiError>>,
    (directory, memory): (&Path, usize),
    sink: &mut (dyn Write + Send),
    progress: OnProgress<'_>,
) -> Result<SealedStream, PsiError> {
    let mut list = Scattered::at_random(directory, spec.shape(), memory)?;
    let mut rest = spec.rows;
    for batch in batches {
        let (columns, rows) = batch?;
        let bound = spec.rows;
        rest = rest.checked_sub(rows).ok_or(PsiError::TooManyRows { bound })?;
        let rows = spec.payload.read(&columns, rows)?;
        lists::for_each_readable(&rows, spec.shape().width, |records| list.push(records))?;
        spilled::advance(progress, "seal", bound, [0, 1])?;
    }
    let list = list.finish(0)?;
    let core = Core::of_release(spec, &random::array()?);
    let mut sealer = Sealer::new(sink, core, &spec.binding.recipients)?;
    spilled::append(&[list], &mut sealer, spec.rows, progress)?;
    let stream = sealer.finish()?;
    notify(progress, "seal", spec.rows)?;
    Ok(stream)
}
