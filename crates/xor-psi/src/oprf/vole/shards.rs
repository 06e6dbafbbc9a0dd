//! Inputs of a large table in shards: one exchange each, all of the same public size.

// Shards are below their number, positions below the number of inputs: both by construction.
#![allow(clippy::indexing_slicing)]

use blake3::hazmat::hash_derive_key_context;
use rayon::prelude::*;
use xor_base::constants::SIGMA;
use xor_base::kernels::many::{self, Padded};
use xor_base::wiped::Wiped;

use super::super::{Input, OprfError, Sizes};
use crate::okvs::{OkvsError, bin_capacity};

const SHARD: &str = "xor vole-oprf v1 shard";

/// Rows of the larger side that one exchange takes, about: its vectors are in memory at once.
pub const SHARD_ROWS: usize = 1 << 20;

/// Inputs hashed at a time by one thread.
const CHUNK: usize = 1 << 8;
const MESSAGE_BYTES: usize = 64;

/// How many exchanges there are, and the bounds of every one: public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards {
    pub count: usize,
    pub sizes: Sizes,
}

impl Shards {
    /// A shard's bound is what a bin of so many holds but with probability 2^-SIGMA for all of them together.
    pub fn new(sizes: Sizes) -> Self {
        let count = sizes.own.max(sizes.peer).div_ceil(SHARD_ROWS).max(1);
        let capacity = |bound| bin_capacity(bound, count, SIGMA);
        Self {
            count,
            sizes: Sizes {
                own: capacity(sizes.own),
                peer: capacity(sizes.peer),
            },
        }
    }

    /// The inputs, shard after shard.
    ///
    /// # Errors
    /// `Unsolvable` if a shard has too many: probability 2^-SIGMA, as neither player chose the salt.
    pub fn sort(&self, inputs: &[Input], salt: &[u8; 32]) -> Result<Sorted, OprfError> {
        let of = assign(inputs, salt, self.count);
        let mut counts = vec![0; self.count];
        of.iter().for_each(|shard| counts[usize::from(*shard)] += 1);
        if counts.iter().any(|count| *count > self.sizes.own) {
            return Err(OkvsError::Unsolvable.into());
        }
        let mut ends = Vec::with_capacity(self.count);
        let mut total = 0;
        for count in counts {
            ends.push(total);
            total += count;
        }
        let mut order = Wiped::zeros(inputs.len());
        for (input, shard) in (0_u32..).zip(of.iter()) {
            let end = &mut ends[usize::from(*shard)];
            order[*end] = input;
            *end += 1;
        }
        Ok(Sorted { order, ends })
    }
}

/// Numbers of inputs, shard after shard.
pub struct Sorted {
    order: Wiped<u32>,
    ends: Vec<usize>,
}

impl Sorted {
    /// The numbers of the inputs of one shard.
    pub fn of(&self, shard: usize) -> &[u32] {
        let start = if shard == 0 { 0 } else { self.ends[shard - 1] };
        &self.order[start..self.ends[shard]]
    }
}

fn assign(inputs: &[Input], salt: &[u8; 32], count: usize) -> Wiped<u16> {
    let context = hash_derive_key_context(SHARD);
    let mut of = Wiped::zeros(inputs.len());
    inputs
        .par_chunks(CHUNK)
        .zip(of.par_chunks_mut(CHUNK))
        .for_each_init(
            || Wiped::<Padded>::zeros(CHUNK),
            |messages, (inputs, of)| {
                for (message, input) in messages.iter_mut().zip(inputs) {
                    let (head, body) = message.split_at_mut(salt.len());
                    head.copy_from_slice(salt);
                    body.copy_from_slice(input);
                }
                let mut hashed = Wiped::<[u8; 4]>::zeros(inputs.len());
                many::derive_padded(&context, messages, MESSAGE_BYTES, hashed.as_flattened_mut(), 4);
                for (of, hash) in of.iter_mut().zip(hashed.iter()) {
                    // Uniform up to count · 2^-32.
                    *of = ((u64::from(u32::from_le_bytes(*hash)) * count as u64) >> 32) as u16;
                }
            },
        );
    of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_tables_have_one_shard_of_their_own_bounds() {
        for (own, peer) in [(0, 0), (1, 1 << 20), (1 << 20, 7)] {
            let sizes = Sizes { own, peer };
            assert_eq!(Shards::new(sizes), Shards { count: 1, sizes });
        }
        let shards = Shards::new(Sizes {
            own: 10_000_000,
            peer: 5,
        });
        assert_eq!(shards.count, 10);
        assert!((1_000_000..1_010_000).contains(&shards.sizes.own), "{shards:?}");
        assert!(shards.sizes.peer <= 5);
    }

    #[test]
    fn every_input_is_in_one_shard_that_only_the_salt_decides() {
        let inputs: Vec<Input> = (0..20_000_u32)
            .map(|i| [i.to_le_bytes(); 8].as_flattened().try_into().unwrap())
            .collect();
        let shards = Shards {
            count: 7,
            sizes: Sizes { own: 3200, peer: 0 },
        };
        let sorted = shards.sort(&inputs, &[1; 32]).unwrap();
        let mut all: Vec<u32> = (0..7).flat_map(|shard| sorted.of(shard).to_vec()).collect();
        // Neither order nor neighbours matter.
        let reversed: Vec<Input> = inputs.iter().rev().copied().collect();
        let other = shards.sort(&reversed, &[1; 32]).unwrap();
        for shard in 0..7 {
            let mut mirrored: Vec<u32> = other.of(shard).iter().map(|i| 19_999 - i).collect();
            mirrored.reverse();
            assert_eq!(mirrored, sorted.of(shard));
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..20_000));
        assert!(shards.sort(&inputs, &[2; 32]).unwrap().of(0) != sorted.of(0));
    }

    #[test]
    fn a_shard_with_too_many_inputs_ends_the_attempt() {
        let inputs: Vec<Input> = (0..100_u32)
            .map(|i| [i.to_le_bytes(); 8].as_flattened().try_into().unwrap())
            .collect();
        let shards = Shards {
            count: 4,
            sizes: Sizes { own: 24, peer: 0 },
        };
        assert_eq!(
            shards.sort(&inputs, &[1; 32]).err().unwrap().code(),
            "protocol.not-encodable"
        );
    }
}
