//! Dual LPN: outputs are a public compression of a long, sparse noise vector.

// Positions are below the vector's length by construction.
#![allow(clippy::indexing_slicing)]

use xor_base::kernels::block::as_bytes;
use xor_base::kernels::{Block, prg::Prg};

use crate::domain::Domain;
use crate::params::{DUAL_EXPANDER_WEIGHT, DUAL_PASSES, DUAL_WINDOW};
use crate::slot::Slot;

/// Steps of the convolution drawn at a time.
const STEPS: usize = 32;

/// Compresses `noise` to `outputs` values by the expand-convolute code of `domain`; `noise` is overwritten.
///
/// # Source
/// [`crate::params::DUAL_NOISE`]. Taps of the convolution are bits as there; every state is also
/// multiplied by a random field element and the expander's entries are x^0 to x^6, so that the code is
/// one over GF(2^128): a code over GF(2) would be broken.
#[must_use]
pub fn compress<S: Slot>(domain: &Domain, noise: &mut [S], outputs: usize) -> Vec<S> {
    for pass in 0..DUAL_PASSES {
        let mut taps = domain.expand("dual taps", &[&(pass as u64).to_le_bytes()]);
        convolve(&mut taps, noise);
    }
    expand(&mut domain.expand("dual expander", &[]), noise, outputs)
}

/// noise[i] = label · (noise[i] + noise[i - 1] + Σ bit · noise[i - j]), j up to the window.
fn convolve<S: Slot>(taps: &mut Prg, noise: &mut [S]) {
    let mut labels = [Block::ZERO; STEPS];
    let mut bits = [Block::ZERO; STEPS / 4];
    for start in (0..noise.len()).step_by(STEPS) {
        taps.fill(&mut labels);
        taps.fill(&mut bits);
        let (words, _) = as_bytes(&bits).as_chunks::<4>();
        for ((i, label), word) in (start..noise.len()).zip(&labels).zip(words) {
            // The nearest state is always added.
            let word = u32::from_le_bytes(*word) | 1;
            let window = &noise[i.saturating_sub(DUAL_WINDOW)..i];
            let sum = window.iter().rev().enumerate().fold(noise[i], |sum, (j, state)| {
                sum.add(state.masked(Block::mask(word >> j & 1 == 1)))
            });
            noise[i] = sum.scale(*label);
        }
    }
}

fn expand<S: Slot>(positions: &mut Prg, noise: &[S], outputs: usize) -> Vec<S> {
    let mut drawn = [Block::ZERO; 4 * DUAL_EXPANDER_WEIGHT];
    let mut out = Vec::with_capacity(outputs);
    while out.len() < outputs {
        positions.fill(&mut drawn);
        let (rows, _) = as_bytes(&drawn).as_chunks::<{ 4 * DUAL_EXPANDER_WEIGHT }>();
        let wanted = outputs - out.len();
        out.extend(rows.iter().take(wanted).map(|row| {
            let (row, _) = row.as_chunks::<4>();
            row.iter().fold(S::default(), |sum, word| {
                let scaled = u64::from(u32::from_le_bytes(*word)) * noise.len() as u64;
                sum.double().add(noise[(scaled >> 32) as usize])
            })
        }));
    }
    out
}
