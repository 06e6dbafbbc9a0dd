//! 128 random OTs from group elements: endemic OT over ristretto255.
//!
//! `docs/protocols/base-ot.md` has the argument.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use xor_base::kernels::Block;
use xor_base::random;
use xor_base::wiped::Wiped;
use zeroize::{Zeroize, Zeroizing};

use crate::domain::Domain;
use crate::error::CorrelationError;
use crate::ot::{OtReceived, OtSent};
use crate::params::{BASE_OTS, POINT_BYTES};

/// Bytes of the receiver's message.
pub const REQUEST_BYTES: usize = 2 * POINT_BYTES * BASE_OTS;
/// Bytes of the sender's message.
pub const REPLY_BYTES: usize = POINT_BYTES;

/// The receiver, between its message and the sender's.
pub struct Receiver {
    domain: Domain,
    choices: Block,
    exponents: Zeroizing<Vec<Scalar>>,
    request: Vec<u8>,
}

impl Receiver {
    /// Makes the message for `choices`.
    ///
    /// # Errors
    /// `NoRandomness`.
    ///
    /// # Security
    /// Malicious senders, unconditionally: both elements of a pair are uniform and independent of the
    /// choice. Malicious receivers: computational Diffie-Hellman in the random-oracle model.
    ///
    /// # Cost
    /// 8192 bytes against 32; 256 multiplications of a point and 128 maps to the group.
    ///
    /// # Source
    /// Masny, Rindal, "Endemic Oblivious Transfer", CCS 2019 (eprint 2019/706), the random-oracle
    /// construction from Diffie-Hellman key agreement; ristretto255: RFC 9496.
    pub fn new(domain: Domain, choices: Block) -> Result<Self, CorrelationError> {
        let mut exponents = Zeroizing::new(Vec::with_capacity(BASE_OTS));
        let mut request = vec![0; REQUEST_BYTES];
        let (pairs, _) = request.as_chunks_mut::<{ 2 * POINT_BYTES }>();
        for (index, pair) in pairs.iter_mut().enumerate() {
            let choice = choices.0 >> index & 1;
            let exponent = random_scalar()?;
            let other = random_point()?;
            let other_bytes = other.compress().to_bytes();
            let mask = hash_to_group(&domain, index, choice as u8, &other_bytes);
            let own_bytes = (RistrettoPoint::mul_base(&exponent) - mask).compress().to_bytes();
            let mask = Block::mask(choice == 1).to_bytes()[0];
            let (zero, one) = pair.split_at_mut(POINT_BYTES);
            for (((zero, one), own), other) in zero.iter_mut().zip(one).zip(own_bytes).zip(other_bytes) {
                // Choice 0: own first. Both orders are written alike.
                *zero = own ^ (mask & (own ^ other));
                *one = other ^ (mask & (own ^ other));
            }
            exponents.push(*exponent);
        }
        Ok(Self {
            domain,
            choices,
            exponents,
            request,
        })
    }

    /// What goes to the sender.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Reads the sender's message.
    ///
    /// # Errors
    /// `BadElement` if it is no canonical element, or the identity.
    pub fn finish(self, reply: &[u8]) -> Result<OtReceived, CorrelationError> {
        // One element times many secrets: as fast as the generator, and as constant in time.
        let public = RistrettoBasepointTable::create(&decode(reply)?);
        let (pairs, _) = self.request.as_chunks::<{ 2 * POINT_BYTES }>();
        let mut keys = Vec::with_capacity(BASE_OTS);
        for (index, (pair, exponent)) in pairs.iter().zip(self.exponents.iter()).enumerate() {
            let choice = self.choices.0 >> index & 1;
            let shared = &public * exponent;
            keys.push(derive_key(
                &self.domain,
                index,
                choice as u8,
                pair,
                reply,
                &shared,
            ));
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
/// `BadElement` if any element is not canonical, or a key's element is the identity; `NoRandomness`.
///
/// # Security, Cost, Source
/// As [`Receiver::new`].
pub fn answer(domain: &Domain, request: &[u8]) -> Result<(Vec<u8>, OtSent), CorrelationError> {
    let (pairs, rest) = request.as_chunks::<{ 2 * POINT_BYTES }>();
    if pairs.len() != BASE_OTS || !rest.is_empty() {
        return Err(CorrelationError::BadElement);
    }
    let secret = random_scalar()?;
    let reply = RistrettoPoint::mul_base(&secret).compress().to_bytes();
    let mut sent = Vec::with_capacity(BASE_OTS);
    for (index, pair) in pairs.iter().enumerate() {
        let (zero, one) = pair.split_at(POINT_BYTES);
        let key = |choice: u8, own: &[u8], other: &[u8]| {
            // Both are decoded, also the one that is only hashed: one element has one encoding.
            let element = decode(own)? + hash_to_group(domain, index, choice, other);
            if element.is_identity() {
                return Err(CorrelationError::BadElement);
            }
            let shared = element * *secret;
            Ok(derive_key(domain, index, choice, pair, &reply, &shared))
        };
        sent.push([key(0, zero, one)?, key(1, one, zero)?]);
    }
    Ok((
        reply.to_vec(),
        OtSent {
            keys: Wiped::new(sent),
        },
    ))
}

fn decode(bytes: &[u8]) -> Result<RistrettoPoint, CorrelationError> {
    CompressedRistretto::from_slice(bytes)
        .ok()
        .and_then(|encoded| encoded.decompress())
        .filter(|point| !point.is_identity())
        .ok_or(CorrelationError::BadElement)
}

/// The one-way map of RFC 9496, section 4.3.4, of 64 hashed bytes.
fn hash_to_group(domain: &Domain, index: usize, choice: u8, other: &[u8]) -> RistrettoPoint {
    let mut uniform = [0; 64];
    domain.fill(
        "base ot point",
        &[&(index as u64).to_le_bytes(), &[choice], other],
        &mut uniform,
    );
    RistrettoPoint::from_uniform_bytes(&uniform)
}

fn derive_key(
    domain: &Domain,
    index: usize,
    choice: u8,
    pair: &[u8],
    reply: &[u8],
    shared: &RistrettoPoint,
) -> Block {
    let mut bytes = shared.compress().to_bytes();
    let index = (index as u64).to_le_bytes();
    let key = domain.block("base ot key", &[&index, &[choice], pair, reply, &bytes]);
    bytes.zeroize();
    key
}

fn random_scalar() -> Result<Zeroizing<Scalar>, CorrelationError> {
    let wide = Zeroizing::new(random::array::<64>()?);
    Ok(Zeroizing::new(Scalar::from_bytes_mod_order_wide(&wide)))
}

fn random_point() -> Result<RistrettoPoint, CorrelationError> {
    Ok(RistrettoPoint::from_uniform_bytes(&random::array::<64>()?))
}
