//! The sealed join: two players, one analyst, and nobody but the analyst learns what matched.
//!
//! The protocol, its leakage and the argument stand in `docs/protocols/sealed-join.md`.

pub mod header;
pub mod layout;
pub mod outer;
pub mod spec;

pub mod hex;
