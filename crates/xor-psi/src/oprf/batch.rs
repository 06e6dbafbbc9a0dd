//! One proof of RFC 9497 for a whole batch, sound for batches of any length.
//!
//! The RFC's own weights (ComputeComposites) hash each pair of elements by itself. A prover that
//! adds δ_i · P to its evaluations for a P of its choice then only looks for numbers δ_i with
//! Σ d_i(δ_i) · δ_i = 0, one from each of as many lists as there are elements, and may extend every
//! list at will: a generalised birthday, about 2^31 steps for 2^14 elements. So the weights here
//! depend on every element of the batch, and the RFC's proof speaks about the one weighted pair,
//! for which its weight cannot help a prover.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use rayon::prelude::*;

use super::OprfError;
use super::rfc9497::{self, Element, Encoded, KeyPair, PROOF_BYTES, random_scalar};

const WEIGHTS_CONTEXT: &str = "xor dh-oprf v1 batch weights";

/// KAPPA bits: a wrong batch passes with probability 2^-128 per attempt at hashing one.
const WEIGHT_BYTES: usize = 16;

/// Fewer terms than this gain nothing from another core.
const MULTISCALAR_CHUNK: usize = 4096;

/// Proves that every `d[i]` is `c[i]` times the secret key.
///
/// # Security
/// Zero knowledge in the random oracle model; the proof's randomness is drawn here.
pub fn prove(key: &KeyPair, c: &[Element], d: &[Encoded]) -> Result<[u8; PROOF_BYTES], OprfError> {
    let m = [weighted_sum(&weights(key.public(), c, d.iter()), c)];
    let z = rfc9497::blind_evaluate(key, &m);
    Ok(rfc9497::generate_proof(key, &m, &z, &*random_scalar()?))
}

/// Whether every `d[i]` is `c[i]` times the secret of `public`.
pub fn verify(public: &Element, c: &[Element], d: &[Element], proof: &[u8; PROOF_BYTES]) -> bool {
    if c.len() != d.len() {
        return false;
    }
    let weights = weights(public.encoded(), c, d.iter().map(Element::encoded));
    let (m, z) = (weighted_sum(&weights, c), weighted_sum(&weights, d));
    rfc9497::verify_proof(public, &[m], &[z], proof)
}

fn weights<'a>(public: &Encoded, c: &'a [Element], d: impl Iterator<Item = &'a Encoded>) -> Vec<Scalar> {
    let mut hasher = blake3::Hasher::new_derive_key(WEIGHTS_CONTEXT);
    hasher.update(public).update(&(c.len() as u64).to_le_bytes());
    c.iter().map(Element::encoded).chain(d).for_each(|encoded| {
        hasher.update(encoded);
    });
    let mut stream = hasher.finalize_xof();
    c.iter()
        .map(|_| {
            let mut weight = [0; WEIGHT_BYTES];
            stream.fill(&mut weight);
            Scalar::from(u128::from_le_bytes(weight))
        })
        .collect()
}

fn weighted_sum(weights: &[Scalar], elements: &[Element]) -> Element {
    let sum = weights
        .par_chunks(MULTISCALAR_CHUNK)
        .zip(elements.par_chunks(MULTISCALAR_CHUNK))
        .map(|(weights, elements)| rfc9497::weighted_sum(weights, elements))
        .reduce(RistrettoPoint::identity, |left, right| left + right);
    Element::from_sum(sum)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn element(number: u64) -> Element {
        Element::from_sum(RistrettoPoint::mul_base(&Scalar::from(number)))
    }

    fn batch(size: u64) -> (KeyPair, Element, Vec<Element>, Vec<Encoded>) {
        let key = KeyPair::generate().unwrap();
        let public = Element::decode(key.public()).unwrap();
        let c: Vec<Element> = (1..=size).map(element).collect();
        let d = rfc9497::blind_evaluate(&key, &c);
        (key, public, c, d)
    }

    fn decoded(encoded: &[Encoded]) -> Vec<Element> {
        encoded
            .iter()
            .map(|encoded| Element::decode(encoded).unwrap())
            .collect()
    }

    /// The bytes of the protocol page, over the elements of the RFC's third vector.
    #[test]
    fn the_weights_are_the_written_ones() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/vectors/oprf/xor-batch-weights.json"
        );
        let file: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let hex = |value: &serde_json::Value| {
            let text = value.as_str().unwrap().to_owned();
            (0..text.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
                .collect()
        };
        let all = |name: &str| -> Vec<Vec<u8>> { file[name].as_array().unwrap().iter().map(hex).collect() };
        let elements = |name: &str| -> Vec<Element> {
            all(name)
                .iter()
                .map(|bytes| Element::decode(bytes.as_slice().try_into().unwrap()).unwrap())
                .collect()
        };
        let public: Vec<u8> = hex(&file["pkSm"]);
        let (c, d) = (elements("C"), elements("D"));
        let weights = weights(
            public.as_slice().try_into().unwrap(),
            &c,
            d.iter().map(Element::encoded),
        );
        let weights: Vec<Vec<u8>> = weights
            .iter()
            .map(|weight| weight.as_bytes()[..16].to_vec())
            .collect();
        assert_eq!(weights, all("weights"));
    }

    #[test]
    fn honest_batches_of_every_length_verify() {
        for size in [0, 1, 2, 3, 300] {
            let (key, public, c, d) = batch(size);
            let proof = prove(&key, &c, &d).unwrap();
            assert!(verify(&public, &c, &decoded(&d), &proof));
        }
    }

    #[test]
    fn one_wrong_element_anywhere_is_noticed() {
        let (key, public, c, honest) = batch(40);
        for wrong in 0..40 {
            let mut d = honest.clone();
            d[wrong] = *element(99).encoded();
            for over in [&honest, &d] {
                let proof = prove(&key, &c, over).unwrap();
                assert!(!verify(&public, &c, &decoded(&d), &proof));
            }
        }
    }

    #[test]
    fn order_length_and_key_are_bound() {
        let (key, public, c, d) = batch(5);
        let proof = prove(&key, &c, &d).unwrap();
        let d = decoded(&d);
        let (mut other_c, mut other_d) = (c.clone(), d.clone());
        other_c.swap(1, 3);
        other_d.swap(1, 3);
        assert!(!verify(&public, &other_c, &other_d, &proof));
        assert!(!verify(&public, &c, &other_d, &proof));
        assert!(!verify(&public, &c[1..], &d[1..], &proof));
        assert!(!verify(&public, &c, &d[1..], &proof));
        assert!(!verify(&element(7), &c, &d, &proof));
    }

    /// What the RFC's weights lack: with them, each list of a generalised birthday stands by itself.
    #[test]
    fn any_changed_element_changes_every_weight() {
        let (_, public, c, d) = batch(6);
        let before = weights(public.encoded(), &c, d.iter());
        for changed in 0..6 {
            let mut d = d.clone();
            d[changed] = *element(99).encoded();
            let after = weights(public.encoded(), &c, d.iter());
            assert!(before.iter().zip(&after).all(|(before, after)| before != after));
        }
    }
}
