//! VOLEs whose A' is zero but for one position in each block: the noise of LPN.
//!
//! The sender grows a tree for each block, the receiver all but one leaf of it; a base VOLE fills the gap.

use subtle::ConstantTimeEq;
use xor_base::kernels::gf128::{inner_product, mul};
use xor_base::kernels::{Block, prg::Prg};
use zeroize::Zeroizing;

use crate::domain::{Digest, Domain};
use crate::error::CorrelationError;
use crate::ggm::{Ggm, add_at, xor_all};
use crate::ot::{OtReceived, OtSent};
use crate::params::Noise;
use crate::slot::Pair;

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
    let mut message = Vec::with_capacity(correction_bytes(noise));
    let mut sums = Zeroizing::new(vec![[Block::ZERO; 2]; noise.depth]);
    let trees = v.chunks_mut(noise.block()).zip(ots.keys.chunks(noise.depth));
    for ((leaves, ots), base) in trees.zip(base) {
        ggm.grow(roots.block(), leaves, &mut sums);
        for ([zero, one], [key_zero, key_one]) in sums.iter().zip(ots) {
            message.extend_from_slice(&(*zero ^ *key_zero).to_bytes());
            message.extend_from_slice(&(*one ^ *key_one).to_bytes());
        }
        message.extend_from_slice(&(xor_all(leaves) ^ *base).to_bytes());
    }
    message
}

/// Where the noise is: one position in each block.
pub type Paths = Zeroizing<Vec<u64>>;

/// The receiver's end: `c` becomes its share of the noise vector; returns the noisy positions, whose A' is
/// that of `base`.
///
/// # Errors
/// `InconsistentVole` for a message of another length. Nothing else shows before the check.
pub fn grow(
    domain: &Domain,
    noise: Noise,
    ots: &OtReceived,
    base: &[Pair],
    message: &[u8],
    c: &mut [Block],
) -> Result<Paths, CorrelationError> {
    if message.len() != correction_bytes(noise) {
        return Err(CorrelationError::InconsistentVole);
    }
    let ggm = Ggm::new(domain);
    let (blocks, _) = message.as_chunks::<{ Block::BYTES }>();
    let mut paths = Zeroizing::new(Vec::with_capacity(noise.trees));
    let mut known = Zeroizing::new(vec![Block::ZERO; noise.depth]);
    let trees = c
        .chunks_mut(noise.block())
        .zip(blocks.chunks(2 * noise.depth + 1));
    let ots = ots.keys.chunks(noise.depth).zip(path_bits(&ots.choices, noise));
    for (((leaves, blocks), (keys, path)), base) in trees.zip(ots).zip(base) {
        let (pairs, rest) = blocks.as_chunks::<2>();
        for (level, ((known, key), [zero, one])) in known.iter_mut().zip(keys).zip(pairs).enumerate() {
            let (zero, one) = (Block::from_bytes(*zero), Block::from_bytes(*one));
            let takes_upper = Block::mask(path >> level & 1 == 1);
            *known = *key ^ one ^ (takes_upper & (zero ^ one));
        }
        ggm.grow_punctured(path as usize, &known, leaves);
        let correction = rest
            .first()
            .map_or(Block::ZERO, |bytes| Block::from_bytes(*bytes));
        // At the gap: what makes the sum of all that of the base VOLE and the correction.
        let lack = base.c ^ correction ^ xor_all(leaves);
        add_at(leaves, path as usize, lack);
        paths.push(path);
    }
    Ok(paths)
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
        let blocks = share.chunks(self.within.len());
        let sums = Zeroizing::new(
            blocks
                .map(|block| inner_product(&self.within, block))
                .collect::<Vec<_>>(),
        );
        inner_product(&self.across, &sums)
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
                let differs = index as u64 ^ path;
                let mask = ((differs.wrapping_sub(1) & !differs) >> 63).wrapping_neg();
                sum ^ (*weight & Block::from_halves(mask, mask))
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

/// Both shares side by side: A' is the base's at the noisy positions and zero elsewhere.
#[must_use]
pub fn paired(noise: Noise, paths: &[u64], base: &[Pair], c: &[Block]) -> Zeroizing<Vec<Pair>> {
    let mut out = Zeroizing::new(Vec::with_capacity(c.len()));
    for ((leaves, path), base) in c.chunks(noise.block()).zip(paths).zip(base) {
        let (low, high) = base.a.halves();
        // Without telling where: all positions are computed alike.
        out.extend(leaves.iter().enumerate().map(|(index, c)| {
            let differs = index as u64 ^ path;
            let mask = ((differs.wrapping_sub(1) & !differs) >> 63).wrapping_neg();
            Pair {
                a: Block::from_halves(low & mask, high & mask),
                c: *c,
            }
        }));
    }
    out
}

#[cfg(test)]
mod tests;
