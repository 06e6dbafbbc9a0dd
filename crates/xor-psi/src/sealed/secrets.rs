//! From two OPRF outputs to everything that leaves: half secrets, cell keys, labels and streams.

use rayon::prelude::*;
use xor_base::derive::{Derive, Purpose};
use xor_base::kernels::many::Padded;
use xor_base::wiped::Wiped;

use super::layout::SECRET_BYTES;
use crate::PsiError;
use crate::oprf::{Output, Outputs, Side};

/// 16 bytes that open something.
pub(crate) type Secret = [u8; SECRET_BYTES];

/// Binds everything to one run of one join node.
pub(crate) type Attempt = [u8; 16];

/// 16 bytes of `D("attempt", plan hash ‖ node ‖ nonce_0 ‖ nonce_1)`.
pub(crate) fn attempt(plan_hash: &[u8; 32], node: u32, nonces: [&[u8; 32]; 2]) -> Attempt {
    let [left, right] = nonces;
    Derive::new(Purpose::Attempt).array(&[plan_hash, &node.to_le_bytes(), left, right])
}

/// Keys whose secrets are derived at once: their messages lie in the nearest cache.
const KEYS_PER_TASK: usize = 1 << 9;

/// The half secrets of every key, wiped when dropped.
pub(crate) struct HalfSecrets {
    of_side: [Wiped<Secret>; 2],
}

impl HalfSecrets {
    /// `s_0 ‖ s_1 = D("pair", F_0 ‖ F_1 ‖ attempt)`; F_i is the function under side i's key.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn derive(side: Side, outputs: Outputs, attempt: &Attempt) -> Result<Self, PsiError> {
        let Outputs {
            of_own_key: own,
            of_peer_key: peer,
        } = outputs;
        let (first, second) = match side {
            Side::Left => (&own, &peer),
            Side::Right => (&peer, &own),
        };
        let derive = Derive::new(Purpose::Pair);
        let mut left = Wiped::try_zeros(first.len())?;
        let mut right = Wiped::try_zeros(first.len())?;
        first
            .par_chunks(KEYS_PER_TASK)
            .zip(second.par_chunks(KEYS_PER_TASK))
            .zip(left.par_chunks_mut(KEYS_PER_TASK))
            .zip(right.par_chunks_mut(KEYS_PER_TASK))
            .for_each_init(PairScratch::new, |scratch, (((first, second), left), right)| {
                scratch.derive(&derive, [first, second], attempt, [left, right]);
            });
        Ok(Self {
            of_side: [left, right],
        })
    }

    /// What was derived before, the left side's first.
    pub fn of_sides(of_side: [Wiped<Secret>; 2]) -> Self {
        Self { of_side }
    }

    /// `s_i` of every key.
    pub fn of(&self, side: Side) -> &[Secret] {
        let [left, right] = &self.of_side;
        match side {
            Side::Left => left,
            Side::Right => right,
        }
    }

    /// `k_o` of every key.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn opener_keys(&self, opener: Side) -> Result<Wiped<Secret>, PsiError> {
        let derive = Derive::new(Purpose::Opener);
        let mut keys = Wiped::try_zeros(self.of(opener).len())?;
        keys.par_chunks_mut(KEYS_PER_TASK)
            .zip(self.of(opener).par_chunks(KEYS_PER_TASK))
            .zip(self.of(opener.other()).par_chunks(KEYS_PER_TASK))
            .for_each(|((keys, own), other)| opener_keys(&derive, own.iter().zip(other), keys));
        Ok(keys)
    }
}

/// Messages and outputs of one task.
struct PairScratch {
    messages: Wiped<Padded>,
    pairs: Wiped<[u8; 2 * SECRET_BYTES]>,
}

impl PairScratch {
    fn new() -> Self {
        Self {
            messages: Wiped::new(vec![[0; _]; KEYS_PER_TASK]),
            pairs: Wiped::new(vec![[0; 2 * SECRET_BYTES]; KEYS_PER_TASK]),
        }
    }

    fn derive(
        &mut self,
        derive: &Derive,
        [first, second]: [&[Output]; 2],
        attempt: &Attempt,
        [left, right]: [&mut [Secret]; 2],
    ) {
        for ((message, first), second) in self.messages.iter_mut().zip(first).zip(second) {
            let (parts, _) = message.as_chunks_mut::<SECRET_BYTES>();
            parts
                .iter_mut()
                .zip([first, second, attempt])
                .for_each(|(to, from)| *to = *from);
        }
        let (pairs, _) = self.pairs.split_at_mut(first.len());
        derive.fill_padded(
            &self.messages,
            3 * SECRET_BYTES,
            pairs.as_flattened_mut(),
            2 * SECRET_BYTES,
        );
        for ((pair, left), right) in pairs.iter().zip(left).zip(right) {
            let (low, high) = pair.split_at(SECRET_BYTES);
            left.copy_from_slice(low);
            right.copy_from_slice(high);
        }
    }
}

/// `k_o` = 16 bytes of `D("opener", s_o ‖ s_c)`, of each pair.
pub(crate) fn opener_keys<'s>(
    derive: &Derive,
    pairs: impl Iterator<Item = (&'s Secret, &'s Secret)>,
    keys: &mut [Secret],
) {
    let mut messages = Wiped::new(vec![[0_u8; 64]; KEYS_AT_ONCE]);
    let mut pairs = pairs.fuse();
    for keys in keys.chunks_mut(KEYS_AT_ONCE) {
        for (message, (s_o, s_c)) in messages.iter_mut().zip(pairs.by_ref().take(keys.len())) {
            let (parts, _) = message.as_chunks_mut::<SECRET_BYTES>();
            parts
                .iter_mut()
                .zip([s_o, s_c])
                .for_each(|(to, from)| *to = *from);
        }
        derive.fill_padded(&messages, 2 * SECRET_BYTES, keys.as_flattened_mut(), SECRET_BYTES);
    }
}

/// `k = D("matched", F ‖ attempt)` of every key.
///
/// # Errors
/// `OutOfMemory`.
pub(crate) fn matched_keys(outputs: &[Output], attempt: &Attempt) -> Result<Wiped<Secret>, PsiError> {
    let derive = Derive::new(Purpose::Matched);
    let mut keys = Wiped::try_zeros(outputs.len())?;
    keys.par_chunks_mut(KEYS_PER_TASK)
        .zip(outputs.par_chunks(KEYS_PER_TASK))
        .for_each(|(keys, outputs)| {
            let mut messages = Wiped::new(vec![[0_u8; 64]; outputs.len()]);
            for (message, output) in messages.iter_mut().zip(outputs) {
                let (parts, _) = message.as_chunks_mut::<SECRET_BYTES>();
                parts
                    .iter_mut()
                    .zip([output, attempt])
                    .for_each(|(to, from)| *to = *from);
            }
            derive.fill_padded(&messages, 2 * SECRET_BYTES, keys.as_flattened_mut(), SECRET_BYTES);
        });
    Ok(keys)
}

/// A multiple of what is hashed side by side.
const KEYS_AT_ONCE: usize = 64;

/// Key ‖ attempt ‖ side ‖ number.
const CELL_MESSAGE_BYTES: usize = 41;
const NUMBER_AT: usize = 33;

/// `label ‖ stream = D("cell", k ‖ attempt ‖ side ‖ j)`.
#[derive(Clone)]
pub(crate) struct CellStream {
    derive: Derive,
    attempt: Attempt,
    side: Side,
}

impl CellStream {
    pub fn new(attempt: Attempt, side: Side) -> Self {
        let derive = Derive::new(Purpose::Cell);
        Self {
            derive,
            attempt,
            side,
        }
    }

    /// For each (key, number) the label and as much of the stream as `length` leaves, into `out`; as many as
    /// it has room for. Used once per (key, side, j).
    pub fn fill<'k>(
        &self,
        cells: impl IntoIterator<Item = (&'k Secret, u64)>,
        out: &mut [u8],
        length: usize,
    ) {
        let mut block: Padded = [0; _];
        if let [_, attempt, rest @ ..] = block.as_chunks_mut::<SECRET_BYTES>().0 {
            *attempt = self.attempt;
            if let Some(side) = rest.as_flattened_mut().first_mut() {
                *side = self.side.byte();
            }
        }
        let mut messages = Wiped::new(vec![block; KEYS_AT_ONCE.min(out.len() / length)]);
        let mut cells = cells.into_iter();
        for out in out.chunks_mut(length * KEYS_AT_ONCE) {
            let count = out.len() / length;
            for (message, (key, number)) in messages.iter_mut().zip(cells.by_ref().take(count)) {
                if let Some(to) = message.first_chunk_mut() {
                    *to = *key;
                }
                if let Some(to) = message.get_mut(NUMBER_AT..CELL_MESSAGE_BYTES) {
                    to.copy_from_slice(&number.to_le_bytes());
                }
            }
            self.derive
                .fill_padded(&messages, CELL_MESSAGE_BYTES, out, length);
        }
    }
}

/// `to ⊕= mask`, over the shorter of both.
pub(crate) fn xor(to: &mut [u8], mask: &[u8]) {
    to.iter_mut().zip(mask).for_each(|(to, mask)| *to ^= mask);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sealed::header::key_commitment;
    use crate::sealed::hex;

    const VECTORS: &str = include_str!("../../../../tests/vectors/core/derivations.json");

    fn bytes<const N: usize>(case: &Value, name: &str) -> [u8; N] {
        hex::decode(case[name].as_str().unwrap()).unwrap()
    }

    #[test]
    fn secrets_labels_and_streams_are_the_published_ones() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        for case in vectors["cases"].as_array().unwrap() {
            let nonces: [[u8; 32]; 2] = [bytes(case, "nonce_0"), bytes(case, "nonce_1")];
            let node = u32::try_from(case["node"].as_u64().unwrap()).unwrap();
            let attempt = attempt(&bytes(case, "plan_hash"), node, [&nonces[0], &nonces[1]]);
            let (first, second) = (bytes(case, "f_0"), bytes(case, "f_1"));
            let mut found = Vec::new();
            for (side, own, peer) in [(Side::Left, first, second), (Side::Right, second, first)] {
                let outputs = Outputs {
                    of_own_key: Wiped::new(vec![own]),
                    of_peer_key: Wiped::new(vec![peer]),
                };
                let halves = HalfSecrets::derive(side, outputs, &attempt).unwrap();
                let k_o = halves.opener_keys(Side::Left).unwrap()[0];
                found.push([halves.of(Side::Left)[0], halves.of(Side::Right)[0], k_o]);
            }
            assert_eq!(found[0], found[1], "both players derive the same");
            let [s_0, s_1, k_o] = found[0];
            let mut cell = [0; 80];
            CellStream::new(attempt, Side::Right).fill([(&s_1, 5)], &mut cell, 80);
            let derived = [
                ("attempt", hex::encode(&attempt)),
                ("s_0", hex::encode(&s_0)),
                ("s_1", hex::encode(&s_1)),
                ("k_o_if_0_opens", hex::encode(&k_o)),
                ("cell_5_of_side_1_under_s_1", hex::encode(&cell)),
                (
                    "key_commitment",
                    hex::encode(&key_commitment(&bytes(case, "stream_key"))),
                ),
            ];
            for (name, value) in derived {
                assert_eq!(case[name].as_str(), Some(value.as_str()), "{name}");
            }
        }
    }
}
