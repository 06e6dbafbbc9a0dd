//! From a number of slots to the steps that make them: public, and the same at both players.

use crate::base_ot::{self, group};
use crate::noise::correction_bytes;
use crate::params::{BASE_OTS, DIGEST_BYTES, DUAL_NOISE, DUAL_OUTPUTS, Noise, PRIMAL_NOISE, primal_base};
use crate::softspoken::{extension_bytes, setup_bytes};

/// The steps of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub slots: usize,
    /// Primal steps; the last may need fewer trees, which is a part of the same LPN instance.
    pub primal: Vec<Noise>,
}

/// VOLEs that pay for the dual step: its noise and the mask of its check.
pub const DUAL_BASE: usize = DUAL_NOISE.trees + 1;

/// Bits of a block: COTs of different uses start at different blocks.
const WORD: usize = 128;

/// Blocks of COTs whose choices are the paths of all trees of a step.
#[must_use]
pub fn path_words(noise: Noise) -> usize {
    (noise.trees * noise.depth).div_ceil(WORD)
}

impl Plan {
    #[must_use]
    pub fn new(slots: usize) -> Self {
        let mut primal = Vec::new();
        let mut missing = if slots <= DUAL_OUTPUTS { 0 } else { slots };
        while missing > 0 {
            let trees = missing.div_ceil(PRIMAL_NOISE.block()).min(PRIMAL_NOISE.trees);
            primal.push(Noise {
                trees,
                ..PRIMAL_NOISE
            });
            // All but the last step pay for the next.
            let made = trees * PRIMAL_NOISE.block();
            missing = if made >= missing {
                0
            } else {
                missing - (made - primal_base(PRIMAL_NOISE.trees))
            };
        }
        Self { slots, primal }
    }

    /// COTs of one attempt.
    #[must_use]
    pub fn cots(&self) -> usize {
        let paths: usize = self.primal.iter().copied().map(path_words).sum();
        (DUAL_BASE + path_words(DUAL_NOISE) + paths) * WORD
    }

    /// Outputs that primal steps write: each keeps the last of the one before, and the last may make too many.
    #[must_use]
    pub fn room(&self) -> usize {
        let made: usize = self.primal.iter().map(|noise| noise.length()).sum();
        let kept = self.primal.len().saturating_sub(1) * primal_base(PRIMAL_NOISE.trees);
        made - kept
    }

    /// Noise of every step, the dual one first.
    pub fn steps(&self) -> impl Iterator<Item = Noise> {
        std::iter::once(DUAL_NOISE).chain(self.primal.iter().copied())
    }
}

/// What one direction of an attempt puts on the channel, frame headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// By the player without Δ.
    pub receiver_bytes: u64,
    /// By the player with Δ.
    pub sender_bytes: u64,
}

/// The exact cost of an attempt, as `docs/protocols/vole.md` states it.
///
/// The first attempt of a session also makes the base OTs.
#[must_use]
pub fn cost(slots: usize, tree_depth: usize, is_first: bool) -> Cost {
    if slots == 0 {
        return Cost::default();
    }
    let plan = Plan::new(slots);
    let mut cost = link_cost(plan.cots(), tree_depth, is_first);
    let answers = plan.steps().count() * xor_base::kernels::Block::BYTES;
    cost.receiver_bytes += framed(answers);
    cost.sender_bytes += plan
        .steps()
        .map(|noise| framed(correction_bytes(noise)))
        .sum::<u64>();
    cost.sender_bytes += framed(DIGEST_BYTES);
    cost
}

/// The cost of `count` COTs under a new Δ.
#[must_use]
pub fn link_cost(count: usize, tree_depth: usize, is_first: bool) -> Cost {
    let mut cost = Cost {
        receiver_bytes: framed(group::REPLY_BYTES)
            + framed(setup_bytes(tree_depth))
            + framed(extension_bytes(tree_depth, count)),
        sender_bytes: framed(extension_bytes(tree_depth, BASE_OTS)) + framed(group::REQUEST_BYTES),
    };
    if is_first {
        cost.receiver_bytes += framed(base_ot::REQUEST_BYTES);
        cost.sender_bytes += framed(base_ot::REPLY_BYTES) + framed(setup_bytes(tree_depth));
    }
    cost
}

fn framed(bytes: usize) -> u64 {
    (bytes + xor_channel::FRAME_HEADER_BYTES) as u64
}
