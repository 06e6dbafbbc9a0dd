//! Sparse combinations of a short table: the inner loop of primal LPN.
//!
//! A row names [`WEIGHT`] positions of a table of [`TABLE`] entries; its product is Σ x^j · table[position j] in
//! GF(2^128). Positions are public, so memory is read where they say; nothing else depends on anything.

// 16-bit numbers index arrays of 2^16 elements.
#![allow(clippy::indexing_slicing)]

#[cfg(target_arch = "x86_64")]
mod x86;

use zeroize::DefaultIsZeroes;

use super::Block;

/// Entries of a table: every position of 16 bits is one.
pub const TABLE: usize = 1 << 16;

/// Positions of a row.
pub const WEIGHT: usize = 10;

/// The positions of one row, the constant term first.
pub type Row = [u16; WEIGHT];

/// Two blocks that are looked up together: (A', C) of a VOLE, in one cache line.
#[derive(Clone, Copy, Default)]
#[repr(C, align(32))]
pub struct Pair {
    pub a: Block,
    pub c: Block,
}

impl DefaultIsZeroes for Pair {}

/// `out[i] += rows[i] · table`.
///
/// # Panics
/// If the lengths of `rows` and `out` differ.
///
/// # Security
/// Memory accesses depend on `rows`, which are public.
pub fn add_products(rows: &[Row], table: &[Block; TABLE], out: &mut [Block]) {
    assert_eq!(rows.len(), out.len());
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the instructions were just detected.
        return unsafe { x86::add_products(rows, table, out) };
    }
    portable::add_products(rows, table, out);
}

/// [`add_products`] of both halves of a table of pairs.
///
/// # Panics
/// If lengths differ.
///
/// # Security
/// As [`add_products`].
pub fn add_pair_products(rows: &[Row], table: &[Pair; TABLE], a: &mut [Block], c: &mut [Block]) {
    assert_eq!(rows.len(), a.len());
    assert_eq!(rows.len(), c.len());
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the instructions were just detected.
        return unsafe { x86::add_pair_products(rows, table, a, c) };
    }
    portable::add_pair_products(rows, table, a, c);
}

type AddPairProducts = fn(&[Row], &[Pair; TABLE], &mut [Block], &mut [Block]);

/// [`add_products`] and [`add_pair_products`] of one path.
pub struct Path {
    pub name: &'static str,
    pub add_products: fn(&[Row], &[Block; TABLE], &mut [Block]),
    pub add_pair_products: AddPairProducts,
}

/// Every path that this processor can run, the portable one first: for tests and measurements.
#[must_use]
pub fn paths() -> Vec<Path> {
    #[allow(unused_mut)]
    let mut paths = vec![Path {
        name: "portable",
        add_products: portable::add_products,
        add_pair_products: portable::add_pair_products,
    }];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        paths.push(Path {
            name: "AVX2",
            // SAFETY: this path is taken only where the instructions were detected.
            add_products: |rows, table, out| unsafe { x86::add_products(rows, table, out) },
            // SAFETY: as above.
            add_pair_products: |rows, table, a, c| unsafe { x86::add_pair_products(rows, table, a, c) },
        });
    }
    paths
}

pub mod portable {
    //! Horner's rule, the highest power first.

    use super::{Block, Pair, Row, TABLE};

    pub fn add_products(rows: &[Row], table: &[Block; TABLE], out: &mut [Block]) {
        for (out, row) in out.iter_mut().zip(rows) {
            let sum = row.iter().rev().fold(Block::ZERO, |sum, position| {
                sum.double() ^ table[usize::from(*position)]
            });
            *out ^= sum;
        }
    }

    pub fn add_pair_products(rows: &[Row], table: &[Pair; TABLE], a: &mut [Block], c: &mut [Block]) {
        for ((a, c), row) in a.iter_mut().zip(c).zip(rows) {
            let mut sum = Pair::default();
            for position in row.iter().rev() {
                let Pair { a, c } = table[usize::from(*position)];
                sum = Pair {
                    a: sum.a.double() ^ a,
                    c: sum.c.double() ^ c,
                };
            }
            *a ^= sum.a;
            *c ^= sum.c;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::block::as_bytes;
    use crate::kernels::gf128::mul;
    use crate::kernels::prg::Prg;

    fn rows(count: usize) -> Vec<Row> {
        let drawn = Prg::new(Block(3)).blocks(count * 2);
        let mut words = as_bytes(&drawn).as_chunks::<2>().0.iter();
        let mut word = || u16::from_le_bytes(*words.next().unwrap());
        let mut rows: Vec<Row> = (0..count).map(|_| std::array::from_fn(|_| word())).collect();
        // The ends of the table, and one position several times.
        if let Some(row) = rows.first_mut() {
            *row = [0, u16::MAX, 7, 7, 7, 0, 1, 2, u16::MAX, 7];
        }
        rows
    }

    #[test]
    fn products_are_their_definition_at_every_length() {
        let table: Vec<Block> = Prg::new(Block(1)).blocks(TABLE);
        let table: &[Block; TABLE] = table.as_slice().try_into().unwrap();
        let rows = rows(70);
        for length in 0..70 {
            let before = Prg::new(Block(2)).blocks(length);
            let mut after = before.clone();
            add_products(&rows[..length], table, &mut after);
            for path in paths() {
                let mut out = before.clone();
                (path.add_products)(&rows[..length], table, &mut out);
                assert!(out == after, "{}", path.name);
            }
            for ((row, before), after) in rows.iter().zip(&before).zip(&after) {
                let product = row.iter().enumerate().fold(*before, |sum, (j, position)| {
                    sum ^ mul(Block(1 << j), table[usize::from(*position)])
                });
                assert_eq!(*after, product);
            }
        }
    }

    #[test]
    fn pairs_are_two_products() {
        let [one, other] = [1, 2].map(|seed| Prg::new(Block(seed)).blocks(TABLE));
        let pairs: Vec<Pair> = one
            .iter()
            .zip(&other)
            .map(|(a, c)| Pair { a: *a, c: *c })
            .collect();
        let pairs: &[Pair; TABLE] = pairs.as_slice().try_into().unwrap();
        let rows = rows(70);
        for length in 0..70 {
            let mut a = Prg::new(Block(4)).blocks(length);
            let mut c = Prg::new(Block(5)).blocks(length);
            let (mut expected_a, mut expected_c) = (a.clone(), c.clone());
            let rows = &rows[..length];
            add_products(rows, one.as_slice().try_into().unwrap(), &mut expected_a);
            add_products(rows, other.as_slice().try_into().unwrap(), &mut expected_c);
            for path in paths() {
                let (mut a, mut c) = (a.clone(), c.clone());
                (path.add_pair_products)(rows, pairs, &mut a, &mut c);
                assert!(a == expected_a && c == expected_c, "{}", path.name);
            }
            add_pair_products(rows, pairs, &mut a, &mut c);
            assert!(a == expected_a && c == expected_c);
        }
    }
}
