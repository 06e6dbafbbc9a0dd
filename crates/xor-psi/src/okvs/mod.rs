//! Oblivious key-value store: a table from which each encoded key gives its value, any other key noise.
//!
//! Three sparse slots for each key inside its bin, by XOR peeling; what does not peel is solved against a
//! few dense columns. Sizes follow from a public bound. See docs/protocols/okvs.md.

pub mod constants;
mod core;
mod encode;
mod error;
mod peel;
mod real;
mod rows;
mod sizes;
#[cfg(test)]
mod tests;

use xor_base::kernels::Block;

pub use encode::Free;
pub use error::OkvsError;
pub use rows::Rows;
pub use sizes::{Shape, bin_capacity};

/// A table of `shape` that gives `values[i]` for `keys[i]`.
///
/// # Shapes
/// `keys`, `values`: [n], keys distinct, n ≤ the bound, n secret. Returns [`shape.table_len()`], public.
///
/// # Errors
/// `TooManyKeys`, `LengthsDiffer`; `Unsolvable` with probability 2^-SIGMA.
///
/// # Security
/// `seed` is fresh from the operating system (or a coin toss) after the keys are fixed, and never chosen
/// again for the same keys. With uniform values and `Free::Random` the table is uniform, whatever the
/// keys. Time and memory accesses depend on this player's own keys.
///
/// # Cost
/// No communication; the table is 16 · `shape.table_len()` bytes.
///
/// # Source
/// RR22, section 4. Garimella, Pinkas, Rosulek, Trieu, Yanai, "Oblivious key-value stores", CRYPTO 2021.
pub fn encode(
    shape: Shape,
    seed: Block,
    keys: &[Block],
    values: &[Block],
    free: Free,
) -> Result<Vec<Block>, OkvsError> {
    Rows::place(shape, seed, keys)?.encode(values, free)
}

/// `out[i]` = what `table` gives for `keys[i]`: linear in the table.
///
/// # Errors
/// `WrongLength` if the table is not of `shape`, `LengthsDiffer`.
///
/// # Security
/// As [`encode`]; the keys need not be distinct here.
pub fn decode(
    shape: Shape,
    seed: Block,
    keys: &[Block],
    table: &[Block],
    out: &mut [Block],
) -> Result<(), OkvsError> {
    Rows::place(shape, seed, keys)?.decode(table, out)
}
