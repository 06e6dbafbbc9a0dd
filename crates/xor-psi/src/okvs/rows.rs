//! Keys placed into bins: where each has its slots, and its dense coefficient.

// Indices are bins below their number, and cursors below the room of their bin, which is checked.
#![allow(clippy::indexing_slicing)]

use std::ops::Range;

use rayon::prelude::*;
use xor_base::kernels::Block;
use xor_base::kernels::aes::Aes128;
use xor_base::kernels::gf128;
use xor_base::kernels::prg::Prg;

use xor_base::wiped::{Wiped, wipe};
use zeroize::Zeroizing;

use super::{OkvsError, Shape};

/// Keys hashed or decoded at a time: their blocks stay in the first-level cache.
const CHUNK: usize = 128;

/// The rows of the linear system that some keys make with one seed. Placed once, they serve both to
/// encode and to decode.
pub struct Rows {
    shape: Shape,
    keys: usize,
    /// Successive ranges of the keys, one for each thread.
    parts: Vec<Part>,
}

/// Rows of one range of keys, sorted by bin.
struct Part {
    /// Its keys are `start..start + len`.
    len: usize,
    /// Rows for which each bin has room here.
    room: usize,
    /// Bin and dense point of each key, in the order of the keys.
    bins: Vec<u16>,
    points: Vec<u64>,
    /// Rows in each bin.
    filled: Vec<u32>,
    /// [bins · room]: for each row three slots in rising order, 16 bits each; the rows of a bin in the order
    /// of their keys. Between the two orders one walks along the keys and along all bins at once: every
    /// memory access continues a stream.
    slots: Vec<u64>,
}

impl Rows {
    /// Hashes `keys` under `seed`.
    ///
    /// # Errors
    /// `Unsolvable` if so many keys fall into one bin that the seed cannot be random (2^-60).
    pub fn place(shape: Shape, seed: Block, keys: &[Block]) -> Result<Self, OkvsError> {
        let part_len = keys.len().div_ceil(rayon::current_num_threads().max(1)).max(1);
        let hash = Hash::new(seed, shape);
        let parts: Result<Vec<Part>, OkvsError> = keys
            .par_chunks(part_len)
            .map(|keys| Part::place(shape, &hash, keys))
            .collect();
        Ok(Self {
            shape,
            keys: keys.len(),
            parts: parts?,
        })
    }

    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.keys
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// As [`super::decode`].
    ///
    /// # Errors
    /// `WrongLength`, `LengthsDiffer`.
    pub fn decode(&self, table: &[Block], out: &mut [Block]) -> Result<(), OkvsError> {
        if table.len() != self.shape.table_len() {
            return Err(OkvsError::WrongLength);
        }
        if out.len() != self.keys {
            return Err(OkvsError::LengthsDiffer);
        }
        let part_len = self.parts.first().map_or(1, |part| part.len);
        let bins = table.chunks_exact(self.shape.bin_len());
        let dense: Vec<Block> = bins.flat_map(|bin| &bin[self.shape.slots..]).copied().collect();
        self.parts
            .par_iter()
            .zip(out.par_chunks_mut(part_len))
            .for_each(|(part, out)| part.decode(self.shape, table, &dense, out));
        Ok(())
    }

    /// The slots of the rows of one bin.
    pub(super) fn slots(&self, bin: usize) -> impl Iterator<Item = u64> {
        self.parts
            .iter()
            .flat_map(move |part| &part.slots[part.rows(bin)])
            .copied()
    }

    /// The dense points of the rows of one bin. For rare cases: it looks at every key.
    pub(super) fn points(&self, bin: usize) -> impl Iterator<Item = u64> {
        let keys = self
            .parts
            .iter()
            .flat_map(|part| part.bins.iter().zip(&part.points));
        keys.filter(move |(of, _)| usize::from(**of) == bin)
            .map(|(_, point)| *point)
    }

    /// One value for each key, less what `dense` (all bins' columns) adds to it, sorted by bin: one vector
    /// for each part.
    pub(super) fn sort(&self, values: &[Block], dense: Option<&[Block]>) -> Vec<Wiped<Block>> {
        let part_len = self.parts.first().map_or(1, |part| part.len);
        self.parts
            .par_iter()
            .zip(values.par_chunks(part_len))
            .map(|(part, values)| part.sort(self.shape, values, dense))
            .collect()
    }

    /// What of `sorted` belongs to one bin, part after part.
    pub(super) fn of_bin<'a>(
        &'a self,
        sorted: &'a [Wiped<Block>],
        bin: usize,
    ) -> impl Iterator<Item = &'a [Block]> {
        self.parts
            .iter()
            .zip(sorted)
            .map(move |(part, sorted)| &sorted[part.rows(bin)])
    }
}

/// The two functions of a key that the seed chooses.
struct Hash {
    places: Aes128,
    points: Aes128,
    /// Ranges of the three draws and of the bin.
    ranges: [u64; 4],
}

impl Hash {
    fn new(seed: Block, shape: Shape) -> Self {
        let mut keys = Prg::new(seed);
        let slots = shape.slots as u64;
        Self {
            places: Aes128::new(keys.block()),
            points: Aes128::new(keys.block()),
            ranges: [slots, slots - 1, slots - 2, shape.bins as u64],
        }
    }

    /// Bin and slots of a hashed key. The draws are uniform up to 2^-16, relatively.
    #[inline]
    fn place(&self, hashed: Block) -> (usize, u64) {
        let (low, high) = hashed.halves();
        let scaled = |draw: u64, range: u64| draw.wrapping_mul(range) >> 32;
        let word = 0xffff_ffff;
        let first = scaled(low & word, self.ranges[0]);
        let second = scaled(low >> 32, self.ranges[1]);
        let third = scaled(high & word, self.ranges[2]);
        let bin = scaled(high >> 32, self.ranges[3]);
        (usize::try_from(bin).unwrap_or(0), distinct(first, second, third))
    }
}

/// The i-th free number for each draw: three distinct numbers, in rising order, 16 bits each.
#[inline]
fn distinct(first: u64, second: u64, third: u64) -> u64 {
    let second = second.wrapping_add(u64::from(second >= first));
    let (low, high) = (first.min(second), first.max(second));
    let third = third.wrapping_add(u64::from(third >= low));
    let third = third.wrapping_add(u64::from(third >= high));
    let (smallest, rest) = (low.min(third), low.max(third));
    smallest | rest.min(high) << 16 | rest.max(high) << 32
}

impl Part {
    fn place(shape: Shape, hash: &Hash, keys: &[Block]) -> Result<Self, OkvsError> {
        let room = room(keys.len(), shape.bins);
        let mut part = Self {
            len: keys.len(),
            room,
            bins: Vec::with_capacity(keys.len()),
            points: Vec::with_capacity(keys.len()),
            filled: Vec::new(),
            slots: vec![0; shape.bins * room],
        };
        let mut filled = vec![0_u32; shape.bins];
        let mut places = [Block::ZERO; CHUNK];
        let mut points = [Block::ZERO; CHUNK];
        for keys in keys.chunks(CHUNK) {
            let (places, points) = (&mut places[..keys.len()], &mut points[..keys.len()]);
            hash.places.feed_forward(keys, places);
            hash.points.feed_forward(keys, points);
            for (place, point) in places.iter().zip(points.iter()) {
                let (bin, slots) = hash.place(*place);
                let row = filled[bin] as usize;
                if row >= room {
                    return Err(OkvsError::Unsolvable);
                }
                filled[bin] = filled[bin].wrapping_add(1);
                let at = bin.wrapping_mul(room).wrapping_add(row);
                part.slots[at] = slots;
                part.bins.push(bin as u16);
                part.points.push(point.halves().0);
            }
        }
        part.filled = filled;
        Ok(part)
    }

    /// Where the rows of a bin stand.
    fn rows(&self, bin: usize) -> Range<usize> {
        let start = bin * self.room;
        start..start + self.filled[bin] as usize
    }

    /// The start of each bin.
    fn starts(&self) -> Vec<usize> {
        (0..self.filled.len()).map(|bin| bin * self.room).collect()
    }

    fn sort(&self, shape: Shape, values: &[Block], dense: Option<&[Block]>) -> Wiped<Block> {
        let mut sorted = Wiped::zeros(self.slots.len());
        let into = &mut sorted[..];
        let mut cursors = self.starts();
        let mut scatter = |bins: &[u16], values: &[Block]| {
            for (bin, value) in bins.iter().zip(values) {
                let cursor = &mut cursors[usize::from(*bin)];
                into[*cursor] = *value;
                *cursor = cursor.wrapping_add(1);
            }
        };
        let Some(dense) = dense else {
            scatter(&self.bins, values);
            return sorted;
        };
        let mut sums = Zeroizing::new([Block::ZERO; CHUNK]);
        let keys = self.bins.chunks(CHUNK).zip(self.points.chunks(CHUNK));
        for ((bins, points), values) in keys.zip(values.chunks(CHUNK)) {
            let sums = &mut sums[..values.len()];
            sums.copy_from_slice(values);
            gf128::add_polynomials(sums, points, bins, dense, shape.dense);
            scatter(bins, sums);
        }
        sorted
    }

    fn decode(&self, shape: Shape, table: &[Block], dense: &[Block], out: &mut [Block]) {
        // Bin after bin without gaps: written once, never zeroed before.
        let mut sorted = Vec::with_capacity(self.len);
        let mut cursors = Vec::with_capacity(shape.bins);
        let mut near = Near::new();
        for (bin, table) in table.chunks_exact(shape.bin_len()).enumerate() {
            near.load(&table[..shape.slots]);
            cursors.push(sorted.len());
            sorted.extend(self.slots[self.rows(bin)].iter().map(|slots| {
                let [a, b, c] = unpack(*slots);
                near.0[a] ^ near.0[b] ^ near.0[c]
            }));
        }
        let sorted = Wiped::new(sorted);
        let keys = self.bins.chunks(CHUNK).zip(self.points.chunks(CHUNK));
        for ((bins, points), out) in keys.zip(out.chunks_mut(CHUNK)) {
            for (bin, out) in bins.iter().zip(out.iter_mut()) {
                let cursor = &mut cursors[usize::from(*bin)];
                *out = sorted[*cursor];
                *cursor = cursor.wrapping_add(1);
            }
            gf128::add_polynomials(out, points, bins, dense, shape.dense);
        }
    }
}

/// The slots of one bin, read in one stream before they are read at random; indexed by 16 bits, unchecked.
pub(super) struct Near(Box<[Block; 1 << 16]>);

impl Near {
    pub fn new() -> Self {
        Self(Box::new([Block::ZERO; 1 << 16]))
    }

    pub fn load(&mut self, slots: &[Block]) {
        self.0[..slots.len()].copy_from_slice(slots);
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        wipe(self.0.as_mut_slice());
    }
}

/// Three slots from their packed form.
#[inline]
pub(super) fn unpack(slots: u64) -> [usize; 3] {
    [slots as u16, (slots >> 16) as u16, (slots >> 32) as u16].map(usize::from)
}

/// Rows for which a part makes room in each bin: the mean and more than ten deviations.
fn room(keys: usize, bins: usize) -> usize {
    if bins == 1 {
        return keys;
    }
    let mean = keys.div_ceil(bins);
    mean + 10 * mean.isqrt() + 100
}
