//! The analyst: from two verified streams to the rows that matched.
//!
//! What is found wrong here was written by a player that did not follow the protocol. It is told to the
//! analyst only: an error that reached a player would answer a question about one chosen key.

mod blocks;
mod filter;
mod lookup;
mod memory;
mod pieces;
mod release;
mod requests;
mod results;
mod room;
mod scan;
mod side;
mod singles;
mod slots;
mod strand;
mod streamed;

pub(super) use blocks::Sealed;
pub(crate) use memory::SideLists;
pub use memory::open;
pub(super) use release::open_release;
pub(super) use results::Results;
pub use room::Room;
pub(super) use streamed::open_streamed;
