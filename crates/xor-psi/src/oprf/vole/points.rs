//! Inputs as points of the key-value store, and what comes out in the end.

use blake3::hazmat::{ContextKey, hash_derive_key_context};
use rayon::prelude::*;
use xor_base::kernels::Block;
use xor_base::kernels::many::{self, Padded};
use xor_base::kernels::prg::Prg;
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
        let fillers = Block::from_bytes(random::array().map_err(|_| OprfError::NoRandomness)?);
        digests
            .par_chunks_mut(CHUNK)
            .zip(values.par_chunks_mut(CHUNK))
            .enumerate()
            .for_each_init(Scratch::new, |scratch, (chunk, (digests, values))| {
                let inputs = inputs.get(chunk * CHUNK..).unwrap_or_default();
                scratch.write_points(salt, inputs, Prg::stream(fillers, chunk as u64));
                scratch.hash_points(&context, digests, values);
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

    /// Fillers everywhere, then inputs over them, as many as there are.
    fn write_points(&mut self, salt: &[u8; 32], inputs: &[Input], mut fillers: Prg) {
        fillers.fill_bytes(&mut self.hashed);
        let (fillers, _) = self.hashed.as_chunks::<{ size_of::<Input>() }>();
        for (message, filler) in self.messages.iter_mut().zip(fillers) {
            let (head, body) = message.split_at_mut(salt.len());
            head.copy_from_slice(salt);
            body.copy_from_slice(filler);
        }
        for (message, input) in self.messages.iter_mut().zip(inputs) {
            let (_, body) = message.split_at_mut(salt.len());
            body.copy_from_slice(input);
        }
    }

    fn hash_points(&mut self, context: &ContextKey, digests: &mut [Block], values: &mut [Block]) {
        let (hashed, _) = self.hashed.split_at_mut(digests.len() * 2 * Block::BYTES);
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
