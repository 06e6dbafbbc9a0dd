//! VOLEs whose A' is zero but for one position in each block: the noise of LPN.
//!
//! The sender grows a tree for each block, the receiver all but one leaf of it; a base VOLE fills the gap.

use rayon::prelude::*;
use subtle::ConstantTimeEq;
use xor_base::kernels::block::as_bytes;
use xor_base::kernels::gf128::{inner_product, mul};
use xor_base::kernels::sparse::{Pair, TABLE, add_pair_products, add_products};
use xor_base::kernels::{Block, prg::Prg};
use zeroize::Zeroizing;

use crate::domain::{Digest, Domain};
use crate::error::CorrelationError;
use crate::ggm::{Ggm, add_at, xor_all};
use crate::lpn::primal::{Drawn, Matrix};
use crate::ot::{OtReceived, OtSent};
use crate::params::Noise;

/// Bytes of the sender's corrections.
#[must_use]
pub fn correction_bytes(noise: Noise) -> usize {
    noise.trees * (2 * noise.depth + 1) * Block::BYTES
}

/// The sender's end: `v` becomes its share of the noise vector; returns the corrections.
///
/// # Shapes
/// `ots.keys`: at least trees · depth; `base`: [trees]; `v`: [trees · 2^depth].
///
/// # Source
/// Weng, Yang, Katz, Wang, "Wolverine", S&P 2021 (eprint 2020/925), single-point VOLE; regular noise and punctured
/// trees: Boyle et al., CCS 2019 (eprint 2019/1159).
pub fn plant(
    domain: &Domain,
    noise: Noise,
    roots: &mut Prg,
    ots: &OtSent,
    base: &[Block],
    v: &mut [Block],
) -> Vec<u8> {
    let ggm = Ggm::new(domain);
    let roots = Zeroizing::new(roots.blocks(noise.trees));
    let mut message = vec![Block::ZERO; correction_bytes(noise) / Block::BYTES];
    v.par_chunks_mut(noise.block())
        .zip(message.par_chunks_mut(2 * noise.depth + 1))
        .zip(ots.keys.par_chunks(noise.depth))
        .zip(roots.par_iter().zip(base))
        .with_min_len(TREES_PER_TASK)
        .for_each_init(
            || Zeroizing::new(vec![[Block::ZERO; 2]; noise.depth]),
            |sums, (((leaves, message), ots), (root, base))| {
                ggm.grow(*root, leaves, sums);
                let (pairs, last) = message.as_chunks_mut::<2>();
                for (([zero, one], keys), out) in sums.iter().zip(ots).zip(pairs) {
                    let [key_zero, key_one] = *keys;
                    *out = [*zero ^ key_zero, *one ^ key_one];
                }
                last.fill(xor_all(leaves) ^ *base);
            },
        );
    as_bytes(&message).to_vec()
}

/// The receiver's end of one step: what it needs to grow its share of the noise vector.
pub struct Corrections<'a> {
    ggm: Ggm,
    noise: Noise,
    ots: &'a OtReceived,
    base: &'a [Pair],
    blocks: Vec<Block>,
    /// The noisy positions, whose A' is that of `base`.
    pub paths: Paths,
}

impl<'a> Corrections<'a> {
    /// Reads the sender's message.
    ///
    /// # Errors
    /// `InconsistentVole` for a message of another length. Nothing else shows before the check.
    pub fn new(
        domain: &Domain,
        noise: Noise,
        ots: &'a OtReceived,
        base: &'a [Pair],
        message: &[u8],
    ) -> Result<Self, CorrelationError> {
        if message.len() != correction_bytes(noise) {
            return Err(CorrelationError::InconsistentVole);
        }
        let (blocks, _) = message.as_chunks::<{ Block::BYTES }>();
        Ok(Self {
            ggm: Ggm::new(domain),
            noise,
            ots,
            base,
            blocks: blocks.iter().map(|bytes| Block::from_bytes(*bytes)).collect(),
            paths: Zeroizing::new(path_bits(&ots.choices, noise).collect()),
        })
    }

    /// Both shares of the noise vector side by side, and the weighted sum of C.
    #[must_use]
    pub fn grow_pairs(&self, weights: &Weights) -> (Zeroizing<Vec<Pair>>, Block) {
        let mut pairs = Zeroizing::new(vec![Pair::default(); self.noise.length()]);
        let sums: Vec<Block> = self
            .trees()
            .zip(pairs.par_chunks_mut(self.noise.block()))
            .map_init(
                || self.scratch(),
                |scratch, (tree, pairs)| {
                    let leaves = &mut scratch.leaves[..];
                    self.grow(&tree, &mut scratch.known, leaves);
                    for (index, (pair, c)) in pairs.iter_mut().zip(leaves.iter()).enumerate() {
                        *pair = Pair {
                            a: tree.base.a & is(index, tree.path),
                            c: *c,
                        };
                    }
                    weights.within(leaves)
                },
            )
            .collect();
        (pairs, weights.total(&Zeroizing::new(sums)))
    }

    /// Grows C and A' of every block into `c` and `a`, sums C under the weights, and adds the products of the
    /// primal code to both, block by block while it is in the cache.
    #[must_use]
    pub fn grow_and_stretch(
        &self,
        weights: &Weights,
        matrix: Matrix,
        secret: &[Pair; TABLE],
        a: &mut [Block],
        c: &mut [Block],
    ) -> Block {
        let sums: Vec<Block> = self
            .trees()
            .zip(a.par_chunks_mut(self.noise.block()))
            .zip(c.par_chunks_mut(self.noise.block()))
            .enumerate()
            .map_init(
                || (self.scratch(), Drawn::new()),
                |(scratch, drawn), (block, ((tree, a), c))| {
                    self.grow(&tree, &mut scratch.known, c);
                    for (index, a) in a.iter_mut().enumerate() {
                        *a = tree.base.a & is(index, tree.path);
                    }
                    let sum = weights.within(c);
                    add_pair_products(matrix.rows(block, drawn), secret, a, c);
                    sum
                },
            )
            .collect();
        weights.total(&Zeroizing::new(sums))
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            known: Zeroizing::new(vec![Block::ZERO; self.noise.depth]),
            leaves: crate::ggm::leaves(self.noise.depth),
        }
    }

    fn trees(&self) -> impl IndexedParallelIterator<Item = Tree<'_>> {
        self.blocks
            .par_chunks(2 * self.noise.depth + 1)
            .zip(self.ots.keys.par_chunks(self.noise.depth))
            .zip(self.paths.par_iter().zip(self.base))
            .with_min_len(TREES_PER_TASK)
            .map(|((blocks, keys), (path, base))| Tree {
                blocks,
                keys,
                path: *path,
                base: *base,
            })
    }

    /// All leaves; at the gap, what makes the sum of all that of the base VOLE and the correction.
    fn grow(&self, tree: &Tree<'_>, known: &mut [Block], leaves: &mut [Block]) {
        let (pairs, rest) = tree.blocks.as_chunks::<2>();
        for (level, ((known, key), [zero, one])) in known.iter_mut().zip(tree.keys).zip(pairs).enumerate() {
            let takes_upper = Block::mask(tree.path >> level & 1 == 1);
            *known = *key ^ *one ^ (takes_upper & (*zero ^ *one));
        }
        self.ggm.grow_punctured(tree.path as usize, known, leaves);
        let correction = rest.first().copied().unwrap_or_default();
        let lack = tree.base.c ^ correction ^ xor_all(leaves);
        add_at(leaves, tree.path as usize, lack);
    }
}

/// What one tree grows from.
struct Tree<'a> {
    blocks: &'a [Block],
    keys: &'a [Block],
    path: u64,
    base: Pair,
}

struct Scratch {
    known: Zeroizing<Vec<Block>>,
    leaves: Zeroizing<Vec<Block>>,
}

/// Trees that one thread takes at a time.
const TREES_PER_TASK: usize = 8;

/// Where the noise is: one position in each block.
pub type Paths = Zeroizing<Vec<u64>>;

/// All ones where `index` is `path`, without telling where.
fn is(index: usize, path: u64) -> Block {
    let differs = index as u64 ^ path;
    let mask = ((differs.wrapping_sub(1) & !differs) >> 63).wrapping_neg();
    Block::from_halves(mask, mask)
}

/// Each OT shows the half that the path does not take.
fn path_bits(choices: &[Block], noise: Noise) -> impl Iterator<Item = u64> {
    (0..noise.trees).map(move |tree| {
        (0..noise.depth).fold(0, |path, level| {
            let at = tree * noise.depth + level;
            let choice = choices.get(at / 128).map_or(0, |word| word.0 >> (at % 128) & 1);
            path | u64::from(choice == 0) << level
        })
    })
}

/// The random weights of a check: that of position j in block i is across[i] · within[j].
pub struct Weights {
    within: Vec<Block>,
    across: Vec<Block>,
}

impl Weights {
    /// Known to nobody before the corrections are.
    #[must_use]
    pub fn new(domain: &Domain, noise: Noise, message: &[u8]) -> Self {
        let mut drawn = domain.expand("vole check", &[message]);
        Self {
            within: drawn.blocks(noise.block()),
            across: drawn.blocks(noise.trees),
        }
    }

    /// The weighted sum of a share of the noise vector.
    #[must_use]
    pub fn sum(&self, share: &[Block]) -> Block {
        let sums: Vec<Block> = share
            .par_chunks(self.within.len())
            .with_min_len(TREES_PER_TASK)
            .map(|block| self.within(block))
            .collect();
        self.total(&Zeroizing::new(sums))
    }

    /// [`Self::sum`] of the sender's share, to which the products of the primal code are then added, block by
    /// block while it is in the cache.
    #[must_use]
    pub fn sum_and_stretch(&self, matrix: Matrix, secret: &[Block; TABLE], v: &mut [Block]) -> Block {
        let sums: Vec<Block> = v
            .par_chunks_mut(self.within.len())
            .with_min_len(TREES_PER_TASK)
            .enumerate()
            .map_init(Drawn::new, |drawn, (block, v)| {
                let sum = self.within(v);
                add_products(matrix.rows(block, drawn), secret, v);
                sum
            })
            .collect();
        self.total(&Zeroizing::new(sums))
    }

    /// Of one block.
    fn within(&self, block: &[Block]) -> Block {
        inner_product(&self.within, block)
    }

    /// Of the sums of all blocks.
    fn total(&self, sums: &[Block]) -> Block {
        inner_product(&self.across, sums)
    }

    /// The weighted sum of A': the receiver's answer, once masked.
    #[must_use]
    pub fn sum_of_noise(&self, paths: &[u64], base: &[Pair]) -> Block {
        let noisy = paths.iter().zip(base).zip(&self.across);
        noisy.fold(Block::ZERO, |sum, ((path, base), across)| {
            sum ^ mul(mul(self.at(*path), *across), base.a)
        })
    }

    /// A weight within a block, without telling which.
    fn at(&self, path: u64) -> Block {
        self.within
            .iter()
            .enumerate()
            .fold(Block::ZERO, |sum, (index, weight)| {
                sum ^ (*weight & is(index, path))
            })
    }
}

/// What the sender shows of its sums, all checks at once.
#[must_use]
pub fn digest(domain: &Domain, sums: &[Block]) -> Digest {
    domain.digest("vole sums", sums)
}

/// Whether the sender's sums are the receiver's.
///
/// # Errors
/// `InconsistentVole`.
pub fn compare(domain: &Domain, sums: &[Block], claimed: &[u8]) -> Result<(), CorrelationError> {
    if bool::from(digest(domain, sums).ct_eq(claimed)) {
        Ok(())
    } else {
        Err(CorrelationError::InconsistentVole)
    }
}

#[cfg(test)]
mod tests;
