//! Running sums and exclusive-ors.

use super::Block;

/// `blocks[i] = blocks[0] ⊕ … ⊕ blocks[i]`; gives the last, which is zero for no blocks.
pub fn xor(blocks: &mut [Block]) -> Block {
    let mut running = Block::ZERO;
    for block in blocks {
        running ^= *block;
        *block = running;
    }
    running
}

/// `words[i] = words[0] + … + words[i]` in Z/2^64; gives the last, which is zero for no words.
pub fn sum(words: &mut [u64]) -> u64 {
    let mut running = 0_u64;
    for word in words {
        running = running.wrapping_add(*word);
        *word = running;
    }
    running
}

/// `counts[i]` becomes the sum of those before it; gives the sum of all. For the starts of buckets.
pub fn starts(counts: &mut [u32]) -> u64 {
    let mut running = 0_u64;
    for count in counts {
        let own = u64::from(*count);
        *count = u32::try_from(running).unwrap_or(u32::MAX);
        running += own;
    }
    running
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::prg::Prg;

    #[test]
    fn running_values_are_those_of_all_prefixes() {
        for length in 0..70 {
            let blocks = Prg::new(Block(4)).blocks(length);
            let words: Vec<u64> = blocks.iter().map(|block| block.halves().0).collect();
            let counts: Vec<u32> = words.iter().map(|word| (*word & 0xffff) as u32).collect();
            let (mut xored, mut summed, mut starting) = (blocks.clone(), words.clone(), counts.clone());
            let last = (xor(&mut xored), sum(&mut summed), starts(&mut starting));
            for i in 0..length {
                let all = blocks[..=i].iter().fold(Block::ZERO, |acc, block| acc ^ *block);
                assert_eq!(xored[i], all);
                let all = words[..=i]
                    .iter()
                    .fold(0_u64, |acc, word| acc.wrapping_add(*word));
                assert_eq!(summed[i], all);
                assert_eq!(starting[i], counts[..i].iter().sum::<u32>());
            }
            let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
            assert_eq!(last.0, xored.last().copied().unwrap_or_default());
            assert_eq!(last.1, summed.last().copied().unwrap_or_default());
            assert_eq!(last.2, total);
        }
    }
}
