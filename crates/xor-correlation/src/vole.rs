//! VOLEs over GF(2^128), both directions at once: C = A' · Δ + V.

use std::fmt;

use xor_base::kernels::Block;
use xor_base::wiped::Wiped;
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
    pub a: Wiped<Block>,
    pub c: Wiped<Block>,
}

/// The sender's end: Δ uniform, V: [n].
pub struct VoleSent {
    pub delta: Zeroizing<Block>,
    pub v: Wiped<Block>,
}

/// What stands between the two halves of an attempt: the receiver's A', fixed and pseudo-random to the peer, and
/// all that waits for the checks.
pub struct Begun {
    /// [`counts.receive`].
    pub a: Wiped<Block>,
    pub(crate) c: Wiped<Block>,
    pub(crate) sent: VoleSent,
    pub(crate) checks: Option<Checks>,
}

/// The ends of a real session while its checks are open.
pub(crate) struct Checks {
    ends: Ends,
    receiver: Option<chain::ReceiverCheck>,
    sender: Option<chain::SenderCheck>,
}

/// Vector oblivious linear evaluation over GF(2^128).
pub trait Vole {
    /// The first half of an attempt: slots under a Δ that was never used before, in each direction.
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
    /// noise positions is worth, and a wrong guess aborts. A' depends on no message that is checked later:
    /// it may mask what is sent before [`Vole::finish`]. Everything else is given out by `finish` only.
    fn begin(&mut self, counts: Counts, channel: &mut dyn Channel) -> Result<Begun, CorrelationError>;

    /// Reads the peer's answers and shows that this player's corrections were consistent. Between the two
    /// halves: a protocol may send what A' masks before, and read the peer's after.
    ///
    /// # Errors
    /// As [`Vole::begin`].
    fn confirm(&mut self, begun: &mut Begun, channel: &mut dyn Channel) -> Result<(), CorrelationError>;

    /// The second half: checks what the peer sent.
    ///
    /// # Errors
    /// As [`Vole::begin`].
    fn finish(
        &mut self,
        begun: Begun,
        channel: &mut dyn Channel,
    ) -> Result<(VoleReceived, VoleSent), CorrelationError>;

    /// Both halves of one attempt.
    ///
    /// # Errors
    /// As [`Vole::begin`].
    fn exchange(
        &mut self,
        counts: Counts,
        channel: &mut dyn Channel,
    ) -> Result<(VoleReceived, VoleSent), CorrelationError> {
        let mut begun = self.begin(counts, channel)?;
        self.confirm(&mut begun, channel)?;
        self.finish(begun, channel)
    }
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
    fn begin(&mut self, counts: Counts, channel: &mut dyn Channel) -> Result<Begun, CorrelationError> {
        let count = counts.receive.max(counts.send);
        if count > MAX_SLOTS {
            return Err(CorrelationError::TooMany {
                count,
                limit: MAX_SLOTS,
            });
        }
        // Whatever goes wrong from here on, these ends are not used again.
        begin(
            self.ends.take().ok_or(CorrelationError::SessionEnded)?,
            counts,
            channel,
        )
    }

    fn confirm(&mut self, begun: &mut Begun, channel: &mut dyn Channel) -> Result<(), CorrelationError> {
        let checks = begun.checks.as_mut().ok_or(CorrelationError::SessionEnded)?;
        // 6. The sender shows that its corrections were consistent.
        match checks.sender.take() {
            Some(check) => check.confirm(*begun.sent.delta, channel),
            None => Ok(()),
        }
    }

    fn finish(
        &mut self,
        begun: Begun,
        channel: &mut dyn Channel,
    ) -> Result<(VoleReceived, VoleSent), CorrelationError> {
        let Checks { ends, receiver, .. } = begun.checks.ok_or(CorrelationError::SessionEnded)?;
        // 7. The receiver believes nothing before.
        if let Some(check) = receiver {
            check.compare(channel)?;
        }
        self.ends = Some(ends);
        let received = VoleReceived {
            a: begun.a,
            c: begun.c,
        };
        Ok((received, begun.sent))
    }
}

/// Both roles, step by step, so that both directions share the rounds of one.
fn begin(mut ends: Ends, counts: Counts, channel: &mut dyn Channel) -> Result<Begun, CorrelationError> {
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
    let (sent, sender) = match (&sends, choices) {
        (Some(plan), Some(choices)) => {
            let (domain, cots) = ends.sender.accept(choices, plan.cots(), channel)?;
            let (v, check) = chain::correct(domain, &cots, plan, channel)?;
            let delta = Zeroizing::new(cots.delta);
            (VoleSent { delta, v }, Some(check))
        }
        _ => (VoleSent::none(), None),
    };
    // 5. The receiver stretches and answers the checks.
    let (received, receiver) = match (&receives, chosen) {
        (Some(plan), Some((domain, cots))) => {
            let (received, check) = chain::respond(domain, &cots, plan, channel)?;
            (received, Some(check))
        }
        _ => (VoleReceived::none(), None),
    };
    let checks = Checks {
        ends,
        receiver,
        sender,
    };
    Ok(Begun {
        a: received.a,
        c: received.c,
        sent,
        checks: Some(checks),
    })
}

impl VoleReceived {
    fn none() -> Self {
        Self {
            a: Wiped::default(),
            c: Wiped::default(),
        }
    }
}

impl VoleSent {
    fn none() -> Self {
        Self {
            delta: Zeroizing::new(Block::ZERO),
            v: Wiped::default(),
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
