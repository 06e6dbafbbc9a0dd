//! Opening in bounded memory: streams pass by, what is looked up in them is sorted in parts on disk.
//!
//! 1. Readable lists pass once: each record is checked, labels are remembered in a filter.
//! 2. The openers pass: each asks for its first cell at the carrier.
//! 3. The carrier's cells pass, once more if keys have several: what they open asks at the opener's side and takes
//!    the carrier's rows along.
//! 4. The opener's cells pass likewise: groups are complete.
//! 5. Readable lists pass again: rows that were not used.
//!
//! Rows leave when all of that is done and nothing can be found wrong any more.

use rayon::prelude::*;
use xor_base::derive::{Derive, Purpose};
use xor_base::wiped::Wiped;

use super::super::joined::Joined;
use super::super::layout::SECRET_BYTES;
use super::super::secrets::{Attempt, Secret, opener_keys};
use super::super::spec::{JoinKind, JoinSpec};
use super::blocks::Sealed;
use super::lookup::{Found, Group, Lookup, Sink};
use super::results::Output;
use super::room::Room;
use super::side::{Expanded, Lists, tell};
use super::strand::Strands;
use crate::oprf::{OnProgress, Side};
use crate::{OpeningError, PsiError};

const OPENERS_PER_TASK: usize = 1 << 12;

/// Opens a join that does not fit into memory.
///
/// # Errors
/// As [`super::open`]; `BadChunk`; `Write` where the disk is full.
///
/// # Cost
/// Each list is decrypted one to four times. Memory: about `room`, one bit for each cell and up to 32 more for each of
/// a readable list, and the rows of the largest key. Disk: up to three times both streams.
pub(in super::super) fn open_streamed(
    spec: &JoinSpec,
    attempt: Attempt,
    sealed: [Sealed<'_>; 2],
    room: &Room,
    progress: OnProgress<'_>,
) -> Result<Joined, PsiError> {
    let [left, right] = sealed;
    let (opener, carrier) = match spec.opener {
        Side::Left => (left, right),
        Side::Right => (right, left),
    };
    let mut sides = Sides {
        lists: [
            Lists::new(spec, spec.opener, attempt)?,
            Lists::new(spec, spec.carrier(), attempt)?,
        ],
        sealed: [opener, carrier],
        room,
    };
    sides.survey(progress)?;
    let mut output = match spec.kind {
        JoinKind::Semi => sides.keep_rows(progress)?,
        _ => sides.open_groups(spec.payload(spec.carrier()).longest(), progress)?,
    };
    sides.add_unmatched(&mut output, progress)?;
    let codecs = [spec.opener, spec.carrier()].map(|side| spec.payload(side).clone());
    Ok(Joined::on_disk(
        spec.codecs(),
        output.finish(spec.opener, codecs)?,
    ))
}

/// Both sides by role: opener, carrier.
struct Sides<'a, 's> {
    lists: [Lists<'a>; 2],
    sealed: [Sealed<'s>; 2],
    room: &'a Room,
}

impl Sides<'_, '_> {
    fn survey(&mut self, progress: OnProgress<'_>) -> Result<(), PsiError> {
        let at_once = self.room.chunks_at_once();
        for (lists, sealed) in self.lists.iter_mut().zip(&mut self.sealed) {
            let total = lists.cells.count;
            lists.survey(sealed, at_once, &mut tick(progress, total))?;
        }
        Ok(())
    }

    /// The rows of the carrier that an opener reaches.
    fn keep_rows(&mut self, progress: OnProgress<'_>) -> Result<Output, PsiError> {
        let [openers, kept] = &self.lists;
        let [opener, carrier] = &mut self.sealed;
        let mut lookup = Lookup::new(kept, self.room, openers.openers.count, None)?;
        ask_openers(openers, opener, &mut lookup, self.room, progress)?;
        let mut output = Output::new(self.room, Strands::new(&self.room.directory))?;
        let tick = &mut tick(progress, kept.cells.count);
        lookup.resolve(carrier, &mut Kept(&mut output), tick)?;
        Ok(output)
    }

    /// All groups; a carrier's row has up to that many bytes.
    fn open_groups(&mut self, longest: usize, progress: OnProgress<'_>) -> Result<Output, PsiError> {
        let [of_opener, of_carrier] = &self.lists;
        let [opener, carrier] = &mut self.sealed;
        let (openers, cells) = (of_opener.openers.count, of_carrier.cells.count);
        let mut lookup = Lookup::new(of_carrier, self.room, openers, None)?;
        ask_openers(of_opener, opener, &mut lookup, self.room, progress)?;
        let mut at_opener = AtOpener {
            lookup: Lookup::new(of_opener, self.room, openers.min(cells), Some(longest))?,
            derive: Derive::new(Purpose::Opener),
            strands: Strands::new(&self.room.directory),
            strand: Vec::new(),
        };
        lookup.resolve(carrier, &mut at_opener, &mut tick(progress, cells))?;
        let AtOpener { lookup, strands, .. } = at_opener;
        let mut output = Output::new(self.room, strands)?;
        let tick = &mut tick(progress, of_opener.cells.count);
        lookup.resolve(opener, &mut Pairs(&mut output), tick)?;
        Ok(output)
    }

    fn add_unmatched(&mut self, output: &mut Output, progress: OnProgress<'_>) -> Result<(), PsiError> {
        let at_once = self.room.chunks_at_once();
        for ((lists, sealed), is_opener) in self.lists.iter().zip(&mut self.sealed).zip([true, false]) {
            let tick = &mut tick(progress, lists.cells.count);
            lists.for_each_unmatched(sealed, at_once, tick, |count, rows| {
                output.push_alone(is_opener, count, rows)
            })?;
        }
        Ok(())
    }
}

/// Bounds only: how many records of a list have passed.
fn tick(progress: OnProgress<'_>, total: usize) -> impl FnMut(usize) -> Result<(), PsiError> {
    move |done| tell(progress, "match", done, total)
}

fn ask_openers(
    lists: &Lists<'_>,
    sealed: &mut Sealed<'_>,
    lookup: &mut Lookup<'_>,
    room: &Room,
    progress: OnProgress<'_>,
) -> Result<(), PsiError> {
    let mut before: Option<Secret> = None;
    let tick = &mut tick(progress, lists.openers.count);
    sealed.for_each_block(lists.openers, room.chunks_at_once(), tick, |_, openers| {
        let (openers, _) = openers.as_chunks::<SECRET_BYTES>();
        let ascends = before.as_ref() < openers.first() && openers.is_sorted_by(|left, right| left < right);
        if !ascends {
            return Err(OpeningError::RepeatedOpener.into());
        }
        before = openers.last().copied();
        let at = lookup.lists();
        let expanded: Vec<_> = openers
            .par_chunks(OPENERS_PER_TASK)
            .map(|openers| (openers, at.expand(openers)))
            .collect();
        for (openers, expanded) in expanded {
            for (number, opener) in openers.iter().enumerate() {
                lookup.ask(opener, expanded.of(number, at.shape.label), &[])?;
            }
        }
        Ok(())
    })
}

/// What the carrier's cells open is looked up at the opener's side.
struct AtOpener<'a> {
    lookup: Lookup<'a>,
    derive: Derive,
    strands: Strands,
    strand: Vec<u8>,
}

impl Sink for AtOpener<'_> {
    type Ready = (Wiped<Secret>, Expanded);

    fn prepare(&self, groups: &[Group]) -> Self::Ready {
        let mut keys = Wiped::new(vec![Secret::default(); groups.len()]);
        let pairs = groups.iter().map(|group| (&group.secret, &group.key));
        opener_keys(&self.derive, pairs, &mut keys);
        let expanded = self.lookup.lists().expand(&keys);
        (keys, expanded)
    }

    fn take(&mut self, found: &Found<'_>, ready: &Self::Ready, number: usize) -> Result<(), PsiError> {
        let (keys, expanded) = ready;
        self.strand.clear();
        self.strands.append(found.count, found.rows, &mut self.strand)?;
        let label = self.lookup.lists().shape.label;
        match keys.get(number) {
            Some(key) => self.lookup.ask(key, expanded.of(number, label), &self.strand),
            None => Ok(()),
        }
    }
}

/// Both sides of a key.
struct Pairs<'o>(&'o mut Output);

impl Sink for Pairs<'_> {
    type Ready = ();

    fn prepare(&self, _: &[Group]) -> Self::Ready {}

    fn take(&mut self, found: &Found<'_>, (): &Self::Ready, _: usize) -> Result<(), PsiError> {
        self.0.push_group(found.count, found.rows, found.strand)
    }
}

/// The rows of a semi join.
struct Kept<'o>(&'o mut Output);

impl Sink for Kept<'_> {
    type Ready = ();

    fn prepare(&self, _: &[Group]) -> Self::Ready {}

    fn take(&mut self, found: &Found<'_>, (): &Self::Ready, _: usize) -> Result<(), PsiError> {
        self.0.push_kept(found.count, found.rows)
    }
}
