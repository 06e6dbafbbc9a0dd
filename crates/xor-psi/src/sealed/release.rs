//! A release: one player's plaintext table sealed to the recipients, without a join.

use std::io::Write;

use arrow_array::ArrayRef;
use xor_base::random;

use super::header::Core;
use super::join::notify;
use super::joined::{Joined, Part, RowStore};
use super::lists;
use super::outer::SealedStream;
use super::sealer::Sealer;
use super::spec::ReleaseSpec;
use crate::oprf::OnProgress;
use crate::{OpeningError, PsiError};
use xor_base::rows::RowCodec;

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

/// Reads the rows of an opened release.
///
/// # Errors
/// `Opening` for anything but rows and fillers.
pub fn open_release(spec: &ReleaseSpec, plain: &[u8]) -> Result<Joined, PsiError> {
    let shape = spec.shape();
    if plain.len() != shape.bytes() {
        return Err(OpeningError::BadLength.into());
    }
    let mut store = RowStore::default();
    for record in plain.chunks_exact(shape.width) {
        let (flag, space) = record.split_first().ok_or(OpeningError::BadLength)?;
        let length = match flag {
            0 => 0,
            1 => spec.payload.measure(space).map_err(|_| OpeningError::BadRow)?,
            _ => return Err(OpeningError::BadRow.into()),
        };
        let (row, rest) = space.split_at_checked(length).ok_or(OpeningError::BadRow)?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(OpeningError::BadRow.into());
        }
        if *flag == 1 {
            store.push(row)?;
        }
    }
    let codecs = [spec.payload.clone(), RowCodec::new(Vec::new())];
    let part = Part::unmatched([store, RowStore::default()]);
    Ok(Joined::new(codecs, vec![part]))
}
