//! Sums of the streams of a tree.

use xor_base::kernels::block::xor_into;
use xor_base::kernels::{Block, prg::Prg};
use xor_base::wiped::Wiped;

/// Blocks of each stream worked on at a time: all streams of a tree of depth 8 fit the second-level cache.
const CHUNK: usize = 32;

/// `sum` becomes the sum of all streams, row `r` of `rows` that of the streams whose number has bit r.
///
/// # Shapes
/// `streams`: [2^d], `rows`: [d · words], `sum`: [words].
pub fn tree(streams: &mut [Prg], words: usize, rows: &mut [Block], sum: &mut [Block]) {
    let mut buffer = Wiped::zeros(streams.len() * CHUNK);
    for start in (0..words).step_by(CHUNK) {
        let wide = CHUNK.min(words - start);
        for (stream, into) in streams.iter_mut().zip(buffer.chunks_mut(wide)) {
            stream.fill(into);
        }
        let mut count = streams.len();
        for row in rows.chunks_mut(words) {
            let Some(row) = row.get_mut(start..start + wide) else {
                return;
            };
            count /= 2;
            halve(&mut buffer, count, wide, row);
        }
        if let (Some(into), Some(from)) = (sum.get_mut(start..start + wide), buffer.get(..wide)) {
            into.copy_from_slice(from);
        }
    }
}

/// Adds up neighbours: 2 · count streams become `count`; `row` takes the sum of the odd ones.
fn halve(buffer: &mut [Block], count: usize, wide: usize, row: &mut [Block]) {
    row.fill(Block::ZERO);
    for index in 0..count {
        let (front, pair) = buffer.split_at_mut(2 * index * wide);
        let (even, odd) = pair.split_at_mut(wide);
        let (odd, _) = odd.split_at_mut(wide);
        xor_into(row, odd);
        xor_into(even, odd);
        if index > 0 {
            let (_, into) = front.split_at_mut(index * wide);
            let (into, _) = into.split_at_mut(wide);
            into.copy_from_slice(even);
        }
    }
}
