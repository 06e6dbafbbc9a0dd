//! Every number that security rests on, with its source. Nothing at run time may change them.
//!
//! `tests/params.rs` recomputes the estimates that have a closed formula.

/// Base oblivious transfers, and bits of Δ.
pub const BASE_OTS: usize = 128;

/// Bytes of one encoded point of ristretto255 (RFC 9496).
pub const POINT_BYTES: usize = 32;

/// Bytes of every hash that is compared: 256 bits, so that none collides within 2^128 steps.
pub const DIGEST_BYTES: usize = 32;

/// COTs of one extension: all its rows are in memory at once, 16 bytes each.
pub const MAX_COTS: usize = 1 << 21;

/// VOLE slots of one attempt: 1.31 · 2^24 fit.
pub const MAX_SLOTS: usize = 1 << 25;

/// How many base OTs share one tree of SoftSpoken: k, with ⌈128/k⌉ - 1 bits on the wire for each COT and
/// 2^k/k · 128 bits of AES. Every k is equally secure: it is cost, chosen by bandwidth.
///
/// # Source
/// Roy, "SoftSpokenOT", Crypto 2022 (eprint 2022/192).
pub const MIN_TREE_DEPTH: usize = 2;
pub const MAX_TREE_DEPTH: usize = 8;

/// The tree depth that costs least time at a bandwidth.
///
/// Between 4 and 8 lie 16 bits on the wire and about 50 ns of AES for each COT.
#[must_use]
pub fn tree_depth_for(bits_per_second: u64) -> usize {
    if bits_per_second < 320_000_000 { 8 } else { 4 }
}

/// Regular noise: `trees` blocks of 2^depth positions with one noisy position each, uniform, its value
/// uniform in GF(2^128).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    pub trees: usize,
    pub depth: usize,
}

impl Noise {
    /// Positions of one block.
    #[must_use]
    pub const fn block(self) -> usize {
        1 << self.depth
    }

    /// Length of the noise vector.
    #[must_use]
    pub const fn length(self) -> usize {
        self.trees << self.depth
    }
}

/// Dual LPN of the first base VOLEs: expand-convolute code of rate 1/2 over GF(2^128).
///
/// # Source
/// Raghuraman, Rindal, Tanguy, "Expand-Convolute Codes for Pseudorandom Correlation Generators from LPN",
/// Crypto 2023 (eprint 2023/882). Expander weight 7, window 24, convolved twice, relative distance 0.15 and
/// so 248 noisy positions are what the libOTe and CryProt projects took for it in 2023; libOTe has since
/// assumed 0.25, which we do not. Those 248 are for binary noise, whose linear tests have a
/// bias of (1 - 2 · 0.15)^t. Our noise takes values in GF(2^128), where it is (1 - 0.15)^t: 546.
pub const DUAL_NOISE: Noise = Noise { trees: 560, depth: 8 };
pub const DUAL_OUTPUTS: usize = DUAL_NOISE.length() / 2;
pub const DUAL_EXPANDER_WEIGHT: usize = 7;
pub const DUAL_WINDOW: usize = 24;
pub const DUAL_PASSES: usize = 2;
/// Relative distance assumed of the code, in hundredths.
pub const DUAL_DISTANCE_PERCENT: u32 = 15;

/// Primal LPN of all slots: a matrix with 10 entries in each row, x^0 to x^9 in GF(2^128), at positions of
/// a secret of 2^16 elements.
///
/// # Source
/// Parameters (2^16, 850, 10) with d = 10 of the emp-ot project's release of July 2026, re-selected there
/// against Gauss, statistical decoding, BJMM, hybrid and the algebraic attack of Briaud and Øygarden
/// (Eurocrypt 2023); d-local codes: Yang, Weng, Lan, Zhang, Wang, "Ferret", CCS 2020 (eprint 2020/924).
/// Entries that are not all 1 are ours and are essential: `docs/protocols/vole.md`, "Why labels".
pub const PRIMAL_NOISE: Noise = Noise {
    trees: 850,
    depth: 10,
};
pub const PRIMAL_LOG_SECRET: usize = 16;
pub const PRIMAL_SECRET: usize = 1 << PRIMAL_LOG_SECRET;
pub const PRIMAL_WEIGHT: usize = 10;

/// Base VOLEs that a primal step of `trees` blocks consumes: secret, noise and the mask of its check.
#[must_use]
pub const fn primal_base(trees: usize) -> usize {
    PRIMAL_SECRET + trees + 1
}
