//! One direction between two players: base OTs once, then a fresh Δ for every attempt.
//!
//! Roles are those of the correlation: the *sender* ends with Δ. It therefore starts as sender of the base
//! OTs, is the chooser of a first extension, and its 128 choices there become the Δ of a second one. Before
//! that it also asks for base OTs itself, from the group, for the same choices: they protect the receiver where
//! lattices do not.

use xor_channel::Channel;

use crate::base_ot::{self, group};
use crate::domain::Domain;
use crate::error::CorrelationError;
use crate::ot::{CotReceived, CotSent, OtReceived};
use crate::params::BASE_OTS;
use crate::softspoken::{self, extension_bytes, setup_bytes};

/// The player that will hold Δ.
pub struct Sender {
    domain: Domain,
    tree_depth: usize,
    attempts: u64,
    renewing: Option<softspoken::Receiver>,
}

/// The player that will choose.
pub struct Receiver {
    domain: Domain,
    tree_depth: usize,
    attempts: u64,
    renewing: Option<softspoken::Sender>,
    asked: Option<base_ot::Receiver>,
}

/// What a sender keeps between its two steps.
pub struct Choices {
    domain: Domain,
    ots: OtReceived,
    asked: group::Receiver,
}

impl Sender {
    #[must_use]
    pub fn new(domain: Domain, tree_depth: usize) -> Self {
        Self {
            domain,
            tree_depth,
            attempts: 0,
            renewing: None,
        }
    }

    /// Step 2: answers the base OTs where there are none yet, and draws Δ.
    pub fn answer(&mut self, channel: &mut dyn Channel) -> Result<Choices, CorrelationError> {
        let mut renewing = match self.renewing.take() {
            Some(renewing) => renewing,
            None => {
                let request = channel.receive_exactly(base_ot::REQUEST_BYTES)?;
                let domain = self.domain.child("base", 0);
                let (reply, ots) = base_ot::answer(&domain, &request)?;
                channel.send(&reply)?;
                let domain = self.domain.child("renewal", 0).after("base", &reply);
                let (renewing, setup) = softspoken::Receiver::new(domain, self.tree_depth, &ots)?;
                channel.send(&setup)?;
                renewing
            }
        };
        let (cots, message) = renewing.extend(BASE_OTS)?;
        channel.send(&message)?;
        let domain = self
            .domain
            .child("attempt", self.attempts)
            .after("renewal", &message);
        let ots = cots.hashed(&domain.permutation("ot"), 0);
        let drawn = ots.choices.first().ok_or(CorrelationError::SessionEnded)?;
        let asked = group::Receiver::new(domain.child("group", 0), *drawn)?;
        channel.send(asked.request())?;
        self.attempts += 1;
        self.renewing = Some(renewing);
        Ok(Choices { domain, ots, asked })
    }

    /// Step 4: takes the receiver's COTs.
    pub fn accept(
        &mut self,
        choices: Choices,
        count: usize,
        channel: &mut dyn Channel,
    ) -> Result<(Domain, CotSent), CorrelationError> {
        let reply = channel.receive_exactly(group::REPLY_BYTES)?;
        let domain = choices.domain.after("group", &reply);
        let ots = choices.ots.joined(&choices.asked.finish(&reply)?, &domain);
        let setup = channel.receive_exactly(setup_bytes(self.tree_depth))?;
        let mut extension =
            softspoken::Sender::new(domain.child("extension", 0), self.tree_depth, &ots, &setup)?;
        let message = channel.receive_exactly(extension_bytes(self.tree_depth, count))?;
        let cots = extension.extend(count, &message)?;
        Ok((domain.after("cots", &message), cots))
    }
}

impl Receiver {
    #[must_use]
    pub fn new(domain: Domain, tree_depth: usize) -> Self {
        Self {
            domain,
            tree_depth,
            attempts: 0,
            renewing: None,
            asked: None,
        }
    }

    /// Step 1: asks for base OTs where there are none yet.
    pub fn request(&mut self, channel: &mut dyn Channel) -> Result<(), CorrelationError> {
        if self.renewing.is_none() {
            let asked = base_ot::Receiver::new(self.domain.child("base", 0))?;
            channel.send(asked.request())?;
            self.asked = Some(asked);
        }
        Ok(())
    }

    /// Step 3: makes `count` COTs under the sender's new Δ.
    pub fn extend(
        &mut self,
        count: usize,
        channel: &mut dyn Channel,
    ) -> Result<(Domain, CotReceived), CorrelationError> {
        let mut renewing = match (self.renewing.take(), self.asked.take()) {
            (Some(renewing), _) => renewing,
            (None, Some(asked)) => {
                let reply = channel.receive_exactly(base_ot::REPLY_BYTES)?;
                let ots = asked.finish(&reply)?;
                let setup = channel.receive_exactly(setup_bytes(self.tree_depth))?;
                let domain = self.domain.child("renewal", 0).after("base", &reply);
                softspoken::Sender::new(domain, self.tree_depth, &ots, &setup)?
            }
            (None, None) => return Err(CorrelationError::SessionEnded),
        };
        let message = channel.receive_exactly(extension_bytes(self.tree_depth, BASE_OTS))?;
        let cots = renewing.extend(BASE_OTS, &message)?;
        let domain = self
            .domain
            .child("attempt", self.attempts)
            .after("renewal", &message);
        let ots = cots.hashed(&domain.permutation("ot"), 0);
        let request = channel.receive_exactly(group::REQUEST_BYTES)?;
        let (reply, joined) = group::answer(&domain.child("group", 0), &request)?;
        channel.send(&reply)?;
        let domain = domain.after("group", &reply);
        let ots = ots.joined(&joined, &domain);
        self.attempts += 1;
        self.renewing = Some(renewing);
        let (mut extension, setup) =
            softspoken::Receiver::new(domain.child("extension", 0), self.tree_depth, &ots)?;
        channel.send(&setup)?;
        let (cots, message) = extension.extend(count)?;
        channel.send(&message)?;
        Ok((domain.after("cots", &message), cots))
    }
}
