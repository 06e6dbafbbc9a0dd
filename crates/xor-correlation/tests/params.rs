//! The claims of `params.rs`, recomputed wherever there is a closed formula.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use xor_correlation::params::*;

/// log2 of n!, by Stirling's series.
fn log2_factorial(n: f64) -> f64 {
    if n < 2.0 {
        return 0.0;
    }
    let ln = n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + 1.0 / (12.0 * n);
    ln / std::f64::consts::LN_2
}

/// log2 of the probability that of `n` independent events of probability p at most `most` occur.
fn log2_binomial_tail(n: f64, p: f64, most: f64) -> f64 {
    let terms = (0..=most as u32).map(|j| {
        let j = f64::from(j);
        let choose = log2_factorial(n) - log2_factorial(j) - log2_factorial(n - j);
        choose + j * p.log2() + (n - j) * (1.0 - p).log2()
    });
    let terms: Vec<f64> = terms.collect();
    let top = terms.iter().copied().fold(f64::MIN, f64::max);
    top + terms.iter().map(|term| (term - top).exp2()).sum::<f64>().log2()
}

#[test]
fn linear_tests_of_the_dual_code_have_a_bias_below_two_to_the_minus_128() {
    let distance = f64::from(DUAL_DISTANCE_PERCENT) / 100.0;
    let trees = DUAL_NOISE.trees as f64;
    // A test that meets a noisy position is uniform, as noise is uniform in a field of 2^128 elements.
    assert!(-trees * (1.0 - distance).log2() >= 128.0);
    // The published number is that for noise in GF(2), and no less than ours is used.
    assert_eq!((-128.0 / (1.0 - 2.0 * distance).log2()).floor(), 248.0);
    assert!(trees >= 248.0);
    assert_eq!(DUAL_NOISE.length(), 2 * DUAL_OUTPUTS);
    assert_eq!((DUAL_EXPANDER_WEIGHT, DUAL_WINDOW, DUAL_PASSES), (7, 24, 2));
}

#[test]
fn the_dual_step_pays_for_a_full_primal_step() {
    let base = primal_base(PRIMAL_NOISE.trees);
    assert_eq!(base, 66_387);
    assert!((base..PRIMAL_NOISE.length()).contains(&DUAL_OUTPUTS));
}

#[test]
fn guessing_noise_free_positions_of_either_code_costs_more_than_two_to_the_128() {
    // Prange on regular noise: as many positions from each block; solving costs dimension^2.8.
    let prange = |dimension: f64, noise: Noise| {
        let (trees, block) = (noise.trees as f64, noise.block() as f64);
        let free = 1.0 - dimension / trees / block;
        2.8 * dimension.log2() - trees * free.log2()
    };
    assert!(prange(PRIMAL_SECRET as f64, PRIMAL_NOISE) >= 128.0);
    assert!(prange(DUAL_OUTPUTS as f64, DUAL_NOISE) >= 128.0);
    let published = (850, 10, 16, 10);
    let ours = (
        PRIMAL_NOISE.trees,
        PRIMAL_NOISE.depth,
        PRIMAL_LOG_SECRET,
        PRIMAL_WEIGHT,
    );
    assert_eq!(ours, published);
}

#[test]
fn descending_to_a_code_over_gf2_is_no_shortcut() {
    // docs/protocols/vole.md, "Why labels": parity checks with coefficients of degree below m see m rows
    // of each position and (m + 9) · 2^16 unknown bits' columns; 127 noisy rows are then free.
    let (trees, block) = (PRIMAL_NOISE.trees as f64, PRIMAL_NOISE.block() as f64);
    let degrees = PRIMAL_WEIGHT as f64 - 1.0;
    let generic = -trees * (1.0 - PRIMAL_SECRET as f64 / trees / block).log2();
    for m in 1..=128_u32 {
        let m = f64::from(m);
        let share = (m + degrees) / m * PRIMAL_SECRET as f64 / (trees * block);
        let free = (127.0 / m).floor();
        let steps = -log2_binomial_tail(trees, share, free);
        assert!(steps >= generic, "m = {m}: {steps} against {generic}");
    }
    // With labels all 1 there are no degrees, and it would take one step.
    let share = PRIMAL_SECRET as f64 / (trees * block);
    assert!(-log2_binomial_tail(trees, share, 127.0) < 1e-6);
}

#[test]
fn the_tree_depth_follows_the_bandwidth() {
    assert_eq!(tree_depth_for(100_000_000), MAX_TREE_DEPTH);
    assert_eq!(tree_depth_for(10_000_000_000), 4);
}
