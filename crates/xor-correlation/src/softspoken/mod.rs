//! OT extension by small-field VOLEs: COTs with a Δ of 128 bits from 128 random OTs.
//!
//! Each group of k random OTs plants a tree of 2^k seeds. The player that holds all seeds ends as
//! receiver, the one that lacks a leaf of each tree as sender: the numbers of those leaves are its Δ.
//! `docs/protocols/softspoken.md` has the argument.

mod fold;
mod seeds;

use subtle::ConstantTimeEq;
use xor_base::kernels::Block;
use xor_base::kernels::block::{as_bytes, as_bytes_mut, xor_into};
use xor_base::kernels::gf128::inner_product;
use xor_base::kernels::transpose::columns_to_rows;
use zeroize::Zeroizing;

use crate::domain::{Digest, Domain};
use crate::error::CorrelationError;
use crate::ot::{CotReceived, CotSent, OtReceived, OtSent};
use crate::params::{BASE_OTS, DIGEST_BYTES, MAX_COTS};
use seeds::Seeds;
pub use seeds::setup_bytes;

/// Bits of a block: COTs come in as many.
const WORD: usize = 128;

/// The player that chooses.
pub struct Receiver {
    domain: Domain,
    seeds: Seeds,
    extensions: u64,
}

/// The player that holds Δ.
pub struct Sender {
    domain: Domain,
    seeds: Seeds,
    delta: Block,
    extensions: u64,
}

/// Bytes of the message that extends by `count` COTs.
#[must_use]
pub fn extension_bytes(tree_depth: usize, count: usize) -> usize {
    let corrections = (groups(tree_depth) - 1) * words(count) * Block::BYTES;
    corrections + Block::BYTES + DIGEST_BYTES
}

/// Trees of one instance.
fn groups(tree_depth: usize) -> usize {
    BASE_OTS.div_ceil(tree_depth)
}

/// Blocks of a row: the COTs wanted and 128 that only mask the check.
fn words(count: usize) -> usize {
    count.div_ceil(WORD) + 1
}

fn check_count(count: usize) -> Result<(), CorrelationError> {
    if count > MAX_COTS {
        return Err(CorrelationError::TooMany {
            count,
            limit: MAX_COTS,
        });
    }
    Ok(())
}

impl Receiver {
    /// Plants the trees on random OTs; the message lets the sender grow its part.
    ///
    /// # Errors
    /// `TreeDepth`, `NoRandomness`.
    pub fn new(domain: Domain, tree_depth: usize, ots: &OtSent) -> Result<(Self, Vec<u8>), CorrelationError> {
        let (seeds, message) = Seeds::plant(&domain, tree_depth, ots)?;
        let receiver = Self {
            domain: domain.after("setup", &message),
            seeds,
            extensions: 0,
        };
        Ok((receiver, message))
    }

    /// `count` COTs with random choices, rounded up to a multiple of 128, and the message for the sender.
    ///
    /// # Errors
    /// `TooMany`.
    ///
    /// # Security
    /// Malicious receivers: one that is not consistent in g groups is caught but with probability 2^-gk,
    /// and learns the gk bits of Δ that it guessed if it is not. Malicious senders send nothing here.
    ///
    /// # Cost
    /// [`extension_bytes`] in one message; 2^k · 128/k bits of AES for each COT at both players.
    ///
    /// # Source
    /// Roy, "SoftSpokenOT", Crypto 2022 (eprint 2022/192), with the repetition code and a challenge from a
    /// hash of the message.
    pub fn extend(&mut self, count: usize) -> Result<(CotReceived, Vec<u8>), CorrelationError> {
        self.extend_with(count, |_| ())
    }

    /// [`Receiver::extend`] by a player that may do something to its corrections.
    fn extend_with(
        &mut self,
        count: usize,
        spoil: impl FnOnce(&mut [Block]),
    ) -> Result<(CotReceived, Vec<u8>), CorrelationError> {
        check_count(count)?;
        let words = words(count);
        let domain = self.domain.child("extension", self.extensions);
        self.extensions += 1;
        let mut rows = Zeroizing::new(vec![Block::ZERO; BASE_OTS * words]);
        let mut sums = self.seeds.fold(words, &mut rows);
        // The first group's sum becomes the choices; the others are corrected to it.
        let (choices, corrections) = sums.split_at_mut(words);
        for correction in corrections.chunks_mut(words) {
            xor_into(correction, choices);
        }
        spoil(corrections);
        let mut message = Vec::with_capacity(extension_bytes(self.seeds.depth(), count));
        message.extend_from_slice(as_bytes(corrections));
        let challenge = Challenge::new(&domain, &message, words);
        let hashed = challenge.hash(choices);
        let hashes = rows.chunks(words).map(|row| challenge.hash(row)).collect();
        message.extend_from_slice(&hashed.to_bytes());
        message.extend_from_slice(&digest(&domain, hashes));
        let macs = transposed(&rows, words);
        let (choices, _) = choices.split_at(words - 1);
        let received = CotReceived {
            choices: Zeroizing::new(choices.to_vec()),
            macs,
        };
        Ok((received, message))
    }
}

impl Sender {
    /// Grows all but a leaf of each tree; `ots` of the receiver's making decide which, and so Δ.
    ///
    /// # Errors
    /// `TreeDepth`; `InconsistentTrees` if the message has another length or contradicts itself.
    pub fn new(
        domain: Domain,
        tree_depth: usize,
        ots: &OtReceived,
        message: &[u8],
    ) -> Result<Self, CorrelationError> {
        let (seeds, delta) = Seeds::grow(&domain, tree_depth, ots, message)?;
        Ok(Self {
            domain: domain.after("setup", message),
            seeds,
            delta,
            extensions: 0,
        })
    }

    /// The sender's end of [`Receiver::extend`].
    ///
    /// # Errors
    /// `TooMany`; `InconsistentExtension` if the message has another length or fails the check.
    pub fn extend(&mut self, count: usize, message: &[u8]) -> Result<CotSent, CorrelationError> {
        check_count(count)?;
        let words = words(count);
        if message.len() != extension_bytes(self.seeds.depth(), count) {
            return Err(CorrelationError::InconsistentExtension);
        }
        let domain = self.domain.child("extension", self.extensions);
        self.extensions += 1;
        let (rest, claimed) = message.split_at(message.len() - DIGEST_BYTES);
        let (sent, hashed) = rest.split_at(rest.len() - Block::BYTES);
        let mut rows = Zeroizing::new(vec![Block::ZERO; BASE_OTS * words]);
        let sums = self.seeds.fold(words, &mut rows);
        self.correct(words, &mut rows, &sums, sent);
        let challenge = Challenge::new(&domain, sent, words);
        let hashed = Block::from_bytes(hashed.try_into().unwrap_or_default());
        let hashes = rows
            .chunks(words)
            .enumerate()
            .map(|(bit, row)| challenge.hash(row) ^ (Block::mask(self.delta.0 >> bit & 1 == 1) & hashed))
            .collect();
        if !bool::from(digest(&domain, hashes).ct_eq(claimed)) {
            return Err(CorrelationError::InconsistentExtension);
        }
        Ok(CotSent {
            delta: self.delta,
            keys: transposed(&rows, words),
        })
    }

    /// What the missing leaf would have added to a row, and the correction to the first group's choices,
    /// each where Δ has a one.
    fn correct(&self, words: usize, rows: &mut [Block], sums: &[Block], sent: &[u8]) {
        let mut corrections = vec![Block::ZERO; sums.len()];
        let (_, behind_first) = corrections.split_at_mut(words);
        as_bytes_mut(behind_first).copy_from_slice(sent);
        let depth = self.seeds.depth();
        for (bit, row) in rows.chunks_mut(words).enumerate() {
            let mask = Block::mask(self.delta.0 >> bit & 1 == 1);
            let group = bit / depth * words;
            let of_group = sums.iter().zip(&corrections).skip(group);
            for (block, (sum, correction)) in row.iter_mut().zip(of_group) {
                *block ^= mask & (*sum ^ *correction);
            }
        }
    }
}

/// A universal hash of rows, drawn after the corrections are known.
struct Challenge(Vec<Block>);

impl Challenge {
    fn new(domain: &Domain, corrections: &[u8], words: usize) -> Self {
        Self(domain.expand("consistency", &[corrections]).blocks(words - 1))
    }

    /// Linear over GF(2); the last block masks it.
    fn hash(&self, row: &[Block]) -> Block {
        match row.split_last() {
            Some((mask, row)) => inner_product(&self.0, row) ^ *mask,
            None => Block::ZERO,
        }
    }
}

fn digest(domain: &Domain, hashes: Vec<Block>) -> Digest {
    domain.digest("row hashes", &Zeroizing::new(hashes))
}

/// Rows without their last block, transposed: one block for each COT.
fn transposed(rows: &[Block], words: usize) -> Zeroizing<Vec<Block>> {
    let count = words - 1;
    let mut columns = Zeroizing::new(Vec::with_capacity(BASE_OTS * count));
    for row in rows.chunks(words) {
        columns.extend(row.iter().take(count));
    }
    let mut out = Zeroizing::new(vec![Block::ZERO; columns.len()]);
    columns_to_rows(&columns, &mut out);
    out
}

/// Σ x^i · block i, i < 128, of each 128 blocks: as many COTs of bits make one VOLE.
///
/// # Source
/// Gilboa's product (Crypto 1999) with a random factor, which nobody need send; the emp-ot project packs its
/// base VOLEs in the same way.
#[must_use]
pub fn pack_all(blocks: &[Block]) -> Zeroizing<Vec<Block>> {
    let powers: Vec<Block> = (0..WORD).map(|i| Block(1 << i)).collect();
    let sums = blocks
        .chunks_exact(WORD)
        .map(|blocks| inner_product(&powers, blocks));
    Zeroizing::new(sums.collect())
}

#[cfg(test)]
mod tests;
