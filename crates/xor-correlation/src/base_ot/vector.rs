//! Vectors t̂ of ML-KEM-768: 768 numbers modulo 3329, 12 bits each where they travel (FIPS 203, ByteEncode).

use crate::error::CorrelationError;

const Q: u64 = 3329;
const COEFFICIENTS: usize = 768;
pub const VECTOR_BYTES: usize = COEFFICIENTS * 3 / 2;
/// 128 bits for each coefficient: what 2^128 modulo 3329 favours is below 2^-100 for a whole session. Rejection
/// would be exact, and take a time that depends on what is hashed.
pub const WIDE_BYTES: usize = COEFFICIENTS * 16;

/// All below 3329.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vector([u16; COEFFICIENTS]);

impl Vector {
    /// # Errors
    /// `BadElement` for another length or a coefficient that is not below 3329.
    pub fn decode(bytes: &[u8]) -> Result<Self, CorrelationError> {
        let coefficients = unpack(bytes);
        let fits = bytes.len() == VECTOR_BYTES && coefficients.iter().all(|each| u64::from(*each) < Q);
        fits.then_some(Self(coefficients))
            .ok_or(CorrelationError::BadElement)
    }

    /// Uniform from uniform bytes, all but exactly.
    pub fn from_wide(bytes: &[u8; WIDE_BYTES]) -> Self {
        /// 2^64 modulo 3329.
        const HIGH: u64 = (u64::MAX % Q + 1) % Q;
        let mut coefficients = [0; COEFFICIENTS];
        let (words, _) = bytes.as_chunks::<16>();
        for (each, word) in coefficients.iter_mut().zip(words) {
            let word = u128::from_le_bytes(*word);
            let high = u64::from(reduce((word >> 64) as u64));
            *each = reduce(high * HIGH + u64::from(reduce(word as u64)));
        }
        Self(coefficients)
    }

    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, |one, other| one + other)
    }

    pub fn minus(&self, other: &Self) -> Self {
        self.with(other, |one, other| one + Q - other)
    }

    pub fn encode(&self) -> [u8; VECTOR_BYTES] {
        let mut bytes = [0; VECTOR_BYTES];
        let (triples, _) = bytes.as_chunks_mut::<3>();
        let (pairs, _) = self.0.as_chunks::<2>();
        for (triple, [low, high]) in triples.iter_mut().zip(pairs) {
            *triple = [*low as u8, (low >> 8 | high << 4) as u8, (high >> 4) as u8];
        }
        bytes
    }

    /// `to` gives less than 2 · 3329.
    fn with(&self, other: &Self, to: impl Fn(u64, u64) -> u64) -> Self {
        let mut coefficients = self.0;
        for (one, other) in coefficients.iter_mut().zip(other.0) {
            *one = small(to(u64::from(*one), u64::from(other)));
        }
        Self(coefficients)
    }
}

fn unpack(bytes: &[u8]) -> [u16; COEFFICIENTS] {
    let mut coefficients = [0; COEFFICIENTS];
    let (pairs, _) = coefficients.as_chunks_mut::<2>();
    let (triples, _) = bytes.as_chunks::<3>();
    for (pair, triple) in pairs.iter_mut().zip(triples) {
        let [low, middle, high] = triple.map(u16::from);
        *pair = [low | (middle & 15) << 8, middle >> 4 | high << 4];
    }
    coefficients
}

/// What is left of a number below 2 · 3329. No branch.
fn small(number: u64) -> u16 {
    let less = number.wrapping_sub(Q);
    less.wrapping_add(Q & (less >> 63).wrapping_neg()) as u16
}

/// Barrett's reduction. No division: its time depends on the number on some processors.
fn reduce(number: u64) -> u16 {
    const INVERSE: u128 = (1 << 64) / Q as u128;
    let quotient = ((u128::from(number) * INVERSE) >> 64) as u64;
    small(number - quotient * Q)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xor_base::kernels::{Block, prg::Prg};

    #[test]
    fn reductions_are_those_of_a_division() {
        let edges = (0..4).flat_map(|near| {
            [
                near,
                Q - near,
                2 * Q - 1 - near,
                u64::MAX - near,
                (1 << 63) - near,
            ]
        });
        for number in edges.chain(
            Prg::new(Block(5))
                .blocks(10_000)
                .iter()
                .map(|block| block.0 as u64),
        ) {
            assert_eq!(u64::from(reduce(number)), number % Q, "{number}");
        }
        let mut bytes = [0xff; WIDE_BYTES];
        bytes[..16].copy_from_slice(&[0; 16]);
        let vector = Vector::from_wide(&bytes);
        let rest = (u128::MAX % u128::from(Q)) as u16;
        assert!(vector.0[0] == 0 && vector.0[1..].iter().all(|each| *each == rest));
    }

    #[test]
    fn sums_and_encodings_can_be_undone() {
        let blocks = Prg::new(Block(6)).blocks(2 * COEFFICIENTS);
        let bytes: Vec<u8> = blocks.iter().flat_map(|block| block.to_bytes()).collect();
        let (wide, _) = bytes.as_chunks::<WIDE_BYTES>();
        let [one, other] = [&wide[0], &wide[1]].map(Vector::from_wide);
        assert_eq!(one.plus(&other).minus(&other), one);
        assert_eq!(one.minus(&other).plus(&other), one);
        assert!(one.plus(&other).0.iter().all(|each| u64::from(*each) < Q));
        assert_eq!(Vector::decode(&one.encode()).unwrap(), one);
    }

    #[test]
    fn a_million_broken_encodings_are_vectors_or_refused() {
        let mut draw = Prg::new(Block(7));
        let mut bytes = Vector([0; COEFFICIENTS]).encode().to_vec();
        for _ in 0..1_000_000 {
            let (at, byte) = draw.block().halves();
            let at = at as usize % VECTOR_BYTES;
            let before = std::mem::replace(&mut bytes[at], byte as u8);
            let cut = if byte >> 32 & 63 == 0 { at } else { VECTOR_BYTES };
            match Vector::decode(&bytes[..cut]) {
                // There is one encoding of each.
                Ok(vector) => assert!(vector.encode() == bytes[..]),
                Err(error) => {
                    assert!(matches!(error, CorrelationError::BadElement));
                    bytes[at] = before;
                }
            }
        }
        assert!(bytes.iter().filter(|byte| **byte != 0).count() > VECTOR_BYTES / 2);
    }

    #[test]
    fn only_numbers_below_the_modulus_are_decoded() {
        let encoded = |at: usize, number: u16| {
            let mut vector = Vector([0; COEFFICIENTS]);
            vector.0[at] = number;
            vector.encode()
        };
        for at in [0, 1, 255, COEFFICIENTS - 1] {
            assert!(Vector::decode(&encoded(at, 3328)).is_ok());
            for number in [3329, 3330, 4095] {
                assert!(Vector::decode(&encoded(at, number)).is_err());
            }
        }
        for length in [0, VECTOR_BYTES - 3, VECTOR_BYTES - 1] {
            assert!(Vector::decode(&encoded(0, 1)[..length]).is_err());
        }
    }
}
