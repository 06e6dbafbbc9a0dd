//! One pass over a list of cells: order checked, requests found, and what they open handed on.

use rayon::prelude::*;

use super::super::cells::is_less;
use super::super::layout::CellShape;
use super::requests::{Asked, Request, Sorted};
use crate::{OpeningError, PsiError};

/// Cells that one task looks at.
pub(super) const CELLS_PER_TASK: usize = 1 << 12;

/// A request and the cell under its label.
pub(super) struct Match<'m> {
    pub request: Request<'m>,
    /// Its number in the list.
    pub cell: usize,
    /// What follows the label.
    pub body: &'m [u8],
}

/// What a pass does with its matches.
pub(super) trait Stage: Sync {
    type Found: Send;

    /// Opens cells, as one of many tasks.
    fn open(&self, matches: &[Match<'_>]) -> Result<Self::Found, PsiError>;

    /// Takes what a task found, in the order of the cells.
    fn keep(&mut self, matches: &[Match<'_>], found: Self::Found) -> Result<(), PsiError>;
}

/// Where a pass stands.
pub(super) struct Scan<'a> {
    shape: CellShape,
    asked: &'a Asked,
    loaded: Option<(usize, Sorted)>,
    order: Order,
    /// Requests that were found.
    pub hits: u64,
}

impl<'a> Scan<'a> {
    pub fn new(shape: CellShape, asked: &'a Asked) -> Self {
        Self {
            shape,
            asked,
            loaded: None,
            order: Order::new(shape.label),
            hits: 0,
        }
    }

    /// The next cells of the list, the first of them with that number.
    ///
    /// # Errors
    /// `RepeatedLabel`, and what the stage returns.
    pub fn block(&mut self, first: usize, cells: &[u8], stage: &mut impl Stage) -> Result<(), PsiError> {
        let width = self.shape.label + self.shape.body;
        self.order.check(cells, width)?;
        let (mut first, mut rest) = (first, cells);
        while let Some(label) = rest.get(..self.shape.label) {
            let part = self.asked.part_of(label);
            let count = self.cells_of_part(part, rest, width);
            let (now, later) = rest.split_at(count * width);
            self.within_part(part, (first, now), stage)?;
            (first, rest) = (first + count, later);
        }
        Ok(())
    }

    /// How many of the cells belong to a part or to one before.
    fn cells_of_part(&self, part: usize, cells: &[u8], width: usize) -> usize {
        let (mut low, mut high) = (1, cells.len() / width);
        while low < high {
            let middle = low + (high - low) / 2;
            let label = cells.get(middle * width..middle * width + self.shape.label);
            if self.asked.part_of(label.unwrap_or_default()) <= part {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn within_part(
        &mut self,
        part: usize,
        (first, cells): (usize, &[u8]),
        stage: &mut impl Stage,
    ) -> Result<(), PsiError> {
        if self.loaded.as_ref().is_none_or(|(loaded, _)| *loaded != part) {
            // Not two parts at a time.
            self.loaded = None;
            self.loaded = Some((part, self.asked.load(part)?));
        }
        let Some((_, sorted)) = &self.loaded else {
            return Ok(());
        };
        let (width, label) = (self.shape.label + self.shape.body, self.shape.label);
        let opened = cells
            .par_chunks(CELLS_PER_TASK * width)
            .enumerate()
            .map(|(task, cells)| {
                let mut matches = Vec::new();
                sorted.merge(cells, width, |request, number| {
                    let body = cells.get(number * width + label..(number + 1) * width);
                    matches.push(Match {
                        request,
                        cell: first + task * CELLS_PER_TASK + number,
                        body: body.unwrap_or_default(),
                    });
                });
                let found = stage.open(&matches)?;
                Ok((matches, found))
            })
            .collect::<Result<Vec<_>, PsiError>>()?;
        for (matches, found) in opened {
            self.hits += matches.len() as u64;
            stage.keep(&matches, found)?;
        }
        Ok(())
    }
}

/// Checks that labels ascend, also from one block to the next.
pub(super) struct Order {
    label: usize,
    before: Vec<u8>,
}

impl Order {
    pub fn new(label: usize) -> Self {
        Self {
            label,
            before: Vec::new(),
        }
    }

    /// # Errors
    /// `RepeatedLabel`.
    pub fn check(&mut self, cells: &[u8], width: usize) -> Result<(), OpeningError> {
        let label = |cell: usize| cells.get(cell * width..cell * width + self.label);
        let count = cells.len() / width;
        let ascends = |cell: usize| match (cell.checked_sub(1).map(label), label(cell)) {
            (Some(Some(before)), Some(label)) => is_less(before, label),
            (None, Some(label)) => self.before.is_empty() || is_less(&self.before, label),
            _ => false,
        };
        if !(0..count)
            .into_par_iter()
            .with_min_len(CELLS_PER_TASK)
            .all(ascends)
        {
            return Err(OpeningError::RepeatedLabel);
        }
        let last = count.checked_sub(1).and_then(label).map(<[u8]>::to_vec);
        self.before = last.unwrap_or_default();
        Ok(())
    }
}
