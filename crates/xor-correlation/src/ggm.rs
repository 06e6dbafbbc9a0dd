//! Trees of seeds that one player knows whole and the other but for one leaf.
//!
//! Leaf `x` of a tree of depth d is reached by the bits of `x`, the lowest first, so that both halves of a
//! level lie apart and a level is two passes of AES.

use xor_base::kernels::block::xor_into;
use xor_base::kernels::{Block, aes::Aes128};
use xor_base::wiped::Wiped;

use crate::domain::Domain;

/// The length-doubling function of a domain: two public permutations, fed forward.
///
/// # Security
/// Correlation robust in the ideal-permutation model. New for each domain, so no two trees of different
/// instances share it.
///
/// # Source
/// Goldreich, Goldwasser, Micali 1986; puncturable with OTs: Boyle et al., CCS 2019 (eprint 2019/1159); fixed-key doubling: Guo, Katz, Wang, Yu, S&P 2020.
pub struct Ggm {
    children: [Aes128; 2],
}

/// XORs of all left and all right nodes of one level.
pub type LevelSums = [Block; 2];

impl Ggm {
    #[must_use]
    pub fn new(domain: &Domain) -> Self {
        Self {
            children: [domain.permutation("ggm left"), domain.permutation("ggm right")],
        }
    }

    /// Grows a whole tree: `leaves` has 2^depth blocks, `sums` has one entry for each level.
    pub fn grow(&self, root: Block, leaves: &mut [Block], sums: &mut [LevelSums]) {
        if let Some(first) = leaves.first_mut() {
            *first = root;
        }
        for (level, sums) in sums.iter_mut().enumerate() {
            let (lower, upper) = self.double(leaves, level);
            *sums = [xor_all(lower), xor_all(upper)];
        }
    }

    /// Grows all but leaf `path` from the sum of the *other* half at each level. What stands at `path`
    /// afterwards is of no meaning.
    ///
    /// # Security
    /// Neither branches on `path` nor indexes by it.
    pub fn grow_punctured(&self, path: usize, known: &[Block], leaves: &mut [Block]) {
        leaves.fill(Block::ZERO);
        for (level, known) in known.iter().enumerate() {
            let (lower, upper) = self.double(leaves, level);
            let goes_up = Block::mask(path >> level & 1 == 1);
            // The sibling of the punctured node takes what its half lacks.
            let (lower, upper) = (xor_all(lower), xor_all(upper));
            let lack = *known ^ upper ^ (goes_up & (lower ^ upper));
            let (nodes, _) = leaves.split_at_mut(2 << level);
            add_at(nodes, (path & ((2 << level) - 1)) ^ (1 << level), lack);
        }
    }

    /// One level: 2^level nodes in the front of `leaves` become twice as many.
    fn double<'a>(&self, leaves: &'a mut [Block], level: usize) -> (&'a mut [Block], &'a mut [Block]) {
        let count = 1 << level;
        let (nodes, _) = leaves.split_at_mut(2 * count);
        let (lower, upper) = nodes.split_at_mut(count);
        let [left, right] = &self.children;
        right.feed_forward(lower, upper);
        left.feed_forward_in_place(lower);
        (lower, upper)
    }
}

/// `blocks[at] ^= value` without telling where: every block is written.
pub fn add_at(blocks: &mut [Block], at: usize, value: Block) {
    let (low, high) = value.halves();
    for (index, block) in blocks.iter_mut().enumerate() {
        // All ones where index = at.
        let differs = (index ^ at) as u64;
        let mask = (differs.wrapping_sub(1) & !differs) >> 63;
        let mask = mask.wrapping_neg();
        *block ^= Block::from_halves(low & mask, high & mask);
    }
}

/// The XOR of all blocks.
#[must_use]
pub fn xor_all(blocks: &[Block]) -> Block {
    let mut lanes = [Block::ZERO; 4];
    let (chunks, rest) = blocks.as_chunks::<4>();
    for chunk in chunks {
        xor_into(&mut lanes, chunk);
    }
    lanes
        .iter()
        .chain(rest)
        .fold(Block::ZERO, |sum, block| sum ^ *block)
}

/// Room for the leaves of one tree.
#[must_use]
pub fn leaves(depth: usize) -> Wiped<Block> {
    Wiped::zeros(1 << depth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xor_base::kernels::prg::Prg;

    #[test]
    fn a_punctured_tree_is_the_whole_one_but_for_its_path() {
        let ggm = Ggm::new(&Domain::new(b"ggm"));
        for depth in 1..=7 {
            let mut whole = leaves(depth);
            let mut sums = vec![[Block::ZERO; 2]; depth];
            ggm.grow(Block(5), &mut whole, &mut sums);
            for path in 0..1 << depth {
                let known: Vec<Block> = (0..depth)
                    .map(|level| sums[level][1 - (path >> level & 1)])
                    .collect();
                let mut punctured = leaves(depth);
                ggm.grow_punctured(path, &known, &mut punctured);
                for (leaf, (one, other)) in whole.iter().zip(punctured.iter()).enumerate() {
                    assert_eq!(
                        one == other,
                        leaf != path,
                        "depth {depth}, path {path}, leaf {leaf}"
                    );
                }
            }
        }
    }

    #[test]
    fn leaves_follow_their_bits_lowest_first() {
        let ggm = Ggm::new(&Domain::new(b"ggm"));
        let mut whole = leaves(3);
        ggm.grow(Block(9), &mut whole, &mut [[Block::ZERO; 2]; 3]);
        for (leaf, block) in whole.iter().enumerate() {
            let walked = (0..3).fold(Block(9), |node, level| {
                ggm.children[leaf >> level & 1].encrypt(node) ^ node
            });
            assert_eq!(*block, walked);
        }
    }

    #[test]
    fn adding_somewhere_changes_nothing_else() {
        let before = Prg::new(Block(1)).blocks(67);
        for at in 0..67 {
            let mut after = before.clone();
            add_at(&mut after, at, Block(77));
            for (i, (one, other)) in before.iter().zip(&after).enumerate() {
                assert_eq!((*one ^ *other).0, if i == at { 77 } else { 0 });
            }
        }
        assert_eq!(
            xor_all(&before),
            before.iter().fold(Block::ZERO, |sum, b| sum ^ *b)
        );
    }
}
