//! The compression function of BLAKE3 on several messages, one in each 32-bit lane.

// Indices are constants.
#![allow(clippy::indexing_slicing)]

pub(super) mod avx2;
pub(super) mod avx512;

const IV: [u32; 4] = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a];

/// First and last block of the only chunk, which is the root, of the material of a derivation.
const FLAGS: u32 = 1 | 1 << 1 | 1 << 3 | 1 << 6;

/// The order of message words in each of the seven rounds: the standard's permutation, iterated.
const SCHEDULE: [[usize; 16]; 7] = schedule();

const fn schedule() -> [[usize; 16]; 7] {
    const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
    let mut rounds = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]; 7];
    let mut round = 1;
    while round < 7 {
        let mut word = 0;
        while word < 16 {
            rounds[round][word] = rounds[round - 1][PERMUTATION[word]];
            word += 1;
        }
        round += 1;
    }
    rounds
}

/// `key_words` and `compress` on a vector type, from its module's `splat`, `add`, `xor` and rotations to the right.
/// A macro, as a trait's functions cannot ask for instructions.
macro_rules! compression {
    ($instructions:literal, $vector:ty) => {
        /// The words of the key, each in every lane.
        #[inline]
        #[target_feature(enable = $instructions)]
        fn key_words(key: &[u8; 32]) -> [$vector; 8] {
            let mut words = [splat(0); 8];
            for (word, key) in words.iter_mut().zip(key.as_chunks::<4>().0) {
                *word = splat(u32::from_le_bytes(*key));
            }
            words
        }

        /// All sixteen output words of one block with 64-bit counter `counter`.
        #[inline]
        #[target_feature(enable = $instructions)]
        fn compress(
            chaining: &[$vector; 8],
            message: &[$vector; 16],
            lengths: $vector,
            counter: u32,
        ) -> [$vector; 16] {
            let mut v = [splat(0); 16];
            v[..8].copy_from_slice(chaining);
            for (word, iv) in v[8..12].iter_mut().zip(super::IV) {
                *word = splat(iv);
            }
            v[12] = splat(counter);
            v[14] = lengths;
            v[15] = splat(super::FLAGS);
            round::<0>(&mut v, message);
            round::<1>(&mut v, message);
            round::<2>(&mut v, message);
            round::<3>(&mut v, message);
            round::<4>(&mut v, message);
            round::<5>(&mut v, message);
            round::<6>(&mut v, message);
            for i in 0..8 {
                v[i] = xor(v[i], v[i + 8]);
                v[i + 8] = xor(v[i + 8], chaining[i]);
            }
            v
        }

        #[inline]
        #[target_feature(enable = $instructions)]
        fn round<const ROUND: usize>(v: &mut [$vector; 16], message: &[$vector; 16]) {
            let m = |i: usize| message[super::SCHEDULE[ROUND][i]];
            mix(v, [0, 4, 8, 12], m(0), m(1));
            mix(v, [1, 5, 9, 13], m(2), m(3));
            mix(v, [2, 6, 10, 14], m(4), m(5));
            mix(v, [3, 7, 11, 15], m(6), m(7));
            mix(v, [0, 5, 10, 15], m(8), m(9));
            mix(v, [1, 6, 11, 12], m(10), m(11));
            mix(v, [2, 7, 8, 13], m(12), m(13));
            mix(v, [3, 4, 9, 14], m(14), m(15));
        }

        #[inline]
        #[target_feature(enable = $instructions)]
        fn mix(v: &mut [$vector; 16], [a, b, c, d]: [usize; 4], first: $vector, second: $vector) {
            v[a] = add(add(v[a], v[b]), first);
            v[d] = rotate_16(xor(v[d], v[a]));
            v[c] = add(v[c], v[d]);
            v[b] = rotate_12(xor(v[b], v[c]));
            v[a] = add(add(v[a], v[b]), second);
            v[d] = rotate_8(xor(v[d], v[a]));
            v[c] = add(v[c], v[d]);
            v[b] = rotate_7(xor(v[b], v[c]));
        }
    };
}
use compression;
