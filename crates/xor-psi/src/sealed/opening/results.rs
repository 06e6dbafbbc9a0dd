//! The rows of a result on disk: written while they are found, read back a part at a time.

use xor_base::rows::RowCodec;

use super::super::joined::{Part, RowStore};
use super::super::spill::{Spill, Spilled};
use super::super::written::each_row;
use super::room::Room;
use super::strand::{self, Cursor, HEADER_BYTES, Header, Strands};
use crate::PsiError;
use crate::oprf::Side;

/// Bytes of rows that are read back at once.
const PART_BYTES: usize = 1 << 23;

/// Takes groups, then the rows without a match: of the opener, then of the carrier.
pub(super) struct Output {
    spill: Spill,
    strands: Strands,
    rows: u64,
    record: Vec<u8>,
}

impl Output {
    /// # Errors
    /// As `Spill::new`.
    pub(super) fn new(room: &Room, strands: Strands) -> Result<Self, PsiError> {
        Ok(Self {
            spill: Spill::new(&room.directory, 1)?,
            strands,
            rows: 0,
            record: Vec::new(),
        })
    }

    /// The rows of a key: of the opener, and of the carrier as a strand.
    pub(super) fn push_group(&mut self, count: usize, rows: &[u8], carrier: &[u8]) -> Result<(), PsiError> {
        self.record.clear();
        self.strands.append(count, rows, &mut self.record)?;
        self.record.extend_from_slice(carrier);
        let pairs = (count as u64).saturating_mul(strand::rows(carrier) as u64);
        self.push(pairs)
    }

    /// The rows of a key of which the other side gives none: each appears once.
    pub(super) fn push_kept(&mut self, count: usize, rows: &[u8]) -> Result<(), PsiError> {
        self.record.clear();
        // One row without columns.
        self.strands.append(1, &[0], &mut self.record)?;
        self.strands.append(count, rows, &mut self.record)?;
        self.push(count as u64)
    }

    /// Rows without a match, as many as a task finds.
    pub(super) fn push_alone(&mut self, is_opener: bool, count: usize, rows: &[u8]) -> Result<(), PsiError> {
        if count == 0 {
            return Ok(());
        }
        let (opener, carrier) = match is_opener {
            true => ((count, rows), (0, &[][..])),
            false => ((0, &[][..]), (count, rows)),
        };
        self.record.clear();
        strand::append_inline(opener.0, opener.1, &mut self.record);
        strand::append_inline(carrier.0, carrier.1, &mut self.record);
        self.push(count as u64)
    }

    fn push(&mut self, rows: u64) -> Result<(), PsiError> {
        self.rows = self.rows.saturating_add(rows);
        self.spill.push(0, &self.record)
    }

    /// # Errors
    /// As `Spill::finish`.
    pub(super) fn finish(self, opener: Side, codecs: [RowCodec; 2]) -> Result<Results, PsiError> {
        Ok(Results {
            spilled: self.spill.finish()?,
            long: self.strands.finish()?,
            opener,
            codecs,
            rows: self.rows,
            cursor: Cursor::default(),
        })
    }
}

/// A result that is complete and checked, on disk.
pub(in super::super) struct Results {
    spilled: Spilled,
    long: Option<Spilled>,
    opener: Side,
    /// By role: of the opener, of the carrier.
    codecs: [RowCodec; 2],
    pub rows: u64,
    cursor: Cursor,
}

impl std::fmt::Debug for Results {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Results(..)")
    }
}

impl Results {
    /// The next rows.
    ///
    /// # Errors
    /// `Read` if the spill file was changed or cut; `OutOfMemory`.
    pub fn next_part(&mut self) -> Result<Option<Part>, PsiError> {
        let mut stores = [RowStore::default(), RowStore::default()];
        let (mut groups, mut unmatched) = (Vec::new(), [0..0, 0..0]);
        while stores.iter().map(|store| store.bytes.len()).sum::<usize>() < PART_BYTES
            && !self.cursor.is_at_end(&self.spilled)?
        {
            let [opener, carrier] = &mut stores;
            let opened = self.append(0, opener)?;
            let carried = self.append(1, carrier)?;
            if opened.is_empty() || carried.is_empty() {
                for (alone, rows) in unmatched.iter_mut().zip([opened, carried]) {
                    if !rows.is_empty() {
                        let start = if alone.end == 0 { rows.start } else { alone.start };
                        *alone = start..rows.end;
                    }
                }
            } else {
                groups.push([opened, carried]);
            }
        }
        if stores.iter().all(|store| store.len() == 0) {
            return Ok(None);
        }
        let mut part = Part::new(stores, groups, unmatched);
        if self.opener == Side::Right {
            part.swap_sides();
        }
        Ok(Some(part))
    }

    /// The rows of the next strand.
    fn append(&mut self, role: usize, store: &mut RowStore) -> Result<std::ops::Range<usize>, PsiError> {
        let header: [u8; HEADER_BYTES] = self.cursor.array(&self.spilled)?;
        let header = Header::read(&header);
        let (first, start) = (store.len(), store.bytes.len());
        let long = self.long.as_ref().unwrap_or(&self.spilled);
        self.cursor
            .append_rows([&self.spilled, long], header, &mut store.bytes)?;
        if header.rows == 1 {
            store.starts.push(start);
        } else if let Some(codec) = self.codecs.get(role) {
            let (bytes, starts) = (&store.bytes, &mut store.starts);
            starts
                .try_reserve(header.rows)
                .map_err(|_| PsiError::OutOfMemory)?;
            let mut at = start;
            each_row(codec, bytes.get(start..).unwrap_or_default(), |row| {
                starts.push(at);
                at += row.len();
                Ok(())
            })?;
        }
        Ok(first..store.len())
    }
}

#[cfg(test)]
mod tests {
    use xor_base::rows::Field;
    use xor_base::types::Type;

    use super::super::super::joined::Joined;
    use super::*;

    #[test]
    fn a_file_that_was_cut_ends_the_rows_with_an_error() {
        let room = Room {
            memory_bytes: 0,
            directory: std::env::temp_dir(),
        };
        let field = Field {
            name: "n".into(),
            kind: Type::Int64,
            max_bytes: 0,
        };
        let codecs = [RowCodec::new(vec![field]), RowCodec::new(Vec::new())];
        let mut output = Output::new(&room, Strands::new(&room.directory)).unwrap();
        let row = [0; 9];
        for _ in 0..20_000 {
            output.push_alone(true, 1, &row).unwrap();
        }
        let results = output.finish(Side::Left, codecs.clone()).unwrap();
        results.spilled.cut();
        let mut joined = Joined::on_disk(codecs, results);
        let error = joined.next().unwrap().unwrap_err();
        assert_eq!(error.code(), "resource.unreadable");
        assert!(joined.next().is_none());
    }
}
