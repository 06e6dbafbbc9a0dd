//! Keys that are looked up at one side: asked for, found in one pass or two, and put together.

use std::ops::Range;

use super::super::secrets::Secret;
use super::super::written::each_row;
use super::blocks::Sealed;
use super::pieces::Pieces;
use super::requests::{Asked, Form, Requests};
use super::room::Room;
use super::scan::{Scan, Stage};
use super::side::{Lists, Tick};
use super::singles::Singles;
use super::slots::{Slots, assemble};
use crate::{OpeningError, PsiError};

/// A key that was found: its number among those of a task, what its cells hold, and where.
pub(super) struct Group {
    pub key: Secret,
    /// `s_o`; zeros if the cells hold none.
    pub secret: Secret,
    pub rows: Range<usize>,
    pub count: usize,
    /// The match or head that it comes from.
    pub from: usize,
}

/// A key with all its rows.
pub(super) struct Found<'f> {
    pub rows: &'f [u8],
    pub count: usize,
    /// What was found for it on the other side before.
    pub strand: &'f [u8],
}

/// Where found keys go.
pub(super) trait Sink: Send + Sync {
    type Ready: Send;

    /// What takes long, as one of many tasks.
    fn prepare(&self, groups: &[Group]) -> Self::Ready;

    /// Takes the key of that number among those that were prepared together.
    fn take(&mut self, found: &Found<'_>, ready: &Self::Ready, number: usize) -> Result<(), PsiError>;
}

/// Keys that are being collected.
pub(super) struct Lookup<'a> {
    lists: &'a Lists<'a>,
    room: &'a Room,
    /// Keys that were found on the other side come with its rows, and must be found here too.
    is_second: bool,
    singles: Requests,
    pieces: Option<Pieces>,
}

impl<'a> Lookup<'a> {
    /// For up to `keys` keys, with about `strand` bytes each if they come from the other side.
    ///
    /// # Errors
    /// As `Spill::new`.
    pub fn new(
        lists: &'a Lists<'a>,
        room: &'a Room,
        keys: usize,
        strand: Option<usize>,
    ) -> Result<Self, PsiError> {
        let form = Form {
            label: lists.shape.label,
            is_piece: false,
            has_strand: strand.is_some(),
        };
        Ok(Self {
            lists,
            room,
            is_second: strand.is_some(),
            singles: Requests::new(room, form, keys, strand.unwrap_or(0))?,
            pieces: None,
        })
    }

    pub fn lists(&self) -> &'a Lists<'a> {
        self.lists
    }

    /// Takes a key with its first label and the number of its cells, as `Lists::expand` gives them.
    ///
    /// # Errors
    /// `MissingCell` for a key that must have a cell and has none; as `Spill::push`.
    pub fn ask(&mut self, key: &Secret, (label, run): (&[u8], u64), strand: &[u8]) -> Result<(), PsiError> {
        match run {
            0 if self.is_second => Err(OpeningError::MissingCell.into()),
            0 => Ok(()),
            1 => self.singles.push(label, key, strand),
            run => {
                let pieces = begun(&mut self.pieces, self.room, self.lists)?;
                let place = pieces.start(key, run, strand)?;
                pieces.request(self.lists, key, 0..run, place)
            }
        }
    }

    /// Finds what was asked for.
    ///
    /// # Errors
    /// `Opening` for whatever does not hold together; those of the stream and of the spill files.
    pub fn resolve<S: Sink>(
        self,
        sealed: &mut Sealed<'_>,
        sink: &mut S,
        tick: Tick<'_>,
    ) -> Result<(), PsiError> {
        let Self {
            lists,
            room,
            is_second,
            singles,
            mut pieces,
        } = self;
        let mut stage = Singles {
            lists,
            room,
            pieces: &mut pieces,
            cells_left: lists.cells.count,
            sink,
        };
        let is_complete = pass(lists, sealed, &singles.finish()?, (&mut stage, room), tick)?;
        if is_second && !is_complete {
            return Err(OpeningError::MissingCell.into());
        }
        let Some(mut pieces) = pieces else {
            return Ok(());
        };
        if let Some(asked) = pieces.asked()? {
            let mut stage = Slots {
                lists,
                pieces: &mut pieces,
            };
            let is_complete = pass(lists, sealed, &asked, (&mut stage, room), tick)?;
            if !lists.shape.is_readable && !is_complete {
                return Err(OpeningError::MissingCell.into());
            }
        }
        assemble(lists, pieces.finish()?, is_second, sink)
    }
}

/// Lets all cells pass by: whether everything that was asked for was there.
fn pass(
    lists: &Lists<'_>,
    sealed: &mut Sealed<'_>,
    asked: &Asked,
    (stage, room): (&mut (impl Stage + Send), &Room),
    tick: Tick<'_>,
) -> Result<bool, PsiError> {
    let mut scan = Scan::new(lists.shape, asked);
    sealed.for_each_block(lists.cells, room.chunks_at_once(), tick, |first, cells| {
        scan.block(first, cells, stage)
    })?;
    Ok(scan.hits == asked.count)
}

/// The pieces, as soon as a key has several cells.
///
/// # Errors
/// As `Pieces::new`.
pub(super) fn begun<'p>(
    pieces: &'p mut Option<Pieces>,
    room: &Room,
    lists: &Lists<'_>,
) -> Result<&'p mut Pieces, PsiError> {
    match pieces {
        Some(pieces) => Ok(pieces),
        None => Ok(pieces.insert(Pieces::new(room, lists)?)),
    }
}

/// Counts rows against the bound, then gives them to the sink.
pub(super) fn hand_on<'s, S: Sink>(
    lists: &Lists<'_>,
    (groups, bytes): (&[Group], &[u8]),
    strand: impl Fn(usize) -> &'s [u8],
    ready: &S::Ready,
    sink: &mut S,
) -> Result<(), PsiError> {
    for (number, group) in groups.iter().enumerate() {
        lists.spend(group.count)?;
        let found = Found {
            rows: bytes.get(group.rows.clone()).unwrap_or_default(),
            count: group.count,
            strand: strand(group.from),
        };
        sink.take(&found, ready, number)?;
    }
    Ok(())
}

/// How many rows stand there.
///
/// # Errors
/// `BadRow`.
pub(super) fn count_rows(lists: &Lists<'_>, rows: &[u8]) -> Result<usize, PsiError> {
    let mut count = 0;
    each_row(lists.codec, rows, |_| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}
