//! VOLEs over GF(2^128), both directions at once: C = A' · Δ + V.

use std::fmt;

use xor_base::kernels::Block;
use xor_channel::Channel;
use zeroize::Zeroizing;

use crate::chain;
use crate::domain::Domain;
use crate::error::CorrelationError;
use crate::link;
use crate::params::{MAX_SLOTS, MAX_TREE_DEPTH, MIN_TREE_DEPTH};
use crate::plan::{self, Plan};
use crate::{Counts, Seat};

/// The receiver's end, [n] each: A' pseudo-random, C = A' · Δ + V.
pub struct VoleReceived {
    pub a: Zeroizing<Vec<Block>>,
    pub c: Zeroizing<Vec<Block>>,
}

/// The sender's end: Δ uniform, V: [n].
pub struct VoleSent {
    pub delta: Zeroizing<Block>,
    pub v: Zeroizing<Vec<Block>>,
}

/// Vector oblivious linear evaluation over GF(2^128).
pub trait Vole {
    /// One attempt: slots under a Δ that was never used before, in each direction.
    ///
    /// # Shapes
    /// Received: [`counts.receive`]; sent: [`counts.send`]. Both public.
    ///
    /// # Errors
    /// `TooMany` before the peer is contacted; a channel error; a failed check of the peer's messages,
    /// after which the session is over.
    ///
    /// # Security
    /// Malicious peers. The receiver learns nothing of Δ, the sender nothing of A' but what a guess of
    /// noise positions is worth, and a wrong guess aborts. Nothing is returned before the checks are done.
    fn exchange(
        &mut self,
        counts: Counts,
        channel: &mut dyn Channel,
    ) -> Result<(VoleReceived, VoleSent), CorrelationError>;
}

/// The real one: base OT, SoftSpoken, dual LPN, primal LPN.
///
/// # Security
/// Computational Diffie-Hellman on ristretto255, LPN over GF(2^128) with regular noise, random oracles
/// (BLAKE3) and ideal permutations (AES). `docs/protocols/vole.md`.
///
/// # Cost
/// [`LpnVole::sent_bytes`]; two rounds at both players, three at the sender of a session's first attempt.
///
/// # Source
/// Weng, Yang, Katz, Wang, S&P 2021; Yang et al., CCS 2020; Raghuraman, Rindal, Tanguy, Crypto 2023.
pub struct LpnVole {
    ends: Option<Ends>,
}

/// Base OTs and what they grew into; both are gone after the first error.
struct Ends {
    receiver: link::Receiver,
    sender: link::Sender,
}

impl LpnVole {
    /// A session: base OTs are made at its first attempt.
    ///
    /// # Errors
    /// `TreeDepth`.
    ///
    /// # Security
    /// `session` must hold fresh randomness of both players and name them, and be new for every session:
    /// state is never shared between peers, networks or adversary models.
    pub fn new(session: &[u8], seat: Seat, tree_depth: usize) -> Result<Self, CorrelationError> {
        if !(MIN_TREE_DEPTH..=MAX_TREE_DEPTH).contains(&tree_depth) {
            return Err(CorrelationError::TreeDepth { depth: tree_depth });
        }
        let root = Domain::new(session).child("vole, tree depth", tree_depth as u64);
        let of = |sender: Seat| root.child("sender", sender.number());
        Ok(Self {
            ends: Some(Ends {
                receiver: link::Receiver::new(of(seat.other()), tree_depth),
                sender: link::Sender::new(of(seat), tree_depth),
            }),
        })
    }

    /// Bytes that this player sends in an attempt, frame headers included. An attempt is the first of a
    /// direction if none before it had slots there.
    #[must_use]
    pub fn sent_bytes(counts: Counts, tree_depth: usize, is_first: bool) -> u64 {
        plan::cost(counts.receive, tree_depth, is_first).receiver_bytes
            + plan::cost(counts.send, tree_depth, is_first).sender_bytes
    }
}

impl Vole for LpnVole {
    fn exchange(
        &mut self,
        counts: Counts,
        channel: &mut dyn Channel,
    ) -> Result<(VoleReceived, VoleSent), CorrelationError> {
        let count = counts.receive.max(counts.send);
        if count > MAX_SLOTS {
            return Err(CorrelationError::TooMany {
                count,
                limit: MAX_SLOTS,
            });
        }
        // Whatever goes wrong below, these ends are not used again.
        let mut ends = self.ends.take().ok_or(CorrelationError::SessionEnded)?;
        let made = attempt(&mut ends, counts, channel)?;
        self.ends = Some(ends);
        Ok(made)
    }
}

/// Both roles, step by step, so that both directions share the rounds of one.
fn attempt(
    ends: &mut Ends,
    counts: Counts,
    channel: &mut dyn Channel,
) -> Result<(VoleReceived, VoleSent), CorrelationError> {
    let receives = (counts.receive > 0).then(|| Plan::new(counts.receive));
    let sends = (counts.send > 0).then(|| Plan::new(counts.send));
    // 1. The receiver asks for base OTs.
    if receives.is_some() {
        ends.receiver.request(channel)?;
    }
    // 2. The sender answers and draws Δ.
    let choices = match &sends {
        Some(_) => Some(ends.sender.answer(channel)?),
        None => None,
    };
    // 3. The receiver makes COTs.
    let chosen = match &receives {
        Some(plan) => Some(ends.receiver.extend(plan.cots(), channel)?),
        None => None,
    };
    // 4. The sender takes them and corrects.
    let corrected = match (&sends, choices) {
        (Some(plan), Some(choices)) => {
            let (domain, cots) = ends.sender.accept(&choices, plan.cots(), channel)?;
            Some(chain::Sender::correct(domain, &cots, plan, channel)?)
        }
        _ => None,
    };
    // 5. The receiver stretches and answers the checks.
    let stretched = match (&receives, chosen) {
        (Some(plan), Some((domain, cots))) => Some(chain::Receiver::respond(domain, &cots, plan, channel)?),
        _ => None,
    };
    // 6. The sender shows that its corrections were consistent.
    let sent = match corrected {
        Some(corrected) => corrected.confirm(channel)?,
        None => VoleSent::none(),
    };
    // 7. The receiver believes nothing before.
    let received = match stretched {
        Some(stretched) => stretched.finish(channel)?,
        None => VoleReceived::none(),
    };
    Ok((received, sent))
}

impl VoleReceived {
    fn none() -> Self {
        Self {
            a: Zeroizing::default(),
            c: Zeroizing::default(),
        }
    }
}

impl VoleSent {
    fn none() -> Self {
        Self {
            delta: Zeroizing::new(Block::ZERO),
            v: Zeroizing::default(),
        }
    }
}

impl fmt::Debug for VoleReceived {
    // Shares are secrets: only their number is shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VoleReceived({} slots)", self.a.len())
    }
}

impl fmt::Debug for VoleSent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VoleSent({} slots)", self.v.len())
    }
}
