//! 128 random OTs in one exchange of messages, whose keys are secret if either of two problems is hard.
//!
//! `docs/protocols/base-ot.md` has the argument.

use xor_base::kernels::Block;
use xor_base::random;

use crate::domain::Domain;
use crate::error::CorrelationError;
use crate::ot::{OtReceived, OtSent};

pub mod group;
pub mod lattice;
mod vector;

/// Bytes of the receiver's message.
pub const REQUEST_BYTES: usize = group::REQUEST_BYTES + lattice::REQUEST_BYTES;
/// Bytes of the sender's message.
pub const REPLY_BYTES: usize = group::REPLY_BYTES + lattice::REPLY_BYTES;

/// The receiver, between its message and the sender's.
pub struct Receiver {
    domain: Domain,
    group: group::Receiver,
    lattice: lattice::Receiver,
    request: Vec<u8>,
}

impl Receiver {
    /// Draws choices and makes the message.
    ///
    /// # Errors
    /// `NoRandomness`.
    ///
    /// # Security
    /// Malicious receivers: computational Diffie-Hellman or module LWE, in the random-oracle model. Malicious
    /// senders: module LWE; whoever needs more adds OTs of the other direction, as `link` does.
    ///
    /// # Cost
    /// 307,200 bytes against 278,560; the work of [`group`] and [`lattice`].
    ///
    /// # Source
    /// Theirs.
    pub fn new(domain: Domain) -> Result<Self, CorrelationError> {
        let choices = Block::from_bytes(random::array()?);
        let group = group::Receiver::new(domain.child("group", 0), choices)?;
        let lattice = lattice::Receiver::new(domain.child("lattice", 0), choices)?;
        let request = [group.request(), lattice.request()].concat();
        Ok(Self {
            domain: domain.after("request", &request),
            group,
            lattice,
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
    /// `BadElement` for another length, or if its element is not canonical or the identity.
    pub fn finish(self, reply: &[u8]) -> Result<OtReceived, CorrelationError> {
        let (group, lattice) = split(reply, group::REPLY_BYTES)?;
        let (group, lattice) = (self.group.finish(group)?, self.lattice.finish(lattice)?);
        Ok(group.joined(&lattice, &self.domain.after("reply", reply)))
    }
}

/// Answers a receiver: the message for it, and both keys of each OT.
///
/// # Errors
/// `BadElement` for another length, an element that is not canonical, a key's element that is the identity, or a
/// coefficient that is out of range; `NoRandomness`.
///
/// # Security, Cost, Source
/// As [`Receiver::new`].
pub fn answer(domain: &Domain, request: &[u8]) -> Result<(Vec<u8>, OtSent), CorrelationError> {
    let (group, lattice) = split(request, group::REQUEST_BYTES)?;
    let (mut reply, sent) = group::answer(&domain.child("group", 0), group)?;
    let (lattice_reply, lattice_sent) = lattice::answer(&domain.child("lattice", 0), lattice)?;
    reply.extend(lattice_reply);
    let domain = domain.after("request", request).after("reply", &reply);
    let sent = sent.joined(&lattice_sent, &domain);
    Ok((reply, sent))
}

fn split(message: &[u8], at: usize) -> Result<(&[u8], &[u8]), CorrelationError> {
    message.split_at_checked(at).ok_or(CorrelationError::BadElement)
}
