//! What a player wrote into its cells, read strictly: anything but what the rules give is refused.

use xor_base::rows::RowCodec;

use super::layout::CellShape;
use super::secrets::Secret;
use super::strings::read_leb128;
use crate::{OpeningError, PsiError};

/// The length of a key's string, which stands at its start.
#[derive(Clone, Copy)]
pub(crate) struct StringLength {
    prefix: usize,
    /// Units: bytes, those of the length included.
    pub total: usize,
}

impl StringLength {
    /// Reads the first cell of a string in a list of `cells`.
    pub fn read(shape: CellShape, first: &[u8], cells: usize) -> Result<Self, OpeningError> {
        let (prefix, rest) = read_leb128(first).ok_or(OpeningError::BadLength)?;
        let total = prefix.checked_add(rest).ok_or(OpeningError::BadLength)?;
        if rest <= shape.secret_bytes() || total.div_ceil(shape.body) > cells {
            return Err(OpeningError::BadLength);
        }
        Ok(Self { prefix, total })
    }

    pub fn cells(&self, shape: CellShape) -> usize {
        self.total.div_ceil(shape.body)
    }

    /// Secret and rows of a string of which all cells are there. Zeros if the cells hold no secret.
    pub fn split<'s>(&self, shape: CellShape, string: &'s [u8]) -> Result<(Secret, &'s [u8]), OpeningError> {
        let (string, filler) = string
            .split_at_checked(self.total)
            .ok_or(OpeningError::BadLength)?;
        if filler.iter().any(|byte| *byte != 0) {
            return Err(OpeningError::BadLength);
        }
        let rest = string.get(self.prefix..).unwrap_or_default();
        let (held, rows) = rest
            .split_at_checked(shape.secret_bytes())
            .ok_or(OpeningError::BadLength)?;
        Ok((held.try_into().unwrap_or_default(), rows))
    }
}

/// Gives `keep` each of the rows that stand one after the other.
pub(crate) fn each_row<'r>(
    codec: &RowCodec,
    mut rows: &'r [u8],
    mut keep: impl FnMut(&'r [u8]) -> Result<(), PsiError>,
) -> Result<(), PsiError> {
    while !rows.is_empty() {
        let length = codec.measure(rows).map_err(|_| OpeningError::BadRow)?;
        let (row, rest) = rows.split_at_checked(length).ok_or(OpeningError::BadRow)?;
        keep(row)?;
        rows = rest;
    }
    Ok(())
}

/// The row in a record `flag ‖ row ‖ zeros`, or nothing in a filler.
pub(crate) fn readable_row<'r>(codec: &RowCodec, record: &'r [u8]) -> Result<Option<&'r [u8]>, OpeningError> {
    let (flag, space) = record.split_first().ok_or(OpeningError::BadLength)?;
    let (length, is_row) = match flag {
        0 => (0, false),
        1 => (codec.measure(space).map_err(|_| OpeningError::BadRow)?, true),
        _ => return Err(OpeningError::BadRow),
    };
    let (row, rest) = space.split_at_checked(length).ok_or(OpeningError::BadRow)?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(OpeningError::BadRow);
    }
    Ok(is_row.then_some(row))
}
