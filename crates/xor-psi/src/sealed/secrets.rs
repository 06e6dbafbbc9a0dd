//! From two OPRF outputs to everything that leaves: half secrets, cell keys, labels and streams.

use rayon::prelude::*;
use xor_base::derive::{Derive, Purpose};
use zeroize::Zeroizing;

use super::layout::SECRET_BYTES;
use crate::oprf::{Outputs, Side};

/// 16 bytes that open something.
pub(super) type Secret = [u8; SECRET_BYTES];

/// Binds everything to one run of one join node.
pub(super) type Attempt = [u8; 16];

/// 16 bytes of `D("attempt", plan hash ‖ node ‖ nonce_0 ‖ nonce_1)`.
pub(super) fn attempt(plan_hash: &[u8; 32], node: u32, nonces: [&[u8; 32]; 2]) -> Attempt {
    let [left, right] = nonces;
    Derive::new(Purpose::Attempt).array(&[plan_hash, &node.to_le_bytes(), left, right])
}

/// The half secrets of every key, wiped when dropped.
pub(super) struct HalfSecrets {
    of_side: [Zeroizing<Vec<Secret>>; 2],
}

impl HalfSecrets {
    /// `s_0 ‖ s_1 = D("pair", F_0 ‖ F_1 ‖ attempt)`; F_i is the function under side i's key.
    pub fn derive(side: Side, outputs: &Outputs, attempt: &Attempt) -> Self {
        let (first, second) = match side {
            Side::Left => (&outputs.of_own_key, &outputs.of_peer_key),
            Side::Right => (&outputs.of_peer_key, &outputs.of_own_key),
        };
        let derive = Derive::new(Purpose::Pair);
        let count = first.len();
        let mut left = Zeroizing::new(vec![[0; SECRET_BYTES]; count]);
        let mut right = Zeroizing::new(vec![[0; SECRET_BYTES]; count]);
        first
            .par_iter()
            .zip(second.par_iter())
            .zip(left.par_iter_mut().zip(right.par_iter_mut()))
            .with_min_len(1024)
            .for_each(|((first, second), (left, right))| {
                let mut both = Zeroizing::new([0; 2 * SECRET_BYTES]);
                derive.fill(&[first, second, attempt], both.as_mut_slice());
                let (low, high) = both.split_at(SECRET_BYTES);
                left.copy_from_slice(low);
                right.copy_from_slice(high);
            });
        Self {
            of_side: [left, right],
        }
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
    pub fn opener_keys(&self, opener: Side) -> Zeroizing<Vec<Secret>> {
        let derive = Derive::new(Purpose::Opener);
        let halves = self.of(opener).iter().zip(self.of(opener.other()));
        Zeroizing::new(
            halves
                .map(|(own, other)| opener_key(&derive, own, other))
                .collect(),
        )
    }
}

/// `k_o` = 16 bytes of `D("opener", s_o ‖ s_c)`.
pub(super) fn opener_key(derive: &Derive, s_o: &Secret, s_c: &Secret) -> Secret {
    derive.array(&[s_o, s_c])
}

/// `label ‖ stream = D("cell", k ‖ attempt ‖ side ‖ j)`.
#[derive(Clone)]
pub(super) struct CellStream {
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

    /// Fills `out` with the label and as much of the stream as fits. Used once per (key, side, j).
    pub fn fill(&self, key: &Secret, number: u64, out: &mut [u8]) {
        let (side, number) = ([self.side.byte()], number.to_le_bytes());
        self.derive.fill(&[key, &self.attempt, &side, &number], out);
    }
}

/// `to ⊕= mask`, over the shorter of both.
pub(super) fn xor(to: &mut [u8], mask: &[u8]) {
    to.iter_mut().zip(mask).for_each(|(to, mask)| *to ^= mask);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use xor_base::wiped::Wiped;
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
                let halves = HalfSecrets::derive(side, &outputs, &attempt);
                let k_o = halves.opener_keys(Side::Left)[0];
                found.push([halves.of(Side::Left)[0], halves.of(Side::Right)[0], k_o]);
            }
            assert_eq!(found[0], found[1], "both players derive the same");
            let [s_0, s_1, k_o] = found[0];
            let mut cell = [0; 80];
            CellStream::new(attempt, Side::Right).fill(&s_1, 5, &mut cell);
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
