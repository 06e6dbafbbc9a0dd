//! The trees of seeds, and the proof that they are one player's doing.

use subtle::ConstantTimeEq;
use xor_base::kernels::block::{as_bytes, xor_into};
use xor_base::kernels::{Block, prg::Prg};
use xor_base::random;
use xor_base::wiped::Wiped;

use super::{fold, groups};
use crate::domain::Domain;
use crate::error::CorrelationError;
use crate::ggm::{Ggm, leaves};
use crate::ot::{OtReceived, OtSent};
use crate::params::{BASE_OTS, DIGEST_BYTES, MAX_TREE_DEPTH, MIN_TREE_DEPTH};

/// Blocks that each leaf gives to the proof before it gives anything else: 256 bits.
const PROOF: usize = 2;

/// All streams of all trees, all positioned alike.
pub struct Seeds {
    depth: usize,
    trees: Vec<Vec<Prg>>,
}

/// Bytes of the message that plants the trees.
#[must_use]
pub fn setup_bytes(tree_depth: usize) -> usize {
    BASE_OTS * 2 * Block::BYTES + groups(tree_depth) * (PROOF * Block::BYTES + DIGEST_BYTES)
}

/// The levels of each tree: k, and what is left for the last.
fn depths(tree_depth: usize) -> impl Iterator<Item = usize> {
    (0..BASE_OTS)
        .step_by(tree_depth)
        .map(move |start| tree_depth.min(BASE_OTS - start))
}

fn check_depth(depth: usize) -> Result<(), CorrelationError> {
    if (MIN_TREE_DEPTH..=MAX_TREE_DEPTH).contains(&depth) {
        Ok(())
    } else {
        Err(CorrelationError::TreeDepth { depth })
    }
}

impl Seeds {
    /// Plants whole trees.
    ///
    /// # Source
    /// SoftSpokenOT, the punctured function and its check.
    pub fn plant(domain: &Domain, depth: usize, ots: &OtSent) -> Result<(Self, Vec<u8>), CorrelationError> {
        check_depth(depth)?;
        let mut message = Vec::with_capacity(setup_bytes(depth));
        let mut trees = Vec::with_capacity(groups(depth));
        for (group, (levels, ots)) in depths(depth).zip(ots.keys.chunks(depth)).enumerate() {
            let domain = domain.child("tree", group as u64);
            let mut nodes = leaves(levels);
            let mut sums = Wiped::zeros(levels);
            let root = Block::from_bytes(random::array()?);
            Ggm::new(&domain).grow(root, &mut nodes, &mut sums);
            for ([zero, one], [key_zero, key_one]) in sums.iter().zip(ots) {
                message.extend_from_slice(as_bytes(&[*zero ^ *key_zero, *one ^ *key_one]));
            }
            let (streams, proofs) = streams(&nodes);
            let sum = proof_sum(&proofs);
            message.extend_from_slice(as_bytes(&sum));
            message.extend_from_slice(&domain.digest("leaves", proofs.as_flattened()));
            trees.push(streams);
        }
        Ok((Self { depth, trees }, message))
    }

    /// Grows the trees but for the leaves that the choices miss; their numbers make up Δ.
    pub fn grow(
        domain: &Domain,
        depth: usize,
        ots: &OtReceived,
        message: &[u8],
    ) -> Result<(Self, Block), CorrelationError> {
        check_depth(depth)?;
        let choices = ots.choices.first().copied().unwrap_or_default();
        if message.len() != setup_bytes(depth) || ots.keys.len() != BASE_OTS {
            return Err(CorrelationError::InconsistentTrees);
        }
        // Each OT shows the sum of one half; the leaf that stays unknown lies in the other.
        let delta = Block(!choices.0);
        let mut rest = message;
        let mut trees = Vec::with_capacity(groups(depth));
        let mut consistent = subtle::Choice::from(1);
        for (group, (levels, keys)) in depths(depth).zip(ots.keys.chunks(depth)).enumerate() {
            let domain = domain.child("tree", group as u64);
            let (masked, behind) = rest.split_at(levels * 2 * Block::BYTES);
            let (proof, behind) = behind.split_at(PROOF * Block::BYTES + DIGEST_BYTES);
            rest = behind;
            let path = (delta.0 >> (group * depth)) as usize & ((1 << levels) - 1);
            let known = unmask(masked, keys, path);
            let mut nodes = leaves(levels);
            Ggm::new(&domain).grow_punctured(path, &known, &mut nodes);
            let (streams, mut proofs) = streams(&nodes);
            let (sum, digest) = proof.split_at(PROOF * Block::BYTES);
            restore(&mut proofs, path, sum);
            consistent &= domain.digest("leaves", proofs.as_flattened()).ct_eq(digest);
            trees.push(streams);
        }
        if bool::from(consistent) {
            Ok((Self { depth, trees }, delta))
        } else {
            Err(CorrelationError::InconsistentTrees)
        }
    }

    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The next `words` blocks of every leaf, folded: the sum of each tree, tree after tree, and in `rows`
    /// one row for each bit of a leaf's number, the sum of the leaves that have it.
    pub fn fold(&mut self, words: usize, rows: &mut [Block]) -> Wiped<Block> {
        let mut sums = Wiped::zeros(self.trees.len() * words);
        let of_trees = rows.chunks_mut(self.depth * words);
        for ((tree, rows), sum) in self.trees.iter_mut().zip(of_trees).zip(sums.chunks_mut(words)) {
            fold::tree(tree, words, rows, sum);
        }
        sums
    }
}

/// What the choice at each level shows: the sum of the half that the path does not take.
fn unmask(masked: &[u8], keys: &[Block], path: usize) -> Wiped<Block> {
    let (pairs, _) = masked.as_chunks::<{ 2 * Block::BYTES }>();
    let known = pairs.iter().zip(keys).enumerate().map(|(level, (pair, key))| {
        let (zero, one) = halves(pair);
        let takes_upper = Block::mask(path >> level & 1 == 1);
        *key ^ one ^ (takes_upper & (zero ^ one))
    });
    Wiped::new(known.collect())
}

/// Both blocks of 32 bytes.
fn halves(pair: &[u8; 2 * Block::BYTES]) -> (Block, Block) {
    let (blocks, _) = pair.as_chunks::<{ Block::BYTES }>();
    let mut blocks = blocks.iter().map(|bytes| Block::from_bytes(*bytes));
    (
        blocks.next().unwrap_or_default(),
        blocks.next().unwrap_or_default(),
    )
}

type Proofs = Wiped<[Block; PROOF]>;

fn streams(nodes: &[Block]) -> (Vec<Prg>, Proofs) {
    let mut proofs = Wiped::new(vec![[Block::ZERO; PROOF]; nodes.len()]);
    let streams = nodes
        .iter()
        .zip(proofs.iter_mut())
        .map(|(node, proof)| {
            let mut stream = Prg::new(*node);
            stream.fill(proof);
            stream
        })
        .collect();
    (streams, proofs)
}

fn proof_sum(proofs: &[[Block; PROOF]]) -> [Block; PROOF] {
    let mut sum = [Block::ZERO; PROOF];
    proofs.iter().for_each(|proof| xor_into(&mut sum, proof));
    sum
}

/// Puts the proof of the missing leaf in place, from the sum of all, without telling where.
fn restore(proofs: &mut [[Block; PROOF]], path: usize, sum: &[u8]) {
    let mut lack = proof_sum(proofs);
    let (claimed, _) = sum.as_chunks::<{ Block::BYTES }>();
    for (lack, claimed) in lack.iter_mut().zip(claimed) {
        *lack ^= Block::from_bytes(*claimed);
    }
    for (index, proof) in proofs.iter_mut().enumerate() {
        let here = Block::mask(bool::from((index as u64).ct_eq(&(path as u64))));
        proof
            .iter_mut()
            .zip(lack)
            .for_each(|(block, lack)| *block ^= lack & here);
    }
}
