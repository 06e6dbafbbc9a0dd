//! Security parameters, and the limits within which a public specification is accepted.

/// Computational security parameter, in bits.
pub const KAPPA: u32 = 128;

/// Statistical security parameter, in bits: a correct run goes wrong with probability 2^-SIGMA.
pub const SIGMA: u32 = 40;

/// The padded bound of one side.
pub const MAX_ROWS: usize = 1 << 27;

/// Columns that may stand in one row, and parts that may stand in one key.
pub const MAX_COLUMNS: usize = 1 << 10;
pub const MAX_KEY_PARTS: usize = 16;

/// The declared `max_bytes` of a text column.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// The largest encoded row.
pub const MAX_ROW_BYTES: usize = 1 << 22;

/// The bytes of one sealed list: a large one takes so many on disk while it is sorted.
pub const MAX_LIST_BYTES: usize = 1 << 36;

/// Members to whom one result is sealed.
pub const MAX_RECIPIENTS: usize = 64;
