//! Rows as bytes, wherever they come from.

use xor_base::rows::{RowCodec, Rows};
use xor_base::wiped::Wiped;

use crate::PsiError;

/// Rows of one table, or of a part of it.
pub(crate) trait Encoded: Sync {
    /// No row takes more bytes.
    fn longest(&self) -> usize;

    fn encoded_len(&self, row: usize) -> usize;

    /// Writes a row at the start of `out`, which has at least `encoded_len(row)` bytes, and returns its length.
    fn encode(&self, row: usize, out: &mut [u8]) -> usize;
}

impl Encoded for Rows<'_> {
    fn longest(&self) -> usize {
        Rows::longest(self)
    }

    fn encoded_len(&self, row: usize) -> usize {
        Rows::encoded_len(self, row)
    }

    fn encode(&self, row: usize, out: &mut [u8]) -> usize {
        Rows::encode(self, row, out)
    }
}

/// What stands before each row that is stored.
const LENGTH_BYTES: usize = size_of::<u32>();

/// Rows that were encoded before.
pub(crate) struct StoredRows {
    bytes: Wiped<u8>,
    /// [rows + 1] where each row's length stands, then the end.
    starts: Vec<usize>,
    longest: usize,
}

impl StoredRows {
    /// Some rows, encoded side by side.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn encode(rows: &Rows<'_>, numbers: std::ops::Range<usize>) -> Result<Self, PsiError> {
        let mut starts = Vec::with_capacity(numbers.len() + 1);
        let mut end = 0;
        starts.push(end);
        for row in numbers.clone() {
            end += LENGTH_BYTES + rows.encoded_len(row);
            starts.push(end);
        }
        let mut bytes = Wiped::try_zeros(end)?;
        let mut rest = &mut *bytes;
        for (row, pair) in numbers.zip(starts.windows(2)) {
            let length = pair.iter().rev().copied().reduce(|end, start| end - start);
            let (own, following) = rest.split_at_mut(length.unwrap_or(0));
            let (prefix, own) = own.split_at_mut(LENGTH_BYTES);
            prefix.copy_from_slice(&(own.len() as u32).to_le_bytes());
            rows.encode(row, own);
            rest = following;
        }
        Ok(Self {
            bytes,
            starts,
            longest: rows.longest(),
        })
    }

    /// Rows as [`Self::stored`] gave them.
    pub fn new(bytes: Wiped<u8>, codec: &RowCodec) -> Self {
        let (mut starts, mut at) = (vec![0], 0);
        while let Some(prefix) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            at += LENGTH_BYTES + u32::from_le_bytes(*prefix) as usize;
            starts.push(at);
        }
        Self {
            bytes,
            starts,
            longest: codec.longest(),
        }
    }

    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Each row with its length before it.
    pub fn stored(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count()).map(|row| self.with_length(row))
    }

    fn with_length(&self, row: usize) -> &[u8] {
        match (self.starts.get(row), self.starts.get(row + 1)) {
            (Some(start), Some(end)) => self.bytes.get(*start..*end),
            _ => None,
        }
        .unwrap_or_default()
    }

    fn row(&self, row: usize) -> &[u8] {
        self.with_length(row).get(LENGTH_BYTES..).unwrap_or_default()
    }
}

impl Encoded for StoredRows {
    fn longest(&self) -> usize {
        self.longest
    }

    fn encoded_len(&self, row: usize) -> usize {
        self.row(row).len()
    }

    fn encode(&self, row: usize, out: &mut [u8]) -> usize {
        let row = self.row(row);
        let (to, _) = out.split_at_mut(row.len());
        to.copy_from_slice(row);
        row.len()
    }
}
