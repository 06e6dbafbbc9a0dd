//! Sorting what looks random: hashes, labels and secrets spread evenly over their leading bits.

use rayon::prelude::*;
use xor_base::wiped::Wiped;

use crate::PsiError;

/// Records that one sort takes: their numbers have 24 bits.
pub(super) const MAX_SORTED: usize = 1 << INDEX_BITS;

const INDEX_BITS: u32 = 24;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const BUCKET_BITS: u32 = 11;
const RECORDS_PER_TASK: usize = 1 << 13;

/// The numbers of at most 2^24 records in ascending order of their bytes.
///
/// The first 40 bits and the number are sorted as one word; records that agree in them are compared in full.
/// Words are scattered by their first bits, so that what is sorted lies in the nearest cache.
///
/// # Errors
/// `OutOfMemory`.
pub(super) fn ascending<'r>(
    count: usize,
    record: impl Fn(usize) -> &'r [u8] + Sync,
) -> Result<Wiped<u32>, PsiError> {
    ascending_in_runs(count, record, |_| ())
}

/// As [`ascending`]; gives `on_run` all numbers of equal records, beside few others, in one slice.
pub(super) fn ascending_in_runs<'r>(
    count: usize,
    record: impl Fn(usize) -> &'r [u8] + Sync,
    mut on_run: impl FnMut(&[u32]),
) -> Result<Wiped<u32>, PsiError> {
    if count > MAX_SORTED {
        return Err(PsiError::OutOfMemory);
    }
    let mut words = Wiped::<u64>::try_zeros(count)?;
    words
        .par_iter_mut()
        .enumerate()
        .with_min_len(RECORDS_PER_TASK)
        .for_each(|(index, word)| *word = head(record(index)) & !INDEX_MASK | index as u64);
    let words = sort(words)?;
    let mut order = Wiped::<u32>::try_zeros(count)?;
    for (to, word) in order.iter_mut().zip(words.iter()) {
        *to = (word & INDEX_MASK) as u32;
    }
    let mut start = 0;
    for run in words.chunk_by(|left, right| left >> INDEX_BITS == right >> INDEX_BITS) {
        if let (2.., Some(run)) = (run.len(), order.get_mut(start..start + run.len())) {
            run.sort_unstable_by_key(|index| record(*index as usize));
            on_run(run);
        }
        start += run.len();
    }
    Ok(order)
}

fn sort(mut words: Wiped<u64>) -> Result<Wiped<u64>, PsiError> {
    if words.len() <= RECORDS_PER_TASK {
        words.sort_unstable();
        return Ok(words);
    }
    let bucket = |word: u64| (word >> (u64::BITS - BUCKET_BITS)) as usize;
    let mut counts = vec![0_usize; 1 << BUCKET_BITS];
    for word in words.iter() {
        if let Some(count) = counts.get_mut(bucket(*word)) {
            *count += 1;
        }
    }
    let mut cursors = Vec::with_capacity(counts.len());
    let mut next = 0;
    for count in &counts {
        cursors.push(next);
        next += count;
    }
    let mut sorted = Wiped::<u64>::try_zeros(words.len())?;
    for word in words.iter() {
        if let Some(cursor) = cursors.get_mut(bucket(*word)) {
            if let Some(to) = sorted.get_mut(*cursor) {
                *to = *word;
            }
            *cursor += 1;
        }
    }
    let mut rest = &mut *sorted;
    let mut buckets = Vec::with_capacity(counts.len());
    for count in counts {
        let (bucket, following) = rest.split_at_mut(count);
        buckets.push(bucket);
        rest = following;
    }
    buckets.into_par_iter().for_each(<[u64]>::sort_unstable);
    Ok(sorted)
}

/// The first bytes of a record, as a number that sorts alike.
pub(super) fn head(record: &[u8]) -> u64 {
    match record.first_chunk() {
        Some(head) => u64::from_be_bytes(*head),
        None => {
            let mut bytes = [0; 8];
            bytes.iter_mut().zip(record).for_each(|(to, from)| *to = *from);
            u64::from_be_bytes(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use xor_base::kernels::Block;
    use xor_base::kernels::block::as_bytes;
    use xor_base::kernels::prg::Prg;

    use super::*;

    #[test]
    fn records_of_any_length_and_number_are_sorted_as_by_comparison() {
        let blocks = Prg::new(Block(5)).blocks(40_000);
        for (count, width, equal) in [
            (0, 9, 0),
            (1, 3, 0),
            (5000, 6, 0),
            (20_000, 16, 0),
            (30_000, 12, 7),
        ] {
            let mut bytes = as_bytes(&blocks)[..count * width].to_vec();
            // Equal heads, and records that are equal altogether.
            for record in bytes.chunks_exact_mut(width).step_by(3) {
                record[..equal].fill(1);
            }
            let record = |index: usize| &bytes[index * width..][..width];
            let order = ascending(count, record).unwrap();
            let found: Vec<&[u8]> = order.iter().map(|index| record(*index as usize)).collect();
            let mut expected: Vec<&[u8]> = (0..count).map(record).collect();
            expected.sort_unstable();
            assert_eq!(found, expected);
            let mut numbers = order.to_vec();
            numbers.sort_unstable();
            assert!(numbers.iter().copied().eq(0..count as u32));
        }
    }
}
