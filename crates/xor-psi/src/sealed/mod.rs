//! The sealed join: two players, one analyst, and nobody but the analyst learns what matched.
//!
//! The protocol, its leakage and the argument stand in `docs/protocols/sealed-join.md`.

mod cells;
mod encoded;
mod group;
pub mod header;
pub mod hex;
pub mod ideal;
mod join;
mod joined;
pub mod layout;
mod lists;
mod opening;
mod order;
pub mod outer;
mod reader;
mod receive;
mod release;
mod sealer;
mod secrets;
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
