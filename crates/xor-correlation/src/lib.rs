//! Correlated randomness between two players: OTs, correlated OTs and VOLEs, with malicious security.
//!
//! Base OTs over ristretto255 and ML-KEM-768 ([`base_ot`]) → SoftSpoken ([`softspoken`]) → one dual-LPN instance → primal
//! LPN ([`vole`]). Each has a page in `docs/protocols/`. All parameters stand in [`params`].
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod base_ot;
mod chain;
pub mod cot;
pub mod domain;
mod error;
mod ggm;
pub mod ideal;
mod link;
pub mod lpn;
mod noise;
pub mod ot;
pub mod params;
mod plan;
pub mod slot;
pub mod softspoken;
pub mod vole;

pub use domain::Domain;
pub use error::CorrelationError;

/// Which of the two players this one is. Both ends of a session differ in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seat {
    Zero,
    One,
}

impl Seat {
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Zero => Self::One,
            Self::One => Self::Zero,
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Zero => 0,
            Self::One => 1,
        }
    }
}

/// How many correlations each role of this player gets, public; the peer's are the same, mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Those whose Δ the peer holds.
    pub receive: usize,
    /// Those whose Δ is this player's.
    pub send: usize,
}

impl Counts {
    #[must_use]
    pub fn mirrored(self) -> Self {
        Self {
            receive: self.send,
            send: self.receive,
        }
    }
}
