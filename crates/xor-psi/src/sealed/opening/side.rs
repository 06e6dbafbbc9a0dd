//! One side's lists while they pass by: what is known of them, and what was used of them.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use xor_base::rows::RowCodec;

use super::super::layout::{CellShape, ListShape};
use super::super::secrets::{Attempt, CellStream, Secret};
use super::super::spec::JoinSpec;
use super::super::written::readable_row;
use super::blocks::{Sealed, Span};
use super::filter::Filter;
use super::memory::Budget;
use super::scan::{CELLS_PER_TASK, Order};
use crate::oprf::{OnProgress, Progress, Side, report};
use crate::{OpeningError, PsiError};

/// Is told how much of a list has passed by.
pub(super) type Tick<'t> = &'t mut dyn FnMut(usize) -> Result<(), PsiError>;

/// Reports how many records of a list have passed: numbers that follow from the bounds.
///
/// # Errors
/// `Cancelled`.
pub(super) fn tell(
    progress: OnProgress<'_>,
    step: &'static str,
    done: usize,
    total: usize,
) -> Result<(), PsiError> {
    let (done, total) = (done as u64, total as u64);
    Ok(report(progress, Progress { step, done, total })?)
}

/// The lists of one side.
pub(super) struct Lists<'a> {
    pub openers: Span,
    pub cells: Span,
    pub shape: CellShape,
    pub codec: &'a RowCodec,
    pub stream: CellStream,
    /// Rows up to the bound.
    pub rows: Budget,
    /// The labels of a readable list.
    filter: Option<Filter>,
    used: Vec<AtomicU64>,
}

impl<'a> Lists<'a> {
    /// # Errors
    /// `OutOfMemory`.
    pub fn new(spec: &'a JoinSpec, side: Side, attempt: Attempt) -> Result<Self, PsiError> {
        let shapes = spec.shapes(side);
        let span = |start, shape: Option<ListShape>| Span {
            start,
            count: shape.map_or(0, |shape| shape.count),
            width: shape.map_or(0, |shape| shape.width),
        };
        let cells = span(
            shapes.openers.map_or(0, |shape| shape.bytes() as u64),
            shapes.cells,
        );
        let mut used = Vec::new();
        let words = cells.count.div_ceil(64);
        used.try_reserve_exact(words).map_err(|_| PsiError::OutOfMemory)?;
        used.resize_with(words, AtomicU64::default);
        Ok(Self {
            openers: span(0, shapes.openers),
            cells,
            shape: shapes.cell,
            codec: spec.payload(side),
            stream: CellStream::new(attempt, side),
            rows: Budget::new(spec.bound(side)),
            filter: None,
            used,
        })
    }

    /// Takes a cell; each may be taken once.
    pub fn claim(&self, cell: usize) -> Result<(), OpeningError> {
        let bit = 1_u64 << (cell % 64);
        let word = self.used.get(cell / 64);
        match word.map(|word| word.fetch_or(bit, Ordering::Relaxed) & bit) {
            Some(0) => Ok(()),
            _ => Err(OpeningError::SharedCell),
        }
    }

    fn is_used(&self, cell: usize) -> bool {
        let word = self.used.get(cell / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (cell % 64) & 1 == 1)
    }

    /// Counts rows of this side's result.
    pub fn spend(&self, rows: usize) -> Result<(), OpeningError> {
        match self.rows.take(rows) {
            true => Ok(()),
            false => Err(OpeningError::BadLength),
        }
    }

    /// Looks at every record of a readable list: what is no row and no filler is refused before any row leaves,
    /// and labels are remembered well enough to count the rows of a key.
    ///
    /// # Errors
    /// `BadRow`, `RepeatedLabel`; those of the stream.
    pub fn survey(&mut self, sealed: &mut Sealed<'_>, at_once: u64, tick: Tick<'_>) -> Result<(), PsiError> {
        if !self.shape.is_readable {
            return Ok(());
        }
        let filter = Filter::new(self.cells.count)?;
        let (mut order, width) = (Order::new(self.shape.label), self.cells.width);
        sealed.for_each_block(self.cells, at_once, tick, |_, cells| {
            order.check(cells, width)?;
            cells
                .par_chunks(CELLS_PER_TASK * width)
                .flat_map_iter(|cells| cells.chunks_exact(width))
                .try_for_each(|cell| {
                    let (label, body) = cell
                        .split_at_checked(self.shape.label)
                        .ok_or(OpeningError::BadLength)?;
                    filter.insert(label);
                    self.readable(body).map(drop)
                })
        })?;
        self.filter = Some(filter);
        Ok(())
    }

    /// The row in a readable cell's body, or nothing in a filler.
    pub fn readable<'r>(&self, body: &'r [u8]) -> Result<Option<&'r [u8]>, PsiError> {
        let record = body.get(self.shape.secret_bytes()..).unwrap_or_default();
        Ok(readable_row(self.codec, record)?)
    }

    /// Gives `keep` the readable rows that no opener reached, some at a time: how many, and their bytes.
    ///
    /// # Errors
    /// Those of the stream and of `keep`.
    pub fn for_each_unmatched(
        &self,
        sealed: &mut Sealed<'_>,
        at_once: u64,
        tick: Tick<'_>,
        mut keep: impl FnMut(usize, &[u8]) -> Result<(), PsiError> + Send,
    ) -> Result<(), PsiError> {
        if !self.shape.is_readable {
            return Ok(());
        }
        let width = self.cells.width;
        sealed.for_each_block(self.cells, at_once, tick, |first, cells| {
            let tasks = cells.par_chunks(CELLS_PER_TASK * width).enumerate();
            let rows = tasks
                .map(|(task, cells)| self.unmatched(first + task * CELLS_PER_TASK, cells))
                .collect::<Result<Vec<_>, PsiError>>()?;
            rows.into_iter().try_for_each(|(count, rows)| keep(count, &rows))
        })
    }

    fn unmatched(&self, first: usize, cells: &[u8]) -> Result<(usize, Vec<u8>), PsiError> {
        let (mut count, mut rows) = (0, Vec::new());
        for (number, cell) in (first..).zip(cells.chunks_exact(self.cells.width)) {
            if self.is_used(number) {
                continue;
            }
            let body = cell.get(self.shape.label..).unwrap_or_default();
            if let Some(row) = self.readable(body)? {
                rows.extend_from_slice(row);
                count += 1;
            }
        }
        Ok((count, rows))
    }

    /// The label of each key's first cell, and how many cells it may have here: none, one, or of a readable list
    /// any number. Of a closed list it says one, since the first cell tells the others.
    pub fn expand(&self, keys: &[Secret]) -> Expanded {
        let mut labels = vec![0; keys.len() * self.shape.label];
        self.fill(keys.iter().map(|key| (key, 0)), &mut labels);
        let Some(filter) = &self.filter else {
            return Expanded {
                labels,
                runs: vec![1; keys.len()],
            };
        };
        let each_label = labels.chunks_exact(self.shape.label);
        let mut runs: Vec<u64> = each_label
            .map(|label| u64::from(filter.may_hold(label)))
            .collect();
        let found = || keys.iter().zip(&runs).filter(|(_, run)| **run > 0);
        let mut seconds = vec![0; found().count() * self.shape.label];
        self.fill(found().map(|(key, _)| (key, 1)), &mut seconds);
        let mut seconds = seconds.chunks_exact(self.shape.label);
        for (run, key) in runs.iter_mut().zip(keys).filter(|(run, _)| **run > 0) {
            if seconds.next().is_some_and(|label| filter.may_hold(label)) {
                *run = self.run(filter, key);
            }
        }
        Expanded { labels, runs }
    }

    /// How many cells from number 0 on the filter may hold; the first two it does.
    fn run(&self, filter: &Filter, key: &Secret) -> u64 {
        let (mut next, mut step) = (2, 2);
        while next <= self.cells.count as u64 {
            let mut labels = vec![0; step * self.shape.label];
            self.fill((next..).map(|number| (key, number)), &mut labels);
            let held = labels
                .chunks_exact(self.shape.label)
                .take_while(|label| filter.may_hold(label))
                .count();
            next += held as u64;
            if held < step {
                break;
            }
            step = (step * 2).min(64);
        }
        next
    }

    fn fill<'k>(&self, cells: impl IntoIterator<Item = (&'k Secret, u64)>, labels: &mut [u8]) {
        self.stream.fill(cells, labels, self.shape.label);
    }
}

/// Of some keys what is looked up for them.
pub(super) struct Expanded {
    pub labels: Vec<u8>,
    pub runs: Vec<u64>,
}

impl Expanded {
    /// The first label and the number of cells of one of the keys.
    pub fn of(&self, number: usize, label_bytes: usize) -> (&[u8], u64) {
        let label = self.labels.get(number * label_bytes..(number + 1) * label_bytes);
        let run = self.runs.get(number);
        (label.unwrap_or_default(), run.copied().unwrap_or(0))
    }
}
