//! Opening a release: records pass by, and what is no row and no filler is refused before any row leaves.

use rayon::prelude::*;
use xor_base::rows::RowCodec;

use super::super::joined::{Joined, Part, RowStore};
use super::super::spec::ReleaseSpec;
use super::super::written::readable_row;
use super::blocks::{Sealed, Span};
use super::results::Output;
use super::room::Room;
use super::side::tell;
use super::strand::Strands;
use crate::PsiError;
use crate::oprf::{OnProgress, Side};

const RECORDS_PER_TASK: usize = 1 << 12;

/// Where the rows of a release are kept.
enum Kept {
    InMemory(RowStore),
    OnDisk(Output),
}

/// Reads the rows of a release.
///
/// # Errors
/// `Opening` for anything but rows and fillers; those of the stream and of the spill file.
///
/// # Cost
/// Memory: the rows, or, if the stream does not fit into the room, some blocks.
pub(in super::super) fn open_release(
    spec: &ReleaseSpec,
    sealed: &mut Sealed<'_>,
    room: &Room,
    progress: OnProgress<'_>,
) -> Result<Joined, PsiError> {
    let shape = spec.shape();
    let span = Span {
        start: 0,
        count: shape.count,
        width: shape.width,
    };
    let mut kept = match shape.bytes() as u64 > room.memory_bytes {
        true => Kept::OnDisk(Output::new(room, Strands::new(&room.directory))?),
        false => Kept::InMemory(RowStore::default()),
    };
    let tick = &mut |done| tell(progress, "open", done, spec.rows);
    sealed.for_each_block(span, room.chunks_at_once(), tick, |_, records| {
        let rows = records
            .par_chunks(RECORDS_PER_TASK * shape.width)
            .map(|records| rows_of(spec, records))
            .collect::<Result<Vec<_>, PsiError>>()?;
        rows.iter().try_for_each(|rows| match &mut kept {
            Kept::InMemory(store) => store.append(rows),
            Kept::OnDisk(output) => output.push_alone(true, rows.len(), &rows.bytes),
        })
    })?;
    let codecs = [spec.payload.clone(), RowCodec::new(Vec::new())];
    match kept {
        Kept::InMemory(store) => {
            let part = Part::unmatched([store, RowStore::default()]);
            Ok(Joined::new(codecs, vec![part]))
        }
        Kept::OnDisk(output) => {
            let results = output.finish(Side::Left, codecs.clone())?;
            Ok(Joined::on_disk(codecs, results))
        }
    }
}

fn rows_of(spec: &ReleaseSpec, records: &[u8]) -> Result<RowStore, PsiError> {
    let mut store = RowStore::default();
    for record in records.chunks_exact(spec.shape().width) {
        if let Some(row) = readable_row(&spec.payload, record)? {
            store.push(row)?;
        }
    }
    Ok(store)
}
