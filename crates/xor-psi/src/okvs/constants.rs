//! Parameters of the encoding: reviewed together with their sources, out of reach of any tuning.
//!
//! # Source
//! Raghuraman, Rindal, "Blazing fast PSI from improved OKVS and subfield VOLE", CCS 2022 (RR22), section 4:
//! equations 2 and 3 for weight 3. The union bound over bins is our own; see docs/protocols/okvs.md.

/// Slots of one key.
pub const WEIGHT: u32 = 3;

/// Keys of a bin on average, at most. A bin's slots then have 16-bit numbers.
pub const BIN_KEYS: usize = 1 << 15;

/// Smaller tables are made this large: below, the bounds were neither fitted nor measured.
pub const MIN_KEYS: usize = 1 << 12;

/// Keys of one table, at most; the union bound is paid for in 16-bit slots up to here.
pub const MAX_KEYS: usize = 1 << 30;

/// Slots for each key at which sparse systems of weight 3 become solvable, as fitted by RR22.
pub const THRESHOLD: f64 = 1.223;

/// Security, in bits, that the fit loses at the threshold.
pub const OFFSET_BITS: f64 = 9.2;

/// log2 of the bits gained per unit of expansion = `SLOPE_FACTOR` · log2 n + `SLOPE_SUMMAND`. For weight w and
/// l = log2 w the summand is 0.093 l³ - 1.01 l² + 2.925 l - 0.133.
pub const SLOPE_FACTOR: f64 = 0.555;
pub const SLOPE_SUMMAND: f64 = 2.336;

/// Bits of a dense coefficient's base. A singular dense system has probability ≤ g (g + 1) / 2 · 2^-64 in
/// each bin with a gap of g.
pub const POINT_BITS: u32 = 64;

/// Rows that may resist peeling before the encoding is given up. Small cores have a few; a core of
/// hundreds means that the whole bin did not peel, and its gap is far above the dense columns.
pub const MAX_CORE_ROWS: usize = 1 << 9;
