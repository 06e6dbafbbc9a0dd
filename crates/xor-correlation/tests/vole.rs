//! VOLEs: the correlation, its distribution and its cost.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::collections::HashSet;

use common::*;
use xor_base::kernels::Block;
use xor_correlation::ideal::Ideal;
use xor_correlation::params::{DUAL_OUTPUTS, MAX_SLOTS};
use xor_correlation::vole::{LpnVole, Vole};
use xor_correlation::{CorrelationError, Counts, Seat};

#[test]
fn every_slot_is_correlated_in_both_directions_and_in_every_attempt() {
    let (mut one, mut other) = lpn_pair(4);
    let mut deltas = HashSet::new();
    for counts in [
        counts(1, 300),
        counts(DUAL_OUTPUTS, 0),
        counts(0, DUAL_OUTPUTS + 1),
    ] {
        let [left, right] = exchange_voles((&mut one, &mut other), counts);
        assert_vole(&left.0, &right.1, counts.receive);
        assert_vole(&right.0, &left.1, counts.send);
        deltas.insert(left.1.delta.to_bytes());
        deltas.insert(right.1.delta.to_bytes());
    }
    // Four directions had slots; one that had none has no Δ.
    assert_eq!(deltas.len(), 4 + 1);
}

#[test]
fn several_primal_steps_chain() {
    let (mut one, mut other) = lpn_pair(8);
    let slots = 870_400 + 70_001;
    let [left, right] = exchange_voles((&mut one, &mut other), counts(slots, 0));
    assert_vole(&left.0, &right.1, slots);
    assert_uniform(&left.0.a);
    assert_uniform(&left.0.c);
    assert_uniform(&right.1.v);
}

/// χ² of the bytes, of neighbouring bits of each position, and no value twice.
fn assert_uniform(blocks: &[Block]) {
    let mut bytes = [0_u64; 256];
    for block in blocks {
        block
            .to_bytes()
            .iter()
            .for_each(|byte| bytes[usize::from(*byte)] += 1);
    }
    let expected = blocks.len() as f64 * 16.0 / 256.0;
    let chi: f64 = bytes
        .iter()
        .map(|n| (*n as f64 - expected).powi(2) / expected)
        .sum();
    // 255 degrees of freedom: mean 255, deviation 22.6; a false alarm in 2^30 runs.
    assert!((120.0..400.0).contains(&chi), "bytes: {chi}");
    for bit in 0..128 {
        let mut pairs = [0_u64; 4];
        for two in blocks.chunks_exact(2) {
            pairs[((two[0].0 >> bit & 1) * 2 + (two[1].0 >> bit & 1)) as usize] += 1;
        }
        let expected = (blocks.len() / 2) as f64 / 4.0;
        let chi: f64 = pairs
            .iter()
            .map(|n| (*n as f64 - expected).powi(2) / expected)
            .sum();
        assert!(chi < 55.0, "bit {bit}: {chi}");
    }
    let distinct: HashSet<u128> = blocks.iter().map(|block| block.0).collect();
    assert_eq!(distinct.len(), blocks.len());
}

#[test]
fn bytes_and_rounds_follow_the_written_formula() {
    let (mut one, mut other) = lpn_pair(4);
    for (attempt, counts) in [counts(200, 0), counts(90_000, 0), counts(100_000, 5)]
        .into_iter()
        .enumerate()
    {
        let [left, right] = exchange_voles((&mut one, &mut other), counts);
        let expected = |counts: Counts, first_receive, first_send| {
            LpnVole::sent_bytes(Counts { send: 0, ..counts }, 4, first_receive)
                + LpnVole::sent_bytes(Counts { receive: 0, ..counts }, 4, first_send)
        };
        let is_first = attempt == 0;
        assert_eq!(left.2.sent_bytes, expected(counts, is_first, attempt == 2));
        assert_eq!(
            right.2.sent_bytes,
            expected(counts.mirrored(), attempt == 2, is_first)
        );
        // docs/protocols/vole.md: six one-way trips, five where base OTs exist; both directions share them.
        let rounds = [[2, 3], [2, 2], [5, 4]][attempt];
        assert_eq!([left.2.rounds, right.2.rounds], rounds, "attempt {attempt}");
    }
    // The same by hand, k = 4: 32 trees, 31 corrections.
    let cots = 128 * (561 + 35 + (88 * 10_usize).div_ceil(128));
    let setup = 4 + 128 * 32 + 32 * 64;
    let extension = |count: usize| 4 + 31 * (count / 128 + 1) * 16 + 16 + 32;
    // Of every attempt: base OTs of the other direction, from the group.
    let (asked, answered) = (4 + 128 * 64, 4 + 32);
    let receiver = (answered + setup + extension(cots) + 4 + 2 * 16) as u64;
    let sender = (extension(128) + asked + 4 + 560 * 17 * 16 + 4 + 88 * 21 * 16 + 4 + 32) as u64;
    assert_eq!(LpnVole::sent_bytes(counts(90_000, 0), 4, false), receiver);
    assert_eq!(LpnVole::sent_bytes(counts(0, 90_000), 4, false), sender);
    let base = 4 + 128 * (64 + 2 * 1152 + 32);
    assert_eq!(LpnVole::sent_bytes(counts(90_000, 0), 4, true), receiver + base);
    assert_eq!(
        LpnVole::sent_bytes(counts(0, 90_000), 4, true),
        sender + 4 + 32 + 128 * 2 * 1088 + setup as u64
    );
}

/// What the planner computes in another language. `XOR_REWRITE_VECTORS=1` writes the file; read the diff.
#[test]
fn the_planner_reads_the_same_costs() {
    let mut lines = Vec::new();
    for tree_depth in [4, 8] {
        for slots in [
            0, 1, 5408, 71_680, 71_681, 90_000, 804_013, 870_400, 870_401, 1_372_288, 1_674_413, 11_000_000,
            22_055_936,
        ] {
            for is_first in [true, false] {
                let receiver = LpnVole::sent_bytes(counts(slots, 0), tree_depth, is_first);
                let sender = LpnVole::sent_bytes(counts(0, slots), tree_depth, is_first);
                lines.push(format!(
                    r#"    {{"slots": {slots}, "tree_depth": {tree_depth}, "is_first": {is_first}, "receiver_bytes": {receiver}, "sender_bytes": {sender}}}"#
                ));
            }
        }
    }
    let text = format!("{{\n  \"cases\": [\n{}\n  ]\n}}\n", lines.join(",\n"));
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/core/vole-costs.json"
    );
    if std::env::var_os("XOR_REWRITE_VECTORS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}

#[test]
fn a_million_keys_cost_less_than_two_bytes_each() {
    // 1.31 slots a key; the corrections of the join itself are 16 · 1.31 = 21 bytes more.
    for (tree_depth, most) in [(8, 1.4), (4, 1.6)] {
        let slots = 1_373_000;
        let sent = LpnVole::sent_bytes(counts(slots, 0), tree_depth, true)
            + LpnVole::sent_bytes(counts(0, slots), tree_depth, true);
        let per_key = sent as f64 / f64::from(1 << 20);
        assert!(per_key < most, "{per_key}");
    }
}

#[test]
fn the_ideal_twin_has_the_same_correlation_and_refuses_other_counts() {
    let (mut one, mut other) = Ideal::pair_from_seed([7; 32]);
    for _ in 0..2 {
        let [left, right] = exchange_voles((&mut one, &mut other), counts(30, 40));
        assert_vole(&left.0, &right.1, 30);
        assert_vole(&right.0, &left.1, 40);
        assert!(*left.1.delta != *right.1.delta);
    }
    let ((refused, _), _) = both(
        |channel| Vole::exchange(&mut one, counts(1, 2), channel).map(drop),
        |channel| Vole::exchange(&mut other, counts(2, 2), channel).map(drop),
    );
    assert!(matches!(refused, Err(CorrelationError::PeerDisagrees)));
}

#[test]
fn too_many_slots_are_refused_before_the_peer_is_asked() {
    let (mut one, _) = lpn_pair(4);
    let (mut channel, _peer) = xor_channel::memory::pair();
    let refused = one.exchange(counts(0, MAX_SLOTS + 1), &mut channel);
    assert!(matches!(refused, Err(CorrelationError::TooMany { .. })));
    assert_eq!(xor_channel::Channel::meter(&channel).sent_frames, 0);
    assert!(matches!(
        LpnVole::new(b"s", Seat::Zero, 9),
        Err(CorrelationError::TreeDepth { depth: 9 })
    ));
}

#[test]
fn what_is_printed_holds_no_share() {
    let (mut one, mut other) = Ideal::pair_from_seed([1; 32]);
    let [left, right] = exchange_voles((&mut one, &mut other), counts(2, 0));
    assert_eq!(
        format!("{:?} {:?}", left.0, right.1),
        "VoleReceived(2 slots) VoleSent(2 slots)"
    );
}
