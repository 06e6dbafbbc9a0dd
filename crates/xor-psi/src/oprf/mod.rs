//! Oblivious pseudo-random functions: what a sealed join needs of them, whatever the back end.

mod batch;
pub mod dh;
mod error;
pub mod ideal;
mod rfc9497;
pub mod vole;

use std::ops::ControlFlow;

use xor_base::wiped::Wiped;
use xor_channel::Channel;

pub use error::OprfError;

use crate::PsiError;

/// What goes into the function: 32 bytes derived from a key's normal form.
pub type Input = [u8; 32];

/// What comes out: the first 16 bytes of the back end's output.
pub type Output = [u8; 16];

/// Which input of the join a player hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Left,
    Right,
}

impl Side {
    /// 0 for the left, 1 for the right, as on the wire.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Left => 0,
            Self::Right => 1,
        }
    }

    /// As on the wire.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Left => 0,
            Self::Right => 1,
        }
    }

    /// The side of the peer.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    /// Reads the byte of the wire; anything but 0 and 1 is no side.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Left),
            1 => Some(Self::Right),
            _ => None,
        }
    }
}

/// Padded row bounds, public in the plan. Only these decide how much travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub own: usize,
    pub peer: usize,
}

/// Which of two functions an exchange evaluates, as one player sees it: the peer's on its own inputs, its own for
/// the peer, or both. The peer says the opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directions {
    Both,
    /// The peer holds the only key.
    Receive,
    /// This player holds the only key.
    Serve,
}

impl Directions {
    #[must_use]
    pub fn receives(self) -> bool {
        self != Self::Serve
    }

    #[must_use]
    pub fn serves(self) -> bool {
        self != Self::Receive
    }
}

/// The functions on this player's own inputs, in their order; none under a key that there is not.
/// Wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Outputs {
    pub of_peer_key: Wiped<Output>,
    pub of_own_key: Wiped<Output>,
}

impl std::fmt::Debug for Outputs {
    // Outputs are secrets: only their number is shown.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inputs = self.of_own_key.len().max(self.of_peer_key.len());
        write!(formatter, "Outputs({inputs} inputs)")
    }
}

/// How far a step is. Counts padded bounds only, so it tells nothing about the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub step: &'static str,
    pub done: u64,
    pub total: u64,
}

/// Is told about progress; answers `Break` to cancel the step.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// A pseudo-random function that two players evaluate for each other, both directions at once, or for one of them.
pub trait Oprf {
    /// Draws a fresh key where this player serves, and evaluates the peer's function on `inputs` where it receives.
    ///
    /// # Shapes
    /// `inputs`: [n], distinct, n ≤ `sizes.own`, n secret. Each output: [n], in the same order.
    ///
    /// # Errors
    /// `TooManyInputs` before the peer is contacted; a channel error; a failed check of the peer's
    /// messages; `Cancelled` when `progress` answers so.
    ///
    /// # Security
    /// The peer learns `sizes.own` and no more of `inputs`; this player learns `sizes.peer`. A peer that is
    /// served obtains the function at no more than `sizes.peer` points of its choice.
    fn evaluate(
        &mut self,
        side: Side,
        directions: Directions,
        inputs: &[Input],
        sizes: Sizes,
        channel: &mut dyn Channel,
        progress: OnProgress<'_>,
    ) -> Result<Outputs, OprfError>;

    /// [`Self::evaluate`] in both directions.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    fn exchange(
        &mut self,
        side: Side,
        inputs: &[Input],
        sizes: Sizes,
        channel: &mut dyn Channel,
        progress: OnProgress<'_>,
    ) -> Result<Outputs, OprfError> {
        self.evaluate(side, Directions::Both, inputs, sizes, channel, progress)
    }

    /// As [`Self::exchange`], for inputs that are never in memory together. What travels is the same.
    ///
    /// # Errors
    /// As [`Self::exchange`], or whatever `shelf` returns.
    ///
    /// # Security
    /// As [`Self::exchange`]. The peer sees how long `shelf` takes.
    fn exchange_shelved(
        &mut self,
        side: Side,
        shelf: &mut dyn Shelf<Error = PsiError>,
        sizes: Sizes,
        channel: &mut dyn Channel,
        progress: OnProgress<'_>,
    ) -> Result<(), PsiError> {
        shelf.sort(1, &|inputs| Wiped::zeros(inputs.len()))?;
        let inputs = shelf.inputs(0)?;
        let outputs = self.exchange(side, &inputs, sizes, channel, progress)?;
        shelf.keep(&inputs, outputs)
    }
}

/// Names the shard of every input: [n] to [n].
pub type Assign<'a> = &'a dyn Fn(&[Input]) -> Wiped<u16>;

/// Inputs in shards, and where their outputs go.
pub trait Shelf {
    type Error: From<OprfError>;

    /// How many inputs there are.
    fn count(&self) -> usize;

    /// Sorts all inputs into `count` shards: first and once.
    ///
    /// # Errors
    /// Whatever the shelf itself meets.
    fn sort(&mut self, count: usize, assign: Assign<'_>) -> Result<(), Self::Error>;

    /// The inputs of one shard.
    ///
    /// # Errors
    /// As [`Self::sort`].
    fn inputs(&mut self, shard: usize) -> Result<Wiped<Input>, Self::Error>;

    /// Takes the outputs of the shard that `inputs` gave last, in the same order.
    ///
    /// # Errors
    /// As [`Self::sort`].
    fn keep(&mut self, inputs: &[Input], outputs: Outputs) -> Result<(), Self::Error>;
}

pub(crate) fn report(progress: OnProgress<'_>, event: Progress) -> Result<(), OprfError> {
    match progress(event) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(OprfError::Cancelled),
    }
}
