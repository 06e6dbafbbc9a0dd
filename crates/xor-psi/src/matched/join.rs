//! A player's whole step: the sender sends all its rows in closed cells, the receiver opens those of its own keys.

use std::time::Instant;

use arrow_array::Int64Array;
use rayon::prelude::*;
use xor_base::keys::Keys;
use xor_base::rows::{Field, RowCodec, Rows};
use xor_base::types::Type;
use xor_base::wiped::Wiped;
use xor_channel::Channel;

use super::spec::MatchedSpec;
use crate::PsiError;
use crate::oprf::{Directions, OnProgress, Oprf, Side, Sizes};
use crate::sealed::cells::CellList;
use crate::sealed::group::Groups;
use crate::sealed::join::{Clock, agree_on_attempt, notify};
use crate::sealed::joined::{Joined, Part, RowStore};
use crate::sealed::lists::{self, Contents};
use crate::sealed::opening::SideLists;
use crate::sealed::reader::Reader;
use crate::sealed::secrets::{Attempt, CellStream, Secret, matched_keys};
use crate::sealed::{Step, Table};

/// Keys that one task opens.
const KEYS_PER_TASK: usize = 1 << 11;

/// What a player reports, and at the receiver what it found.
pub struct Matched {
    pub found: Option<Found>,
    /// What the peer sees as well.
    pub steps: Vec<Step>,
    /// All steps, with those that take a time that depends on this player's own table, or on what matched.
    pub own_steps: Vec<Step>,
}

/// What the receiver learns.
pub struct Found {
    /// For each own row the number of its key, from 0 in the order of first rows; nothing where a part is NULL.
    pub numbers: Int64Array,
    /// The sender's rows with an own key: the number of the key, then the sender's columns.
    pub rows: Joined,
    /// Keys of which the sender's rows were malformed or too many, taken for keys without rows. For the receiver's
    /// owner only: whoever else learns it learns whether a key is there.
    pub refused_keys: usize,
}

/// A table that fits its declaration, grouped by key. Making one sends nothing.
pub struct Prepared<'a> {
    spec: &'a MatchedSpec,
    side: Side,
    rows: Option<Rows<'a>>,
    groups: Groups,
    count: usize,
    seconds: f64,
}

impl<'a> Prepared<'a> {
    /// Checks the table against the parameters and derives its distinct keys. The receiver brings keys only.
    ///
    /// # Errors
    /// `TooManyRows` above the bound; `Table` for columns that are not as declared.
    pub fn new(spec: &'a MatchedSpec, side: Side, table: &'a Table) -> Result<Self, PsiError> {
        let started = Instant::now();
        let bound = spec.bound(side);
        if table.rows > bound {
            return Err(PsiError::TooManyRows { bound });
        }
        let is_receiver = side == spec.receiver;
        let rows = match is_receiver {
            true => None,
            false => Some(spec.payload.read(&table.payload, table.rows)?),
        };
        let keys = Keys::new(spec.key_types(side), &table.keys, table.rows)?;
        Ok(Self {
            spec,
            side,
            rows,
            groups: Groups::new(&keys.inputs())?,
            count: table.rows,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// All that a player says to its peer: the hello, one direction of an OPRF, and the cells. The channel may
    /// then be closed; what the receiver does next takes a time that depends on what matched.
    ///
    /// # Errors
    /// A channel error; a failed check of the peer's messages; `BadCells`; `OutOfMemory`; `Cancelled`.
    ///
    /// # Discloses
    /// To the sender: nothing beyond the public parameters. To the receiver: once it opens, the sender's rows
    /// with its own keys; and how long the sender took to close its cells.
    ///
    /// # Security
    /// Malicious peers: the sender can change its own rows only, the receiver its own keys, up to 2.5 times more
    /// than its bound. Nonces and OPRF key are drawn anew in every call.
    ///
    /// # Cost
    /// One direction of the OPRF; from the sender [`super::Layout::sent_bytes`].
    ///
    /// # Source
    /// `docs/protocols/matched-join.md`; the OPRF names its own.
    pub fn exchange(
        &self,
        oprf: &mut dyn Oprf,
        channel: &mut dyn Channel,
        progress: OnProgress<'_>,
    ) -> Result<Exchanged<'_>, PsiError> {
        let mut clock = Clock::new(channel.meter());
        let spec = self.spec;
        let attempt = agree_on_attempt(spec.plan_hash, spec.node, self.side, channel)?;
        let hello = clock.lap("hello", channel.meter());
        let sizes = Sizes {
            own: spec.bound(self.side),
            peer: spec.bound(self.side.other()),
        };
        let directions = match self.rows {
            Some(_) => Directions::Serve,
            None => Directions::Receive,
        };
        let outputs = oprf.evaluate(
            self.side,
            directions,
            &self.groups.inputs,
            sizes,
            channel,
            progress,
        )?;
        let oprf = clock.lap("oprf", channel.meter());
        let received = match &self.rows {
            Some(rows) => {
                let keys = matched_keys(&outputs.of_own_key, &attempt)?;
                self.send_cells(rows, &keys, attempt, channel)?;
                None
            }
            None => {
                let keys = matched_keys(&outputs.of_peer_key, &attempt)?;
                Some((keys, spec.layout().receive(channel)?))
            }
        };
        notify(progress, "cells", spec.bound(spec.receiver.other()))?;
        Ok(Exchanged {
            prepared: self,
            attempt,
            received,
            steps: vec![hello, oprf],
            cells: clock.lap("cells", channel.meter()),
        })
    }

    fn send_cells(
        &self,
        rows: &Rows<'_>,
        keys: &[Secret],
        attempt: Attempt,
        channel: &mut dyn Channel,
    ) -> Result<(), PsiError> {
        let layout = self.spec.layout();
        let contents = Contents {
            rows,
            groups: &self.groups,
            keys,
            secrets: None,
            stream: &CellStream::new(attempt, self.side),
            shape: layout.cell,
        };
        layout.send(&lists::closed(&contents, layout.list)?, channel)
    }
}

/// A player that has all it needs of its peer. Secrets are wiped when it is dropped.
pub struct Exchanged<'a> {
    prepared: &'a Prepared<'a>,
    attempt: Attempt,
    /// The receiver's keys of cells, and the cells.
    received: Option<(Wiped<Secret>, Vec<u8>)>,
    steps: Vec<Step>,
    cells: Step,
}

impl Exchanged<'_> {
    /// The receiver opens the cells of its own keys; the sender has nothing to open.
    ///
    /// # Errors
    /// `BadCells`: labels are not in order, whatever this player's keys; `OutOfMemory`; `Cancelled`.
    ///
    /// # Security
    /// Nothing fails where only the holder of a key can notice: a key of which the rows are malformed has none.
    pub fn open(self, progress: OnProgress<'_>) -> Result<Matched, PsiError> {
        let started = Instant::now();
        let own_step = |name, seconds| Step {
            name,
            seconds,
            sent_bytes: 0,
        };
        let keys = own_step("keys", self.prepared.seconds);
        let mut own_steps = [&[keys], self.steps.as_slice(), &[self.cells]].concat();
        let found = match &self.received {
            Some((keys, cells)) => Some(self.find(keys, cells)?),
            None => None,
        };
        if found.is_some() {
            notify(progress, "open", self.prepared.spec.bound(self.prepared.side))?;
            own_steps.push(own_step("open", started.elapsed().as_secs_f64()));
        }
        Ok(Matched {
            found,
            steps: self.steps,
            own_steps,
        })
    }

    fn find(&self, keys: &[Secret], cells: &[u8]) -> Result<Found, PsiError> {
        let Prepared {
            spec, groups, count, ..
        } = self.prepared;
        let layout = spec.layout();
        let list = CellList::new(cells, layout.list.width, layout.cell).map_err(|_| PsiError::BadCells)?;
        let sender = spec.receiver.other();
        let lists = SideLists::of_cells(sender, list, spec.most_rows, &spec.payload, self.attempt);
        let numbered = RowCodec::new(vec![Field {
            name: "number".to_owned(),
            kind: Type::Int64,
            max_bytes: 0,
        }]);
        let tasks = keys.par_chunks(KEYS_PER_TASK).enumerate();
        let parts = tasks
            .map(|(task, keys)| open_some(&lists, keys, task * KEYS_PER_TASK, spec.most_per_key))
            .collect::<Result<Vec<_>, PsiError>>()?;
        let refused_keys = parts.iter().map(|(_, refused)| refused).sum();
        let parts = parts.into_iter().map(|(part, _)| part).collect();
        let mut numbers = vec![None; *count];
        for (rows, number) in groups.iter().zip(0_i64..) {
            for row in rows {
                if let Some(to) = numbers.get_mut(*row as usize) {
                    *to = Some(number);
                }
            }
        }
        Ok(Found {
            numbers: numbers.into(),
            rows: Joined::new([numbered, spec.payload.clone()], parts),
            refused_keys,
        })
    }
}

/// The rows of some keys, each key once beside them, and how many keys were refused.
fn open_some(
    lists: &SideLists<'_>,
    keys: &[Secret],
    first: usize,
    most_per_key: usize,
) -> Result<(Part, usize), PsiError> {
    let mut reader = Reader::forgiving(lists, most_per_key);
    let opened = reader.open(keys)?;
    let refused = reader.refused();
    let mut numbers = RowStore::default();
    let mut groups = Vec::with_capacity(opened.len());
    for each in opened {
        let row = numbers.len();
        numbers.push(&number_row(first + each.key))?;
        groups.push([row..row + 1, each.rows]);
    }
    Ok((Part::of_groups([numbers, reader.finish()?], groups), refused))
}

/// A row of the column of numbers: no NULL, then the number.
fn number_row(number: usize) -> [u8; 9] {
    let mut row = [0; 9];
    row.iter_mut()
        .skip(1)
        .zip((number as u64).to_le_bytes())
        .for_each(|(to, from)| *to = from);
    row
}
