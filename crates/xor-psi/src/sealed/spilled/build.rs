//! From rows and half secrets on disk to lists on disk.

use xor_base::wiped::Wiped;

use super::super::group::Groups;
use super::super::layout::Shapes;
use super::super::lists::{self, Contents};
use super::super::secrets::{Attempt, CellStream, HalfSecrets};
use super::super::spill::Spilled;
use super::advance;
use super::scattered::{Parts, Scattered};
use super::shelf::halves_of;
use super::table::SpilledTable;
use crate::PsiError;
use crate::oprf::OnProgress;

/// The lists of a player's stream, in its order.
///
/// # Errors
/// `Read`, `Write`, `OutOfMemory`, `Cancelled`.
pub(in super::super) fn build(
    table: &SpilledTable,
    secrets: &Spilled,
    attempt: Attempt,
    progress: OnProgress<'_>,
) -> Result<Vec<Parts>, PsiError> {
    let shapes = table.spec.shapes(table.side);
    let builder = Builder {
        table,
        secrets,
        shapes,
        stream: CellStream::new(attempt, table.side),
    };
    let new = |shape| Scattered::new(&table.directory, shape, table.memory);
    let (mut openers, mut cells) = (
        shapes.openers.map(new).transpose()?,
        shapes.cells.map(new).transpose()?,
    );
    let parts = table.cut.parts();
    let mut ready = Some(builder.part(0)?);
    for part in 0..parts {
        let Some(records) = ready.take() else { break };
        let write = || -> Result<(), PsiError> {
            for (list, records) in [(&mut openers, &records.openers), (&mut cells, &records.cells)] {
                list.as_mut().map_or(Ok(()), |list| list.push(records))?;
            }
            cells.as_mut().map_or(Ok(()), |list| list.push(&records.unkeyed))
        };
        let next = || (part + 1 < parts).then(|| builder.part(part + 1)).transpose();
        let (written, following) = rayon::join(write, next);
        written?;
        ready = following?;
        // The last one is told when the lists are complete.
        advance(progress, "cells", table.spec.bound(table.side), [part, parts])?;
    }
    let of_filler = match shapes.cell.is_readable {
        true => shapes.cell.label + shapes.cell.secret_bytes(),
        false => shapes.cell.label + shapes.cell.body,
    };
    let openers = openers.map(|list| list.finish(super::super::layout::SECRET_BYTES));
    let cells = cells.map(|list| list.finish(of_filler));
    openers.into_iter().chain(cells).collect()
}

struct Builder<'a> {
    table: &'a SpilledTable,
    secrets: &'a Spilled,
    shapes: Shapes,
    stream: CellStream,
}

/// Records of one part of a table, in the order of its keys.
struct Records {
    openers: Wiped<u8>,
    cells: Wiped<u8>,
    unkeyed: Wiped<u8>,
}

impl Builder<'_> {
    fn part(&self, part: usize) -> Result<Records, PsiError> {
        let groups = Groups::new(&self.table.keys(part)?)?;
        let halves = halves_of(self.secrets, part, &groups.inputs)?;
        let openers = match self.shapes.openers {
            Some(_) => halves.of(self.table.spec.carrier()).as_flattened(),
            None => &[],
        };
        let openers = openers.iter().copied().collect();
        let (cells, unkeyed) = match self.shapes.cells {
            Some(_) => (self.cells(part, &groups, &halves)?, self.unkeyed(part)?),
            None => Default::default(),
        };
        Ok(Records {
            openers,
            cells,
            unkeyed,
        })
    }

    fn cells(&self, part: usize, groups: &Groups, halves: &HalfSecrets) -> Result<Wiped<u8>, PsiError> {
        let (spec, shape) = (&self.table.spec, self.shapes.cell);
        let opener_keys = (self.table.side == spec.opener)
            .then(|| halves.opener_keys(spec.opener))
            .transpose()?;
        let contents = Contents {
            rows: &self.table.rows(part)?,
            groups,
            keys: opener_keys.as_deref().unwrap_or(halves.of(spec.carrier())),
            secrets: shape.holds_secret.then(|| halves.of(spec.opener)),
            stream: &self.stream,
            shape,
        };
        if shape.is_readable {
            contents.readable_cells()
        } else {
            contents.closed_cells()
        }
    }

    fn unkeyed(&self, part: usize) -> Result<Wiped<u8>, PsiError> {
        let (rows, shape) = (self.table.unkeyed(part)?, self.shapes.cell);
        let mut records = Wiped::try_zeros(rows.count() * (shape.label + shape.body))?;
        lists::write_unkeyed(&rows, (0..).take(rows.count()), shape, &mut records)?;
        Ok(records)
    }
}
