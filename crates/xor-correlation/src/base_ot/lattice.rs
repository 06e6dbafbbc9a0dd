//! 128 random OTs from ML-KEM-768: endemic OT over the vectors t̂ of its public keys.
//!
//! `docs/protocols/base-ot.md` has the argument, and why these never stand alone.

use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768, SharedSecret};
use xor_base::kernels::Block;
use xor_base::random;
use xor_base::wiped::Wiped;

use super::vector::{VECTOR_BYTES, Vector, WIDE_BYTES};
use crate::domain::Domain;
use crate::error::CorrelationError;
use crate::ot::{OtReceived, OtSent};
use crate::params::BASE_OTS;

/// Bytes of the seed of the public matrix.
const RHO_BYTES: usize = 32;
const CIPHERTEXT_BYTES: usize = 1088;
/// One OT of the receiver's message: r_0, r_1, and the seed of both keys' matrix.
const ASKED_BYTES: usize = 2 * VECTOR_BYTES + RHO_BYTES;
const ANSWERED_BYTES: usize = 2 * CIPHERTEXT_BYTES;

/// Bytes of the receiver's message.
pub const REQUEST_BYTES: usize = ASKED_BYTES * BASE_OTS;
/// Bytes of the sender's message.
pub const REPLY_BYTES: usize = ANSWERED_BYTES * BASE_OTS;

/// The receiver, between its message and the sender's.
pub struct Receiver {
    domain: Domain,
    choices: Block,
    keys: Vec<DecapsulationKey>,
    request: Vec<u8>,
}

impl Receiver {
    /// Makes the message for `choices`.
    ///
    /// # Errors
    /// `NoRandomness`.
    ///
    /// # Security
    /// Malicious peers, both by module LWE, in the random-oracle model; the sender learns the choices if that is
    /// broken.
    ///
    /// # Cost
    /// 299,008 bytes against 278,528; 128 key generations and decapsulations, 256 encapsulations.
    ///
    /// # Source
    /// Masny, Rindal, "Endemic Oblivious Transfer", CCS 2019 (eprint 2019/706), instantiated from Kyber; FIPS 203.
    pub fn new(domain: Domain, choices: Block) -> Result<Self, CorrelationError> {
        let mut keys = Vec::with_capacity(BASE_OTS);
        let mut request = vec![0; REQUEST_BYTES];
        let (asked, _) = request.as_chunks_mut::<ASKED_BYTES>();
        for (index, asked) in asked.iter_mut().enumerate() {
            let choice = choices.0 >> index & 1;
            let (key, public) = key_pair()?;
            let (own, rho) = public.split_at(VECTOR_BYTES);
            let other = Vector::from_wide(&random::array()?).encode();
            let mask = hash_to_vector(&domain, index, choice as u8, rho, &other);
            let own = Vector::decode(own)?.minus(&mask).encode();
            let mask = Block::mask(choice == 1).to_bytes()[0];
            let (vectors, seed) = asked.split_at_mut(2 * VECTOR_BYTES);
            let (zero, one) = vectors.split_at_mut(VECTOR_BYTES);
            for (((zero, one), own), other) in zero.iter_mut().zip(one).zip(own).zip(other) {
                // Choice 0: own first. Both orders are written alike.
                *zero = own ^ (mask & (own ^ other));
                *one = other ^ (mask & (own ^ other));
            }
            seed.copy_from_slice(rho);
            keys.push(key);
        }
        Ok(Self {
            domain,
            choices,
            keys,
            request,
        })
    }

    /// What goes to the sender.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Reads the sender's message. A ciphertext that is not one of the own key gives a key that nobody else has.
    ///
    /// # Errors
    /// `BadElement` if it has another length.
    pub fn finish(self, reply: &[u8]) -> Result<OtReceived, CorrelationError> {
        let (answered, rest) = reply.as_chunks::<ANSWERED_BYTES>();
        if answered.len() != BASE_OTS || !rest.is_empty() {
            return Err(CorrelationError::BadElement);
        }
        let mut keys = Vec::with_capacity(BASE_OTS);
        for (index, (answered, key)) in answered.iter().zip(&self.keys).enumerate() {
            let choice = self.choices.0 >> index & 1;
            let mask = Block::mask(choice == 1).to_bytes()[0];
            let (zero, one) = answered.split_at(CIPHERTEXT_BYTES);
            // Both are read, whatever the choice.
            let own = zero
                .iter()
                .zip(one)
                .map(|(zero, one)| zero ^ (mask & (zero ^ one)));
            let own: Vec<u8> = own.collect();
            let shared = key.decapsulate(Ciphertext::from(own.as_slice()));
            let shared = shared.map_err(|_| CorrelationError::BadElement)?;
            keys.push(derive_key(&self.domain, index, choice as u8, &shared));
        }
        Ok(OtReceived {
            choices: vec![self.choices],
            keys: Wiped::new(keys),
        })
    }
}

/// Answers a receiver: the message for it, and both keys of each OT.
///
/// # Errors
/// `BadElement` for another length or a coefficient that is not below 3329; `NoRandomness`.
///
/// # Security, Cost, Source
/// As [`Receiver::new`].
pub fn answer(domain: &Domain, request: &[u8]) -> Result<(Vec<u8>, OtSent), CorrelationError> {
    let (asked, rest) = request.as_chunks::<ASKED_BYTES>();
    if asked.len() != BASE_OTS || !rest.is_empty() {
        return Err(CorrelationError::BadElement);
    }
    let mut reply = Vec::with_capacity(REPLY_BYTES);
    let mut sent = Vec::with_capacity(BASE_OTS);
    for (index, asked) in asked.iter().enumerate() {
        let (vectors, rho) = asked.split_at(2 * VECTOR_BYTES);
        let (zero, one) = vectors.split_at(VECTOR_BYTES);
        let mut key = |choice: u8, own: &[u8], other: &[u8]| {
            let mask = hash_to_vector(domain, index, choice, rho, other);
            let public = Vector::decode(own)?.plus(&mask).encode();
            let (ciphertext, shared) = encapsulate(&[&public, rho].concat())?;
            reply.extend_from_slice(ciphertext.as_ref());
            Ok::<_, CorrelationError>(derive_key(domain, index, choice, &shared))
        };
        sent.push([key(0, zero, one)?, key(1, one, zero)?]);
    }
    Ok((
        reply,
        OtSent {
            keys: Wiped::new(sent),
        },
    ))
}

/// A secret key, and the bytes of its public key.
fn key_pair() -> Result<(DecapsulationKey, Vec<u8>), CorrelationError> {
    let key = DecapsulationKey::generate(&ML_KEM_768).map_err(|_| CorrelationError::NoRandomness)?;
    let public = key.encapsulation_key().and_then(|public| public.key_bytes());
    let public = public
        .map_err(|_| CorrelationError::BadElement)?
        .as_ref()
        .to_vec();
    Ok((key, public))
}

fn encapsulate(public: &[u8]) -> Result<(Ciphertext<'static>, SharedSecret), CorrelationError> {
    let public = EncapsulationKey::new(&ML_KEM_768, public).map_err(|_| CorrelationError::BadElement)?;
    public.encapsulate().map_err(|_| CorrelationError::NoRandomness)
}

/// Takes a time that depends on none of its arguments: which of two vectors is hashed is the choice.
fn hash_to_vector(domain: &Domain, index: usize, choice: u8, rho: &[u8], other: &[u8]) -> Vector {
    let mut wide = [0; WIDE_BYTES];
    let number = (index as u64).to_le_bytes();
    domain.fill("lattice vector", &[&number, &[choice], rho, other], &mut wide);
    Vector::from_wide(&wide)
}

fn derive_key(domain: &Domain, index: usize, choice: u8, shared: &SharedSecret) -> Block {
    let number = (index as u64).to_le_bytes();
    domain.block("lattice key", &[&number, &[choice], shared.as_ref()])
}
