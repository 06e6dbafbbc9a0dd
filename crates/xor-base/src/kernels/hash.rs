//! Correlation-robust hashes of blocks from a public permutation.
//!
//! The permutation π is AES under a key that both players draw or derive per session, after nothing that
//! is hashed can depend on it.

use super::Block;
use super::aes::Aes128;

/// Blocks hashed at a time: they stay in the first-level cache.
const HASHED: usize = 128;

/// `output[i] = π(x) ⊕ x` for `x = input[i]`.
///
/// # Security
/// Correlation robust for a uniform Δ in the ideal-permutation model: π(x ⊕ Δ) ⊕ x ⊕ Δ looks random.
/// Not where inputs are chosen as Δ-combinations that may repeat, and not circular: see [`ccr`], [`tccr`].
///
/// # Source
/// Guo, Katz, Wang, Yu, "Efficient and secure multiparty computation from fixed-key block ciphers",
/// S&P 2020, section 7.2 (MMO).
pub fn cr(pi: &Aes128, input: &[Block], output: &mut [Block]) {
    pi.feed_forward(input, output);
}

/// `output[i] = π(σ(x)) ⊕ σ(x)` with the linear orthomorphism σ(a ‖ b) = (a ⊕ b) ‖ a.
///
/// # Panics
/// If the lengths differ.
///
/// # Security
/// Circular correlation robust for inputs that do not repeat, ideal-permutation model.
///
/// # Source
/// As [`cr`], section 7.3.
pub fn ccr(pi: &Aes128, input: &[Block], output: &mut [Block]) {
    assert_eq!(input.len(), output.len());
    for (into, from) in output.iter_mut().zip(input) {
        *into = sigma(*from);
    }
    pi.feed_forward_in_place(output);
}

/// `output[i] = π(π(x) ⊕ t) ⊕ π(x)` for `x = input[i]`, `t = first_tweak + i`.
///
/// # Panics
/// If the lengths differ.
///
/// # Security
/// Tweakable circular correlation robust in the ideal-permutation model: inputs may be chosen by a
/// cheating peer and may repeat under different tweaks. Never use a tweak twice in a session.
///
/// # Source
/// As [`cr`], section 7.4 (TMMO).
pub fn tccr(pi: &Aes128, first_tweak: u128, input: &[Block], output: &mut [Block]) {
    assert_eq!(input.len(), output.len());
    let mut tweak = first_tweak;
    let mut permuted = zeroize::Zeroizing::new([Block::ZERO; HASHED]);
    for (from, into) in input.chunks(HASHED).zip(output.chunks_mut(HASHED)) {
        let (permuted, _) = permuted.split_at_mut(from.len());
        pi.encrypt_blocks(from, permuted);
        for (into, permuted) in into.iter_mut().zip(permuted.iter()) {
            *into = *permuted ^ Block(tweak);
            tweak = tweak.wrapping_add(1);
        }
        pi.encrypt_in_place(into);
        super::block::xor_into(into, permuted);
    }
}

fn sigma(block: Block) -> Block {
    let (low, high) = block.halves();
    Block::from_halves(high, low ^ high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::prg::Prg;

    #[test]
    fn hashes_are_their_definitions_at_every_length() {
        let pi = Aes128::new(Block(42));
        let oracle = Aes128::portable(Block(42));
        let input = Prg::new(Block(1)).blocks(300);
        for length in (0..40).chain([127, 128, 129, 255, 256, 257, 300]) {
            let from = &input[..length];
            let mut out = vec![Block::ZERO; length];
            cr(&pi, from, &mut out);
            for (x, out) in from.iter().zip(&out) {
                assert_eq!(*out, oracle.encrypt(*x) ^ *x);
            }
            ccr(&pi, from, &mut out);
            for (x, out) in from.iter().zip(&out) {
                assert_eq!(*out, oracle.encrypt(sigma(*x)) ^ sigma(*x));
            }
            let first = u128::MAX - 20;
            tccr(&pi, first, from, &mut out);
            for (i, (x, out)) in from.iter().zip(&out).enumerate() {
                let once = oracle.encrypt(*x);
                let tweak = Block(first.wrapping_add(i as u128));
                assert_eq!(*out, oracle.encrypt(once ^ tweak) ^ once);
            }
        }
    }

    #[test]
    fn sigma_and_sigma_plus_identity_are_bijective_on_a_basis() {
        // Both linear maps have rank 128: no nonzero combination of the images of a basis vanishes.
        for shift in [Block::ZERO, Block(u128::MAX)] {
            let mut rows: Vec<u128> = (0..128)
                .map(|i| (sigma(Block(1 << i)) ^ (Block(1 << i) & shift)).0)
                .collect();
            let mut rank = 0;
            for bit in 0..128 {
                if let Some(at) = (rank..128).find(|&at| rows[at] >> bit & 1 == 1) {
                    rows.swap(rank, at);
                    let pivot = rows[rank];
                    for (at, row) in rows.iter_mut().enumerate() {
                        if at != rank && *row >> bit & 1 == 1 {
                            *row ^= pivot;
                        }
                    }
                    rank += 1;
                }
            }
            assert_eq!(rank, 128);
        }
    }
}
