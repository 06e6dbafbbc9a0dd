//! The first pass over a list of cells, and how cells are opened.

use std::ops::Range;

use super::super::secrets::{Secret, xor};
use super::super::written::StringLength;
use super::lookup::{Group, Sink, begun, count_rows, hand_on};
use super::pieces::Pieces;
use super::room::Room;
use super::scan::{Match, Stage};
use super::side::Lists;
use crate::{OpeningError, PsiError};

/// The first pass: cells 0 of closed lists, and readable rows that are alone under their key.
pub(super) struct Singles<'a, 'p, S> {
    pub lists: &'a Lists<'a>,
    pub room: &'a Room,
    pub pieces: &'p mut Option<Pieces>,
    /// What keys of several cells may still have: a forged length asks for no more than an honest one.
    pub cells_left: usize,
    pub sink: &'p mut S,
}

/// What a task of the first pass opened, and made ready for the sink.
pub(super) struct Opened<R> {
    opening: Opening,
    ready: R,
}

#[derive(Default)]
struct Opening {
    bytes: Vec<u8>,
    groups: Vec<Group>,
    long: Vec<Long>,
}

impl Opening {
    fn open_readable(
        &mut self,
        lists: &Lists<'_>,
        (from, found): (usize, &Match<'_>),
        mask: &[u8],
    ) -> Result<(), PsiError> {
        let (secret, row) = open_readable(lists, found.body, mask)?;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(row.ok_or(OpeningError::BadRow)?);
        self.groups.push(Group {
            key: *found.request.key,
            secret,
            rows: start..self.bytes.len(),
            count: 1,
            from,
        });
        Ok(())
    }

    fn open_closed(
        &mut self,
        lists: &Lists<'_>,
        (from, found): (usize, &Match<'_>),
        mask: &[u8],
    ) -> Result<(), PsiError> {
        let (shape, start) = (lists.shape, self.bytes.len());
        self.bytes.extend_from_slice(found.body);
        let string = self.bytes.get_mut(start..).unwrap_or_default();
        xor(string, mask);
        let length = StringLength::read(shape, string, lists.cells.count)?;
        let cells = length.cells(shape);
        if cells > 1 {
            let first = start..self.bytes.len();
            self.long.push(Long { from, cells, first });
            return Ok(());
        }
        let (secret, rows) = length.split(shape, string)?;
        let end = start + length.total;
        self.groups.push(Group {
            key: *found.request.key,
            secret,
            rows: end - rows.len()..end,
            count: count_rows(lists, rows)?,
            from,
        });
        Ok(())
    }
}

/// A string of which the first cell is open.
struct Long {
    from: usize,
    cells: usize,
    first: Range<usize>,
}

impl<S: Sink> Stage for Singles<'_, '_, S> {
    type Found = Opened<S::Ready>;

    fn open(&self, matches: &[Match<'_>]) -> Result<Self::Found, PsiError> {
        let mut opening = Opening::default();
        let masks = Masks::derive(self.lists, matches);
        for (from, found) in matches.iter().enumerate() {
            if self.lists.shape.is_readable {
                opening.open_readable(self.lists, (from, found), masks.of(from))?;
            } else {
                opening.open_closed(self.lists, (from, found), masks.of(from))?;
            }
        }
        let ready = self.sink.prepare(&opening.groups);
        Ok(Opened { opening, ready })
    }

    fn keep(&mut self, matches: &[Match<'_>], opened: Self::Found) -> Result<(), PsiError> {
        for found in matches {
            self.lists.claim(found.cell)?;
        }
        let strand = |from: usize| matches.get(from).map_or(&[][..], |found| found.request.strand);
        let Opened { opening, ready } = opened;
        let groups = (opening.groups.as_slice(), opening.bytes.as_slice());
        hand_on(self.lists, groups, strand, &ready, self.sink)?;
        for long in opening.long {
            let left = self.cells_left.checked_sub(long.cells);
            self.cells_left = left.ok_or(OpeningError::BadLength)?;
            let Some(found) = matches.get(long.from) else {
                continue;
            };
            let (key, cells) = (found.request.key, long.cells as u64);
            let pieces = begun(self.pieces, self.room, self.lists)?;
            let place = pieces.start(key, cells, found.request.strand)?;
            pieces.put(place, opening.bytes.get(long.first).unwrap_or_default())?;
            pieces.request(self.lists, key, 1..cells, place)?;
        }
        Ok(())
    }
}

/// Secret and row of a readable cell.
pub(super) fn open_readable<'r>(
    lists: &Lists<'_>,
    body: &'r [u8],
    mask: &[u8],
) -> Result<(Secret, Option<&'r [u8]>), PsiError> {
    let mut secret = Secret::default();
    let held = body.get(..lists.shape.secret_bytes()).unwrap_or_default();
    secret.iter_mut().zip(held).for_each(|(to, held)| *to = *held);
    xor(&mut secret, mask);
    Ok((secret, lists.readable(body)?))
}

/// Of each match what its body was masked with.
pub(super) struct Masks {
    bytes: Vec<u8>,
    label: usize,
    width: usize,
}

impl Masks {
    pub fn derive(lists: &Lists<'_>, matches: &[Match<'_>]) -> Self {
        let shape = lists.shape;
        let masked = match shape.is_readable {
            true => shape.secret_bytes(),
            false => shape.body,
        };
        let width = shape.label + masked;
        let count = if masked > 0 { matches.len() } else { 0 };
        let mut bytes = vec![0; count * width];
        let cells = matches
            .iter()
            .map(|found| (found.request.key, found.request.piece.0));
        lists.stream.fill(cells, &mut bytes, width);
        Self {
            bytes,
            label: shape.label,
            width,
        }
    }

    pub fn of(&self, number: usize) -> &[u8] {
        let mask = self
            .bytes
            .get(number * self.width + self.label..(number + 1) * self.width);
        mask.unwrap_or_default()
    }
}
