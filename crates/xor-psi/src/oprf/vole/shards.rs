//! Inputs of a large table in shards: one exchange each, all of the same public size.

// Shards are below their number, positions below the number of inputs: both by construction.
#![allow(clippy::indexing_slicing)]

use std::ops::Range;

use blake3::hazmat::{ContextKey, hash_derive_key_context};
use rayon::prelude::*;
use xor_base::constants::SIGMA;
use xor_base::kernels::many::{self, Padded};
use xor_base::wiped::Wiped;

use super::super::{Assign, Input, OprfError, Outputs, Shelf, Sizes};
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

    /// A shard with more inputs than its bound ends the attempt: probability 2^-SIGMA, as neither player chose
    /// the salt.
    ///
    /// # Errors
    /// `Unsolvable`.
    pub fn check(&self, inputs: usize) -> Result<(), OprfError> {
        if inputs > self.sizes.own {
            return Err(OkvsError::Unsolvable.into());
        }
        Ok(())
    }

    /// The shard of every input.
    pub fn assign(&self, inputs: &[Input], salt: &[u8; 32]) -> Wiped<u16> {
        let context = hash_derive_key_context(SHARD);
        let mut of = Wiped::zeros(inputs.len());
        inputs
            .par_chunks(CHUNK)
            .zip(of.par_chunks_mut(CHUNK))
            .for_each_init(
                || Wiped::<Padded>::zeros(CHUNK),
                |messages, (inputs, of)| assign(&context, inputs, salt, self.count, messages, of),
            );
        of
    }
}

fn assign(
    context: &ContextKey,
    inputs: &[Input],
    salt: &[u8; 32],
    count: usize,
    messages: &mut [Padded],
    of: &mut [u16],
) {
    for (message, input) in messages.iter_mut().zip(inputs) {
        let (head, body) = message.split_at_mut(salt.len());
        head.copy_from_slice(salt);
        body.copy_from_slice(input);
    }
    let mut hashed = Wiped::<[u8; 4]>::zeros(inputs.len());
    many::derive_padded(context, messages, MESSAGE_BYTES, hashed.as_flattened_mut(), 4);
    for (of, hash) in of.iter_mut().zip(hashed.iter()) {
        // Uniform up to count · 2^-32.
        *of = ((u64::from(u32::from_le_bytes(*hash)) * count as u64) >> 32) as u16;
    }
}

/// Inputs in memory, with room for all outputs in their order.
pub struct Held<'a> {
    inputs: &'a [Input],
    /// Numbers of inputs, shard after shard.
    order: Wiped<u32>,
    /// Where each shard ends in `order`.
    ends: Vec<usize>,
    /// The shard that was given out last.
    shard: usize,
    pub outputs: Outputs,
}

impl<'a> Held<'a> {
    pub fn new(inputs: &'a [Input]) -> Self {
        Self {
            inputs,
            order: Wiped::default(),
            ends: Vec::new(),
            shard: 0,
            outputs: Outputs::default(),
        }
    }

    /// Where the numbers of the inputs of one shard stand.
    fn range(&self, shard: usize) -> Range<usize> {
        let start = if shard == 0 { 0 } else { self.ends[shard - 1] };
        start..self.ends[shard]
    }
}

impl Shelf for Held<'_> {
    type Error = OprfError;

    fn count(&self) -> usize {
        self.inputs.len()
    }

    fn sort(&mut self, count: usize, assign: Assign<'_>) -> Result<(), OprfError> {
        if count == 1 {
            return Ok(());
        }
        let of = assign(self.inputs);
        let mut counts = vec![0; count];
        of.iter().for_each(|shard| counts[usize::from(*shard)] += 1);
        let mut total = 0;
        for count in counts {
            self.ends.push(total);
            total += count;
        }
        self.order = Wiped::zeros(total);
        for (input, shard) in (0_u32..).zip(of.iter()) {
            let end = &mut self.ends[usize::from(*shard)];
            self.order[*end] = input;
            *end += 1;
        }
        Ok(())
    }

    fn inputs(&mut self, shard: usize) -> Result<Wiped<Input>, OprfError> {
        self.shard = shard;
        if self.ends.is_empty() {
            return Ok(self.inputs.iter().copied().collect());
        }
        let members = self.order[self.range(shard)].iter();
        Ok(members.map(|input| self.inputs[*input as usize]).collect())
    }

    fn keep(&mut self, _: &[Input], outputs: Outputs) -> Result<(), OprfError> {
        if self.ends.is_empty() {
            self.outputs = outputs;
            return Ok(());
        }
        let members = &self.order[self.range(self.shard)];
        let Outputs {
            of_peer_key,
            of_own_key,
        } = &mut self.outputs;
        for (all, made) in [
            (of_peer_key, outputs.of_peer_key),
            (of_own_key, outputs.of_own_key),
        ] {
            if all.is_empty() && !made.is_empty() {
                *all = Wiped::zeros(self.order.len());
            }
            for (input, output) in members.iter().zip(made.iter()) {
                all[*input as usize] = *output;
            }
        }
        Ok(())
    }
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
        let shard = |inputs: &[Input], number: usize, salt: u8| {
            let mut held = Held::new(inputs);
            held.sort(7, &|inputs| shards.assign(inputs, &[salt; 32]))
                .unwrap();
            held.inputs(number).unwrap()
        };
        // Neither order nor neighbours matter.
        let reversed: Vec<Input> = inputs.iter().rev().copied().collect();
        let mut all = Vec::new();
        for number in 0..7 {
            let of = shard(&inputs, number, 1);
            assert!(shard(&reversed, number, 1).iter().rev().eq(of.iter()));
            all.extend_from_slice(&of);
        }
        all.sort_unstable();
        let mut expected = inputs.clone();
        expected.sort_unstable();
        assert!(all == expected);
        assert!(shard(&inputs, 0, 2) != shard(&inputs, 0, 1));
    }

    #[test]
    fn a_shard_with_too_many_inputs_ends_the_attempt() {
        let shards = Shards {
            count: 4,
            sizes: Sizes { own: 24, peer: 0 },
        };
        assert!(shards.check(24).is_ok());
        assert_eq!(shards.check(25).err().unwrap().code(), "protocol.not-encodable");
    }
}
