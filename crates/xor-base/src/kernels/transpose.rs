//! Transposition of bit matrices with 128 columns.

// Indices stay below the lengths asserted at the start of a function.
#![allow(clippy::indexing_slicing)]

use super::Block;

/// Rows and columns of one tile.
pub const TILE: usize = 128;

/// Tiles done together: a cache line of each column.
const TOGETHER: usize = 4;

/// Transposes one tile: bit `c` of block `r` becomes bit `r` of block `c`.
pub fn tile(tile: &mut [Block; TILE]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the instructions were just detected.
        return unsafe { tile_avx2(tile) };
    }
    portable(tile);
}

/// 128 columns of `128 · words` bits each become as many rows of 128 bits.
///
/// # Shapes
/// `columns`: [128 · words], column after column; `rows`: [128 · words], one block for each row. Bit `i` of
/// column `c`, counted over its blocks, is bit `c` of row `i`.
///
/// # Panics
/// If the lengths differ or are no multiple of 128.
pub fn columns_to_rows(columns: &[Block], rows: &mut [Block]) {
    assert_eq!(columns.len(), rows.len());
    assert_eq!(columns.len() % TILE, 0);
    let words = columns.len() / TILE;
    let mut tiles = zeroize::Zeroizing::new([[Block::ZERO; TILE]; TOGETHER]);
    let (rows, _) = rows.as_chunks_mut::<TILE>();
    for (group, rows) in rows.chunks_mut(TOGETHER).enumerate() {
        let start = group * TOGETHER;
        for c in 0..TILE {
            let from = &columns[c * words + start..][..rows.len()];
            for (tile, block) in tiles.iter_mut().zip(from) {
                tile[c] = *block;
            }
        }
        for (into, from) in rows.iter_mut().zip(tiles.iter_mut()) {
            tile(from);
            *into = *from;
        }
    }
}

/// The inverse of [`columns_to_rows`].
///
/// # Panics
/// If the lengths differ or are no multiple of 128.
pub fn rows_to_columns(rows: &[Block], columns: &mut [Block]) {
    assert_eq!(columns.len(), rows.len());
    assert_eq!(columns.len() % TILE, 0);
    let words = columns.len() / TILE;
    let mut tiles = zeroize::Zeroizing::new([[Block::ZERO; TILE]; TOGETHER]);
    let (rows, _) = rows.as_chunks::<TILE>();
    for (group, rows) in rows.chunks(TOGETHER).enumerate() {
        let start = group * TOGETHER;
        for (into, from) in tiles.iter_mut().zip(rows) {
            *into = *from;
            tile(into);
        }
        for c in 0..TILE {
            let into = &mut columns[c * words + start..][..rows.len()];
            for (block, tile) in into.iter_mut().zip(tiles.iter()) {
                *block = tile[c];
            }
        }
    }
}

/// What [`tile`] does without AVX2.
pub fn portable(tile: &mut [Block; TILE]) {
    swap_all(tile);
}

/// The same source; the compiler puts it on 256-bit registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn tile_avx2(tile: &mut [Block; TILE]) {
    swap_all(tile);
}

/// Swaps the off-diagonal quarters of the tile, of its quarters, and so on.
#[inline(always)]
fn swap_all(tile: &mut [Block; TILE]) {
    let mut words = [[0_u64; 2]; TILE];
    for (words, block) in words.iter_mut().zip(tile.iter()) {
        let (low, high) = block.halves();
        *words = [low, high];
    }
    let (upper, lower) = words.split_at_mut(64);
    for (upper, lower) in upper.iter_mut().zip(lower) {
        std::mem::swap(&mut upper[1], &mut lower[0]);
    }
    swap::<32>(&mut words, 0x0000_0000_ffff_ffff);
    swap::<16>(&mut words, 0x0000_ffff_0000_ffff);
    swap::<8>(&mut words, 0x00ff_00ff_00ff_00ff);
    swap::<4>(&mut words, 0x0f0f_0f0f_0f0f_0f0f);
    swap::<2>(&mut words, 0x3333_3333_3333_3333);
    swap::<1>(&mut words, 0x5555_5555_5555_5555);
    for (block, [low, high]) in tile.iter_mut().zip(words) {
        *block = Block::from_halves(low, high);
    }
}

#[inline(always)]
fn swap<const BY: usize>(words: &mut [[u64; 2]; TILE], mask: u64) {
    for rows in words.chunks_exact_mut(2 * BY) {
        let (upper, lower) = rows.split_at_mut(BY);
        for (upper, lower) in upper.as_flattened_mut().iter_mut().zip(lower.as_flattened_mut()) {
            let moved = ((*upper >> BY) ^ *lower) & mask;
            *lower ^= moved;
            *upper ^= moved << BY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::prg::Prg;

    fn bit(block: Block, at: usize) -> u128 {
        block.0 >> at & 1
    }

    #[test]
    fn a_tile_is_mirrored_bit_by_bit() {
        let blocks = Prg::new(Block(8)).blocks(128);
        let from: [Block; 128] = blocks.try_into().unwrap();
        let (mut fast, mut portably) = (from, from);
        tile(&mut fast);
        portable(&mut portably);
        for (r, row) in from.iter().enumerate() {
            for (c, column) in fast.iter().enumerate() {
                assert_eq!(bit(*column, r), bit(*row, c));
            }
        }
        assert_eq!(fast, portably);
    }

    #[test]
    fn columns_become_rows_and_back_at_every_length_and_alignment() {
        for words in 0..11 {
            for start in 0..4 {
                let all = Prg::new(Block(9)).blocks(128 * words + 4);
                let columns = &all[start..start + 128 * words];
                let mut rows = vec![Block::ZERO; all.len()];
                let rows = &mut rows[4 - start..4 - start + 128 * words];
                columns_to_rows(columns, rows);
                for i in (0..128 * words).step_by(37) {
                    for c in 0..128 {
                        assert_eq!(bit(rows[i], c), bit(columns[c * words + i / 128], i % 128));
                    }
                }
                let mut back = vec![Block::ZERO; columns.len()];
                rows_to_columns(rows, &mut back);
                assert_eq!(back, columns);
            }
        }
    }
}
