//! Inputs as points of the key-value store, and what comes out in the end.

use blake3::hazmat::{ContextKey, hash_derive_key_context};
use rayon::prelude::*;
use xor_base::kernels::Block;
use xor_base::kernels::block::as_bytes_mut;
use xor_base::kernels::many::{self, Padded};
use xor_base::random;
use xor_base::wiped::Wiped;

use super::super::{Input, OprfError, Output, Side};

const POINT: &str = "xor vole-oprf v1 point";
const OUTPUT: &str = "xor vole-oprf v1 output";

/// Points hashed at a time by one thread.
const CHUNK: usize = 1 << 8;
const POINT_BYTES: usize = 64;
/// Decoded value, digest, whose key.
const OUTPUT_BYTES: usize = 2 * Block::BYTES + 1;

/// Digest and value of every input, then of random fillers up to the bound: nothing that follows takes a time
/// that depends on how many inputs there are.
pub struct Points {
    /// h(x): distinct but with probability n² · 2^-129.
    pub digests: Wiped<Block>,
    /// H(x), what the table gives for h(x).
    pub values: Wiped<Block>,
}

impl Points {
    /// # Errors
    /// `NoRandomness`.
    ///
    /// # Security
    /// `salt` is fresh, so nothing computed before the exchange collides or repeats in it.
    pub fn new(inputs: &[Input], bound: usize, salt: &[u8; 32]) -> Result<Self, OprfError> {
        let mut digests = Wiped::zeros(bound);
        let mut values = Wiped::zeros(bound);
        let context = hash_derive_key_context(POINT);
        let (of_inputs, fillers) = digests.split_at_mut(inputs.len());
        random::fill(as_bytes_mut(fillers)).map_err(|_| OprfError::NoRandomness)?;
        let (values_of_inputs, of_fillers) = values.split_at_mut(inputs.len());
        random::fill(as_bytes_mut(of_fillers)).map_err(|_| OprfError::NoRandomness)?;
        inputs
            .par_chunks(CHUNK)
            .zip(of_inputs.par_chunks_mut(CHUNK))
            .zip(values_of_inputs.par_chunks_mut(CHUNK))
            .for_each_init(Scratch::new, |scratch, ((inputs, digests), values)| {
                scratch.hash_points(&context, salt, inputs, digests, values);
            });
        Ok(Self { digests, values })
    }

    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Ho(decoded + mask, h(x), whose key): [n].
    pub fn outputs(&self, decoded: &[Block], mask: Block, key_of: Side) -> Wiped<Output> {
        let mut outputs = Wiped::new(vec![[0; 16]; decoded.len()]);
        let context = hash_derive_key_context(OUTPUT);
        decoded
            .par_chunks(CHUNK)
            .zip(self.digests.par_chunks(CHUNK))
            .zip(outputs.par_chunks_mut(CHUNK))
            .for_each_init(Scratch::new, |scratch, ((decoded, digests), outputs)| {
                scratch.hash_outputs(&context, decoded, digests, (mask, key_of), outputs);
            });
        outputs
    }
}

/// Messages of one chunk, and what they hash to.
struct Scratch {
    messages: Wiped<Padded>,
    hashed: Wiped<u8>,
}

impl Scratch {
    fn new() -> Self {
        Self {
            messages: Wiped::zeros(CHUNK),
            hashed: Wiped::zeros(CHUNK * 2 * Block::BYTES),
        }
    }

    fn hash_points(
        &mut self,
        context: &ContextKey,
        salt: &[u8; 32],
        inputs: &[Input],
        digests: &mut [Block],
        values: &mut [Block],
    ) {
        for (message, input) in self.messages.iter_mut().zip(inputs) {
            let (head, body) = message.split_at_mut(salt.len());
            head.copy_from_slice(salt);
            body.copy_from_slice(input);
        }
        let (hashed, _) = self.hashed.split_at_mut(inputs.len() * 2 * Block::BYTES);
        many::derive_padded(context, &self.messages, POINT_BYTES, hashed, 2 * Block::BYTES);
        let (blocks, _) = hashed.as_chunks::<{ Block::BYTES }>();
        let (pairs, _) = blocks.as_chunks::<2>();
        for (([digest, value], digest_out), value_out) in pairs.iter().zip(digests).zip(values) {
            *digest_out = Block::from_bytes(*digest);
            *value_out = Block::from_bytes(*value);
        }
    }

    fn hash_outputs(
        &mut self,
        context: &ContextKey,
        decoded: &[Block],
        digests: &[Block],
        (mask, key_of): (Block, Side),
        outputs: &mut [Output],
    ) {
        let side = Block(u128::from(key_of.byte()));
        for ((message, decoded), digest) in self.messages.iter_mut().zip(decoded).zip(digests) {
            let (blocks, _) = message.as_chunks_mut::<{ Block::BYTES }>();
            for (block, from) in blocks.iter_mut().zip([*decoded ^ mask, *digest, side]) {
                *block = from.to_bytes();
            }
        }
        let out = outputs.as_flattened_mut();
        many::derive_padded(context, &self.messages, OUTPUT_BYTES, out, size_of::<Output>());
    }
}
