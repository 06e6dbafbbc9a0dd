//! Correlated OTs under a fresh Δ, both directions at once.

use xor_base::kernels::Block;
use xor_base::wiped::Wiped;
use xor_channel::Channel;

use crate::domain::Domain;
use crate::error::CorrelationError;
use crate::link;
use crate::ot::{CotReceived, CotSent};
use crate::params::{MAX_COTS, MAX_TREE_DEPTH, MIN_TREE_DEPTH};
use crate::plan::link_cost;
use crate::{Counts, Seat};

/// Correlated OTs with random choices.
pub trait Cot {
    /// One attempt: COTs under a Δ that was never used before, in each direction.
    ///
    /// # Shapes
    /// Counts are rounded up to a multiple of 128.
    ///
    /// # Errors
    /// As [`crate::vole::Vole::exchange`].
    ///
    /// # Security
    /// Malicious peers. A receiver that guesses bits of Δ learns whether it was right, and aborts the
    /// attempt if it was not.
    fn exchange(
        &mut self,
        counts: Counts,
        channel: &mut dyn Channel,
    ) -> Result<(CotReceived, CotSent), CorrelationError>;
}

/// The real one: base OTs and SoftSpoken.
///
/// # Cost
/// [`SoftSpokenCot::sent_bytes`].
///
/// # Source
/// Roy, "SoftSpokenOT", Crypto 2022.
pub struct SoftSpokenCot {
    ends: Option<(link::Receiver, link::Sender)>,
}

impl SoftSpokenCot {
    /// As [`crate::vole::LpnVole::new`].
    ///
    /// # Errors
    /// `TreeDepth`.
    pub fn new(session: &[u8], seat: Seat, tree_depth: usize) -> Result<Self, CorrelationError> {
        if !(MIN_TREE_DEPTH..=MAX_TREE_DEPTH).contains(&tree_depth) {
            return Err(CorrelationError::TreeDepth { depth: tree_depth });
        }
        let root = Domain::new(session).child("cot, tree depth", tree_depth as u64);
        let of = |sender: Seat| root.child("sender", sender.number());
        let receiver = link::Receiver::new(of(seat.other()), tree_depth);
        let sender = link::Sender::new(of(seat), tree_depth);
        Ok(Self {
            ends: Some((receiver, sender)),
        })
    }

    /// Bytes that this player sends in an attempt, frame headers included.
    #[must_use]
    pub fn sent_bytes(counts: Counts, tree_depth: usize, is_first: bool) -> u64 {
        let of = |count: usize| {
            if count > 0 {
                link_cost(count, tree_depth, is_first)
            } else {
                Default::default()
            }
        };
        of(counts.receive).receiver_bytes + of(counts.send).sender_bytes
    }
}

impl Cot for SoftSpokenCot {
    fn exchange(
        &mut self,
        counts: Counts,
        channel: &mut dyn Channel,
    ) -> Result<(CotReceived, CotSent), CorrelationError> {
        let count = counts.receive.max(counts.send);
        if count > MAX_COTS {
            return Err(CorrelationError::TooMany {
                count,
                limit: MAX_COTS,
            });
        }
        // Whatever goes wrong below, these ends are not used again.
        let (mut receiver, mut sender) = self.ends.take().ok_or(CorrelationError::SessionEnded)?;
        if counts.receive > 0 {
            receiver.request(channel)?;
        }
        let choices = if counts.send > 0 {
            Some(sender.answer(channel)?)
        } else {
            None
        };
        let received = if counts.receive > 0 {
            receiver.extend(counts.receive, channel)?.1
        } else {
            CotReceived::none()
        };
        let sent = match choices {
            Some(choices) => sender.accept(choices, counts.send, channel)?.1,
            None => CotSent::none(),
        };
        self.ends = Some((receiver, sender));
        Ok((received, sent))
    }
}

impl CotReceived {
    pub(crate) fn none() -> Self {
        Self {
            choices: Wiped::default(),
            macs: Wiped::default(),
        }
    }
}

impl CotSent {
    pub(crate) fn none() -> Self {
        Self {
            delta: Block::ZERO,
            keys: Wiped::default(),
        }
    }
}
