//! Correlated and random OTs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::collections::HashSet;

use common::*;
use xor_base::kernels::{Block, aes::Aes128};
use xor_correlation::Counts;
use xor_correlation::cot::SoftSpokenCot;
use xor_correlation::ideal::Ideal;

#[test]
fn every_tree_depth_gives_correlated_ots_at_the_written_cost() {
    for tree_depth in 2..=8 {
        let (mut one, mut other) = cot_pair(tree_depth);
        let mut deltas = HashSet::new();
        for (attempt, counts) in [counts(1, 129), counts(5000, 128)].into_iter().enumerate() {
            let [left, right] = exchange_cots((&mut one, &mut other), counts);
            assert_cot(&left.0, &right.1, counts.receive);
            assert_cot(&right.0, &left.1, counts.send);
            deltas.extend([left.1.delta.to_bytes(), right.1.delta.to_bytes()]);
            let is_first = attempt == 0;
            let cost = |counts: Counts| SoftSpokenCot::sent_bytes(counts, tree_depth, is_first);
            assert_eq!(left.2.sent_bytes, cost(counts));
            assert_eq!(right.2.sent_bytes, cost(counts.mirrored()));
        }
        assert_eq!(deltas.len(), 4);
    }
}

#[test]
fn hashed_cots_are_random_ots() {
    let (mut one, mut other) = Ideal::pair_from_seed([3; 32]);
    let [left, right] = exchange_cots((&mut one, &mut other), counts(256, 0));
    assert_cot(&left.0, &right.1, 256);
    let pi = Aes128::new(Block(5));
    let (received, sent) = (left.0.hashed(&pi, 1000), right.1.hashed(&pi, 1000));
    for (i, (key, keys)) in received.keys.iter().zip(sent.keys.iter()).enumerate() {
        assert!(*key == keys[usize::from(bit(&received.choices, i))]);
        assert!(keys[0] != keys[1] && keys[0] ^ keys[1] != right.1.delta);
    }
}

#[test]
fn choices_and_macs_are_balanced() {
    let (mut one, mut other) = cot_pair(4);
    let count = 1 << 16;
    let [left, right] = exchange_cots((&mut one, &mut other), counts(count, 0));
    let ones = |blocks: &[Block]| {
        blocks
            .iter()
            .map(|block| block.0.count_ones() as f64)
            .sum::<f64>()
    };
    // Deviation of a sum of n fair bits: √n / 2. Eight of them: a false alarm in 2^50 runs.
    let within = |sum: f64, n: f64| (sum - n / 2.0).abs() < 8.0 * n.sqrt() / 2.0;
    assert!(within(ones(&left.0.choices), count as f64));
    for blocks in [&left.0.macs, &right.1.keys] {
        assert!(within(ones(blocks), 128.0 * count as f64));
    }
    // χ² of the bytes of the choices, and of choices against each bit of the mac.
    let mut bytes = [0_f64; 256];
    let all = left.0.choices.iter().flat_map(|block| block.to_bytes());
    all.for_each(|byte| bytes[usize::from(byte)] += 1.0);
    let expected = count as f64 / 8.0 / 256.0;
    let chi: f64 = bytes.iter().map(|n| (n - expected).powi(2) / expected).sum();
    assert!((120.0..400.0).contains(&chi), "{chi}");
    for position in 0..128 {
        let mut table = [0_f64; 4];
        for (i, mac) in left.0.macs.iter().enumerate() {
            table[usize::from(bit(&left.0.choices, i)) * 2 + (mac.0 >> position & 1) as usize] += 1.0;
        }
        let expected = count as f64 / 4.0;
        let chi: f64 = table.iter().map(|n| (n - expected).powi(2) / expected).sum();
        assert!(chi < 60.0, "bit {position}: {chi}");
    }
}
