//! The matched join: two players, of which one learns the other's rows that match its own keys.
//!
//! The protocol, its leakage and the argument stand in `docs/protocols/matched-join.md`.

mod cells;
pub mod ideal;
mod join;
mod spec;

pub use cells::Layout;
pub use join::{Exchanged, Found, Matched, Prepared};
pub use spec::MatchedSpec;
