//! What every protocol stands on: parameters, derivation, randomness, and the bytes of keys and rows.
//!
//! Nothing here talks to a peer.

// Unsafe code stands in `kernels` only.
#![deny(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod columns;
pub mod constants;
pub mod derive;
mod errors;
#[allow(unsafe_code)]
pub mod kernels;
pub mod keys;
pub mod random;
pub mod rows;
pub mod types;
pub mod wipe;

pub use errors::BaseError;
