//! The sealed join: two players, one analyst, and nobody but the analyst learns what matched.
//!
//! The protocol, its leakage and the argument stand in `docs/protocols/sealed-join.md`.

pub(crate) mod cells;
mod encoded;
pub(crate) mod group;
pub mod header;
pub mod hex;
pub mod ideal;
pub(crate) mod join;
pub(crate) mod joined;
pub mod layout;
pub(crate) mod lists;
pub(crate) mod opening;
mod order;
pub mod outer;
pub(crate) mod reader;
mod receive;
mod release;
mod sealer;
pub(crate) mod secrets;
pub mod spec;
mod spill;
pub mod spilled;
mod strings;
mod written;

pub use join::{Exchanged, Prepared, SealedJoin, Step, Table, hello};
pub use joined::Joined;
pub use opening::{Room, open};
pub use receive::{Stream, receive_join, receive_join_within, receive_release};
pub use release::{release_batches, release_table};
pub use spilled::SpilledTable;
