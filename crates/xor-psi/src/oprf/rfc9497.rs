//! RFC 9497, suite OPRF(ristretto255, SHA-512), mode VOPRF, in the RFC's own names.
//!
//! Functions take slices so that the slow part of an encoding, one field inversion, is shared; none
//! of them starts threads. All arithmetic with secret scalars takes constant time;
//! multi-scalar multiplications see public values only.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::OprfError;

/// Ne: the bytes of an element.
pub const ELEMENT_BYTES: usize = 32;
/// Two scalars, c ‖ s.
pub const PROOF_BYTES: usize = 64;
/// Nh: the bytes of the hash.
pub const HASH_BYTES: usize = 64;

/// SerializeElement: the canonical encoding.
pub type Encoded = [u8; ELEMENT_BYTES];

// CreateContextString(modeVOPRF = 0x01, "ristretto255-SHA512"), RFC 9497 section 3.1, under each
// of the names it is joined to.
const HASH_TO_GROUP_DST: &[u8] = b"HashToGroup-OPRFV1-\x01-ristretto255-SHA512";
const HASH_TO_SCALAR_DST: &[u8] = b"HashToScalar-OPRFV1-\x01-ristretto255-SHA512";
const SEED_DST: &[u8] = b"Seed-OPRFV1-\x01-ristretto255-SHA512";

/// A group element with its canonical encoding; one that was received is not the identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Element {
    point: RistrettoPoint,
    encoded: Encoded,
}

impl Element {
    /// DeserializeElement, RFC 9497 section 4.1: refuses the identity and every encoding that is
    /// not canonical.
    pub fn decode(encoded: &Encoded) -> Option<Self> {
        let point = CompressedRistretto(*encoded).decompress()?;
        (!point.is_identity()).then_some(Self {
            point,
            encoded: *encoded,
        })
    }

    /// A sum of elements, which a proof may speak about whatever it is.
    pub fn from_sum(point: RistrettoPoint) -> Self {
        Self {
            point,
            encoded: point.compress().to_bytes(),
        }
    }

    pub fn encoded(&self) -> &Encoded {
        &self.encoded
    }
}

/// skS and pkS.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct KeyPair {
    secret: Scalar,
    #[zeroize(skip)]
    public: Encoded,
}

impl KeyPair {
    /// A new key pair from the operating system's randomness.
    pub fn generate() -> Result<Self, OprfError> {
        Ok(Self::from_secret(*random_scalar()?))
    }

    pub fn from_secret(secret: Scalar) -> Self {
        Self {
            secret,
            public: RistrettoPoint::mul_base(&secret).compress().to_bytes(),
        }
    }

    pub fn public(&self) -> &Encoded {
        &self.public
    }
}

/// RandomScalar: uniform and not zero.
pub fn random_scalar() -> Result<Zeroizing<Scalar>, OprfError> {
    let mut wide = Zeroizing::new([0; 64]);
    loop {
        fill_random(wide.as_mut())?;
        let scalar = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide));
        if *scalar != Scalar::ZERO {
            return Ok(scalar);
        }
    }
}

pub fn fill_random(bytes: &mut [u8]) -> Result<(), OprfError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| OprfError::NoRandomness)
}

/// Blind, section 3.3.1, for inputs that [`hash_to_group`] mapped: blind · inputElement, encoded.
pub fn blind(input_elements: &[RistrettoPoint], blinds: &[Scalar]) -> Vec<Encoded> {
    multiply_and_encode(input_elements.iter().zip(blinds.iter().copied()))
}

/// BlindEvaluate, section 3.3.2, without its proof: skS · blindedElement, encoded.
pub fn blind_evaluate(key: &KeyPair, blinded: &[Element]) -> Vec<Encoded> {
    multiply_and_encode(blinded.iter().map(|element| (&element.point, key.secret)))
}

/// Finalize, section 3.3.2, after [`verify_proof`]: the output of the function at `inputs`.
///
/// `blinds` are overwritten.
pub fn finalize<I: AsRef<[u8]>>(
    inputs: &[I],
    blinds: &mut [Scalar],
    evaluated: &[Element],
) -> Vec<[u8; HASH_BYTES]> {
    Scalar::invert_batch_alloc(blinds);
    let issued = Zeroizing::new(multiply_and_encode(
        evaluated.iter().map(|e| &e.point).zip(blinds.iter().copied()),
    ));
    output_hashes(inputs, &issued)
}

/// Evaluate, section 3.3.1: the function under one's own key.
pub fn evaluate<I: AsRef<[u8]>>(
    key: &KeyPair,
    inputs: &[I],
    input_elements: &[RistrettoPoint],
) -> Vec<[u8; HASH_BYTES]> {
    let issued = Zeroizing::new(multiply_and_encode(
        input_elements.iter().map(|point| (point, key.secret)),
    ));
    output_hashes(inputs, &issued)
}

/// GenerateProof, section 2.2.1, over one batch: C[i] and D[i] = skS · C[i].
///
/// Security: `r` is new for every proof; a repeated one gives the key away.
pub fn generate_proof(key: &KeyPair, c: &[Element], d: &[Encoded], r: &Scalar) -> [u8; PROOF_BYTES] {
    let weights = composite_weights(&key.public, c, d);
    let m = weighted_sum(&weights, c);
    let z = m * key.secret;
    let t2 = RistrettoPoint::mul_base(r);
    let t3 = m * r;
    let challenge = challenge(&key.public, &m, &z, &t2, &t3);
    let s = r - challenge * key.secret;
    let mut proof = [0; PROOF_BYTES];
    let scalars = [challenge.to_bytes(), s.to_bytes()];
    proof.copy_from_slice(scalars.as_flattened());
    proof
}

/// VerifyProof, section 2.2.2: whether all D[i] are C[i] times the secret of `public`.
pub fn verify_proof(public: &Element, c: &[Element], d: &[Element], proof: &[u8; PROOF_BYTES]) -> bool {
    let Some((proof_c, proof_s)) = decode_proof(proof) else {
        return false;
    };
    let d_encoded: Vec<Encoded> = d.iter().map(|element| element.encoded).collect();
    let weights = composite_weights(&public.encoded, c, &d_encoded);
    let (m, z) = (weighted_sum(&weights, c), weighted_sum(&weights, d));
    let t2 = RistrettoPoint::mul_base(&proof_s) + public.point * proof_c;
    let t3 = RistrettoPoint::vartime_multiscalar_mul([proof_s, proof_c], [m, z]);
    let expected = challenge(&public.encoded, &m, &z, &t2, &t3);
    expected.ct_eq(&proof_c).into()
}

fn decode_proof(proof: &[u8; PROOF_BYTES]) -> Option<(Scalar, Scalar)> {
    let (c, s) = proof.split_first_chunk::<32>()?;
    let s: &[u8; 32] = s.try_into().ok()?;
    // DeserializeScalar refuses numbers that are not reduced.
    let decode = |bytes: &[u8; 32]| Option::<Scalar>::from(Scalar::from_canonical_bytes(*bytes));
    Some((decode(c)?, decode(s)?))
}

/// The weights d_i of ComputeComposites and ComputeCompositesFast, section 2.2.1.
///
/// Each depends on its own pair alone, so a batch goes through [`super::batch`] first.
fn composite_weights(public: &Encoded, c: &[Element], d: &[Encoded]) -> Vec<Scalar> {
    let seed: [u8; HASH_BYTES] = Sha512::new()
        .chain_update(length_prefix(public.len()))
        .chain_update(public)
        .chain_update(length_prefix(SEED_DST.len()))
        .chain_update(SEED_DST)
        .finalize()
        .into();
    c.iter()
        .zip(d)
        .enumerate()
        .map(|(index, (ci, di))| {
            hash_to_scalar(&[
                &length_prefix(seed.len()),
                &seed,
                &length_prefix(index),
                &length_prefix(ELEMENT_BYTES),
                &ci.encoded,
                &length_prefix(ELEMENT_BYTES),
                di,
                b"Composite",
            ])
        })
        .collect()
}

/// The last step of ComputeComposites: the sum of d_i times its element.
pub fn weighted_sum(weights: &[Scalar], elements: &[Element]) -> RistrettoPoint {
    RistrettoPoint::vartime_multiscalar_mul(weights, elements.iter().map(|element| element.point))
}

fn challenge(
    public: &Encoded,
    m: &RistrettoPoint,
    z: &RistrettoPoint,
    t2: &RistrettoPoint,
    t3: &RistrettoPoint,
) -> Scalar {
    let prefix = length_prefix(ELEMENT_BYTES);
    let [a0, a1, a2, a3] = [m, z, t2, t3].map(|point| point.compress().to_bytes());
    hash_to_scalar(&[
        &prefix,
        public,
        &prefix,
        &a0,
        &prefix,
        &a1,
        &prefix,
        &a2,
        &prefix,
        &a3,
        b"Challenge",
    ])
}

/// HashToGroup, section 4.1: hash_to_ristretto255 of RFC 9380, appendix B.
///
/// # Errors
/// `InvalidInput` when an input maps to the identity, which nobody can provoke.
pub fn hash_to_group(input: &[u8]) -> Result<RistrettoPoint, OprfError> {
    let uniform = Zeroizing::new(expand_message_xmd(&[input], HASH_TO_GROUP_DST));
    let point = RistrettoPoint::from_uniform_bytes(&uniform);
    if point.is_identity() {
        Err(OprfError::InvalidInput)
    } else {
        Ok(point)
    }
}

/// HashToScalar, section 4.1.
fn hash_to_scalar(message: &[&[u8]]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&expand_message_xmd(message, HASH_TO_SCALAR_DST))
}

/// expand_message_xmd of RFC 9380, section 5.3.1, with SHA-512 and 64 bytes, so that ell = 1.
fn expand_message_xmd(message: &[&[u8]], dst: &[u8]) -> [u8; HASH_BYTES] {
    const Z_PAD: [u8; 128] = [0; 128];
    let dst_length = [dst.len() as u8];
    let mut first = Sha512::new().chain_update(Z_PAD);
    message.iter().for_each(|part| first.update(part));
    let b0 = first
        .chain_update(length_prefix(HASH_BYTES))
        .chain_update([0])
        .chain_update(dst)
        .chain_update(dst_length)
        .finalize();
    Sha512::new()
        .chain_update(b0)
        .chain_update([1])
        .chain_update(dst)
        .chain_update(dst_length)
        .finalize()
        .into()
}

fn output_hashes<I: AsRef<[u8]>>(inputs: &[I], issued: &[Encoded]) -> Vec<[u8; HASH_BYTES]> {
    inputs
        .iter()
        .zip(issued)
        .map(|(input, element)| output_hash(input.as_ref(), element))
        .collect()
}

/// The hash that ends Finalize and Evaluate.
fn output_hash(input: &[u8], issued: &Encoded) -> [u8; HASH_BYTES] {
    Sha512::new()
        .chain_update(length_prefix(input.len()))
        .chain_update(input)
        .chain_update(length_prefix(issued.len()))
        .chain_update(issued)
        .chain_update(b"Finalize")
        .finalize()
        .into()
}

/// Multiplies and encodes. Halves the scalars first because the shared inversion doubles.
fn multiply_and_encode<'a>(terms: impl Iterator<Item = (&'a RistrettoPoint, Scalar)>) -> Vec<Encoded> {
    let halves = terms.map(|(point, scalar)| point * scalar.div_by_2());
    let halves: Zeroizing<Vec<RistrettoPoint>> = Zeroizing::new(halves.collect());
    RistrettoPoint::double_and_compress_batch(halves.iter())
        .into_iter()
        .map(|c| c.to_bytes())
        .collect()
}

/// I2OSP(n, 2). All lengths and indices here are below 2^16 by construction.
fn length_prefix(n: usize) -> [u8; 2] {
    (n as u16).to_be_bytes()
}

#[cfg(test)]
mod tests;
