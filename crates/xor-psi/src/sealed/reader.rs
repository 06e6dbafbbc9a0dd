//! The cells of many keys on one side, found and opened: what a recipient does for its openers.

use std::ops::Range;

use super::joined::RowStore;
use super::layout::SECRET_BYTES;
use super::opening::SideLists;
use super::secrets::{Secret, xor};
use super::written::{StringLength, each_row};
use crate::{OpeningError, PsiError};

/// Rows that a task may keep before it asks whether the side may have them.
const ROWS_ON_CREDIT: usize = 256;

/// Cells of one key whose labels are derived at once.
const CELLS_AT_ONCE: u64 = 64;

/// What was found for one key.
pub(crate) struct Opened {
    /// Its number among those that were asked for.
    pub key: usize,
    /// `s_o`; zeros if the cells hold none.
    pub secret: Secret,
    pub rows: Range<usize>,
}

/// Reads the cells of one side, for one task.
pub(crate) struct Reader<'a, 'b> {
    lists: &'b SideLists<'a>,
    store: RowStore,
    owed: usize,
    /// Where cells may be forged and nobody may notice: how many rows a key may have.
    most_per_key: Option<usize>,
    /// Keys that were forgiven.
    refused: usize,
    /// Where the rows of the key begin that is being read.
    first: usize,
    masks: Vec<u8>,
    string: Vec<u8>,
}

impl<'a, 'b> Reader<'a, 'b> {
    pub fn new(lists: &'b SideLists<'a>) -> Self {
        Self {
            lists,
            store: RowStore::default(),
            owed: 0,
            most_per_key: None,
            refused: 0,
            first: 0,
            masks: Vec::new(),
            string: Vec::new(),
        }
    }

    /// A reader to which a key has no rows if they are malformed, more than `most_per_key`, or more than the side
    /// may still have.
    pub fn forgiving(lists: &'b SideLists<'a>, most_per_key: usize) -> Self {
        Self {
            most_per_key: Some(most_per_key),
            ..Self::new(lists)
        }
    }

    /// How many keys were taken for keys without rows.
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// The rows that were opened.
    ///
    /// # Errors
    /// `BadLength`: more than the side's bound.
    pub fn finish(mut self) -> Result<RowStore, PsiError> {
        self.settle()?;
        Ok(self.store)
    }

    /// Appends the rows of the keys that have any here, in the order of the keys.
    pub fn open(&mut self, keys: &[Secret]) -> Result<Vec<Opened>, PsiError> {
        let mut masks = std::mem::take(&mut self.masks);
        let hits = self.first_cells(keys, &mut masks);
        let shape = self.lists.cells.shape;
        let width = self.mask_bytes();
        // Most keys hit nothing: their streams are only read after a hit.
        if width > shape.label {
            masks.resize(hits.len() * width, 0);
            let hit_keys = hits.iter().filter_map(|(key, _)| Some((keys.get(*key)?, 0)));
            self.lists.stream.fill(hit_keys, &mut masks, width);
        }
        let mut opened = Vec::with_capacity(hits.len());
        let each = hits.iter().enumerate();
        for (place, (key, cell)) in each {
            self.first = self.store.len();
            let mask = masks.get(place * width + shape.label..(place + 1) * width);
            let mask = mask.unwrap_or_default();
            let secret = match keys.get(*key) {
                Some(secret) if shape.is_readable => self.open_readable(secret, *cell, mask),
                Some(secret) => self.open_closed(secret, *cell, mask),
                None => continue,
            };
            let Some(secret) = self.accept(secret)? else {
                self.store.truncate(self.first);
                self.refused += 1;
                continue;
            };
            let rows = self.first..self.store.len();
            opened.push(Opened {
                key: *key,
                secret,
                rows,
            });
        }
        self.masks = masks;
        Ok(opened)
    }

    /// What opened, or nothing where that is to be forgiven.
    fn accept(&self, opened: Result<Secret, PsiError>) -> Result<Option<Secret>, PsiError> {
        match opened {
            Err(PsiError::Opening(_)) if self.most_per_key.is_some() => Ok(None),
            Ok(_) if self.most_per_key.is_some() && !self.lists.rows.take(self.store.len() - self.first) => {
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    /// Of a cell's label and the stream that is needed of it.
    fn mask_bytes(&self) -> usize {
        let shape = self.lists.cells.shape;
        shape.label
            + if shape.is_readable {
                shape.secret_bytes()
            } else {
                shape.body
            }
    }

    /// (key, cell) of the keys that have a cell 0.
    fn first_cells(&self, keys: &[Secret], labels: &mut Vec<u8>) -> Vec<(usize, usize)> {
        let length = self.lists.cells.shape.label;
        labels.resize(keys.len() * length, 0);
        let numbered = keys.iter().map(|key| (key, 0));
        self.lists.stream.fill(numbered, labels, length);
        let mut hits = Vec::new();
        let cells = &self.lists.cells;
        cells.find_many(labels, |key, cell| hits.push((key, cell)));
        hits
    }

    fn open_closed(&mut self, key: &Secret, cell: usize, mask: &[u8]) -> Result<Secret, PsiError> {
        let shape = self.lists.cells.shape;
        self.string.clear();
        self.append_cell(cell, mask)?;
        let length = StringLength::read(shape, &self.string, self.lists.cells.count())?;
        self.append_cells(key, 1..length.cells(shape) as u64)?;
        let string = std::mem::take(&mut self.string);
        let (secret, rows) = length.split(shape, &string)?;
        each_row(self.lists.codec, rows, |row| self.keep(row))?;
        self.string = string;
        Ok(secret)
    }

    fn append_cells(&mut self, key: &Secret, numbers: Range<u64>) -> Result<(), PsiError> {
        let shape = self.lists.cells.shape;
        let width = shape.label + shape.body;
        let mut next = numbers.start;
        let mut masks = Vec::new();
        while next < numbers.end {
            let until = numbers.end.min(next + CELLS_AT_ONCE);
            masks.resize((until - next) as usize * width, 0);
            let numbered = (next..until).map(|number| (key, number));
            self.lists.stream.fill(numbered, &mut masks, width);
            for mask in masks.chunks_exact(width) {
                let (label, mask) = mask.split_at(shape.label);
                let cell = self.lists.cells.find(label).ok_or(OpeningError::MissingCell)?;
                self.append_cell(cell, mask)?;
            }
            next = until;
        }
        Ok(())
    }

    fn append_cell(&mut self, cell: usize, mask: &[u8]) -> Result<(), PsiError> {
        let body = self.lists.cells.claim(cell)?;
        let start = self.string.len();
        self.string
            .try_reserve(body.len())
            .map_err(|_| PsiError::OutOfMemory)?;
        self.string.extend_from_slice(body);
        xor(self.string.get_mut(start..).unwrap_or_default(), mask);
        Ok(())
    }

    fn open_readable(&mut self, key: &Secret, cell: usize, mask: &[u8]) -> Result<Secret, PsiError> {
        let shape = self.lists.cells.shape;
        let width = self.mask_bytes();
        let secret = self.keep_readable(cell, mask)?;
        let (mut next, mut step) = (1, 1);
        loop {
            let mut masks = vec![0; step as usize * width];
            let numbered = (next..next + step).map(|number| (key, number));
            self.lists.stream.fill(numbered, &mut masks, width);
            for mask in masks.chunks_exact(width) {
                let (label, mask) = mask.split_at(shape.label);
                let Some(cell) = self.lists.cells.find(label) else {
                    return Ok(secret);
                };
                if self.keep_readable(cell, mask)? != secret {
                    return Err(OpeningError::MixedGroup.into());
                }
            }
            next += step;
            step = CELLS_AT_ONCE.min(step * 2);
        }
    }

    /// Keeps the row of a readable cell and gives its secret.
    fn keep_readable(&mut self, cell: usize, mask: &[u8]) -> Result<Secret, PsiError> {
        let body = self.lists.cells.claim(cell)?;
        let mut secret = Secret::default();
        if self.lists.cells.shape.holds_secret {
            let held = body.iter().zip(mask).take(SECRET_BYTES);
            secret
                .iter_mut()
                .zip(held)
                .for_each(|(to, (held, mask))| *to = held ^ mask);
        }
        let row = self.lists.readable_row(cell)?.ok_or(OpeningError::BadRow)?;
        self.keep(row)?;
        Ok(secret)
    }

    /// Keeps a row. A forged list costs no more memory than an honest one, but for what is on credit.
    pub fn keep(&mut self, row: &[u8]) -> Result<(), PsiError> {
        self.store.push(row)?;
        if let Some(most) = self.most_per_key {
            let is_within = self.store.len() - self.first <= most;
            return is_within.then_some(()).ok_or(OpeningError::BadLength.into());
        }
        self.owed += 1;
        if self.owed >= ROWS_ON_CREDIT {
            self.settle()?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), PsiError> {
        if self.lists.rows.take(std::mem::take(&mut self.owed)) {
            Ok(())
        } else {
            Err(OpeningError::BadLength.into())
        }
    }
}
