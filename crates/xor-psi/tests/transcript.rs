//! What a player sees of the other: sizes and rounds, which follow from the public bounds alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::thread;
use std::time::Duration;

use common::*;
use proptest::prelude::*;
use xor_channel::fault::{Fault, Faulty};
use xor_channel::{Channel, memory};
use xor_psi::PsiError;
use xor_psi::oprf::Side;
use xor_psi::oprf::dh::{DhOprf, MAX_BOUND};
use xor_psi::oprf::ideal::IdealOprf;
use xor_psi::sealed::spec::JoinSpec;
use xor_psi::sealed::{Prepared, Step, Table};

const HELLO: u64 = 4 + 76;

fn run_dh(kind: &str, bounds: [usize; 2], tables: &[Table; 2]) -> [Sent; 2] {
    let spec = spec(kind, bounds);
    let (mut left_end, mut right_end) = memory::pair();
    thread::scope(|scope| {
        let left = scope.spawn(|| player(&spec, Side::Left, &tables[0], &mut DhOprf::new(), &mut left_end));
        let right = player(&spec, Side::Right, &tables[1], &mut DhOprf::new(), &mut right_end).unwrap();
        [left.join().unwrap().unwrap(), right]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn bytes_and_rounds_follow_the_written_formula(
        left in 0..40_usize, right in 0..40_usize, kind in 0..5_usize,
    ) {
        let rows = |count: usize| -> Vec<Row> {
            (0..count / 2).map(|n| (Some(n as i64 % 3), Some("k".into()), None)).collect()
        };
        let kind = KINDS[kind];
        let sent = run_dh(kind, [left, right], &tables(kind, &rows(left), &rows(right)));
        // As in docs/protocols/sealed-join.md: hello, public key, blinded, evaluated with proofs.
        let batches = |rows: usize| rows.div_ceil(1 << 14) as u64;
        let formula = |own: usize, peer: usize| {
            HELLO + 36 + 32 * own as u64 + 4 * batches(own) + 32 * peer as u64 + 68 * batches(peer)
        };
        prop_assert_eq!(sent[0].meter.sent_bytes, formula(left, right));
        prop_assert_eq!(sent[1].meter.sent_bytes, formula(right, left));
        prop_assert_eq!(sent[0].meter.received_bytes, formula(right, left));
        // After the hello, and to serve the peer's keys.
        let rounds = |peer: usize| 1 + u64::from(peer > 0);
        prop_assert_eq!(sent[0].meter.rounds, rounds(right));
        prop_assert_eq!(sent[1].meter.rounds, rounds(left));
    }
}

#[test]
fn sizes_stay_when_values_duplicates_and_nulls_change() {
    let key = |n: i64| (Some(n), Some("k".to_owned()), Some("v".to_owned()));
    let variants: [Vec<Row>; 5] = [
        (0..20).map(key).collect(),
        (100..120).map(key).collect(),
        vec![key(1); 20],
        vec![(None, None, None); 20],
        Vec::new(),
    ];
    for kind in KINDS {
        let sizes = |rows: &[Row]| {
            let sent = run_dh(kind, [24, 20], &tables(kind, rows, &variants[0]));
            sent.map(|sent| (sent.meter, sent.bytes.len(), sent.join.stream.header.len()))
        };
        let expected = sizes(&variants[0]);
        for rows in &variants[1..] {
            assert_eq!(sizes(rows), expected, "{kind}");
        }
    }
}

#[test]
fn two_runs_over_the_same_tables_share_nothing() {
    let rows: Vec<Row> = (0..8)
        .map(|n| (Some(n), Some("k".into()), Some("v".into())))
        .collect();
    let tables = tables("inner", &rows, &rows);
    let (first, second) = (run_dh("inner", [8, 8], &tables), run_dh("inner", [8, 8], &tables));
    assert_ne!(first[0].join.stream.attempt, second[0].join.stream.attempt);
    assert_eq!(first[0].join.stream.attempt, first[1].join.stream.attempt);
    assert_ne!(first[0].bytes, second[0].bytes);
}

#[test]
fn a_table_above_its_bound_stops_before_a_frame_is_sent() {
    let rows: Vec<Row> = (0..3)
        .map(|n| (Some(n), Some("k".into()), Some("v".into())))
        .collect();
    let spec = spec("inner", [2, 8]);
    let table = table(Side::Left, &rows, true);
    assert_eq!(
        Prepared::new(&spec, Side::Left, &table).err().unwrap().code(),
        "resource.above-bound"
    );
}

#[test]
fn a_text_above_its_bound_names_the_column_only() {
    let secret = "secret value that is long";
    let spec = spec("inner", [2, 8]);
    let table = table(
        Side::Left,
        &[(Some(1), Some("k".into()), Some(secret.into()))],
        true,
    );
    let error = Prepared::new(&spec, Side::Left, &table).err().unwrap();
    assert_eq!(error.code(), "resource.above-bound");
    assert!(error.to_string().contains("column l") && !format!("{error:?}").contains(secret));
}

#[test]
fn what_a_player_may_say_of_its_steps_ends_with_the_exchange() {
    let sent = run(&spec("inner", [2, 2]), &tables("inner", &[], &[]));
    let names = |steps: &[Step]| steps.iter().map(|step| step.name).collect::<Vec<_>>();
    assert_eq!(names(&sent[0].join.steps), ["hello", "oprf"]);
    assert_eq!(
        names(&sent[0].join.own_steps),
        ["keys", "hello", "oprf", "cells", "seal"]
    );
    let bytes = |steps: &[Step]| steps.iter().map(|step| step.sent_bytes).sum::<u64>();
    assert_eq!(bytes(&sent[0].join.steps), sent[0].meter.sent_bytes);
    assert_eq!(bytes(&sent[0].join.own_steps), sent[0].meter.sent_bytes);
}

#[test]
fn a_bound_above_the_back_end_is_refused_before_anybody_is_contacted() {
    let large = |rows| JoinSpec::parse(spec_json("inner", rows).as_bytes());
    for rows in [[MAX_BOUND + 1, 1], [1, MAX_BOUND + 1]] {
        assert_eq!(large(rows).unwrap_err().code(), "resource.bound-too-large");
    }
    assert!(large([MAX_BOUND, 1]).is_ok());
}

fn against(fault: Fault, at: u64) -> Result<(), PsiError> {
    let rows: Vec<Row> = (0..8).map(|n| (Some(n), Some("k".into()), None)).collect();
    let (spec, tables) = (spec("inner", [8, 8]), tables("inner", &rows, &rows));
    let (left_end, mut right_end) = memory::pair_with_timeout(Duration::from_millis(300));
    let mut left_end = Faulty::new(left_end, at, fault);
    thread::scope(|scope| {
        scope.spawn(|| player(&spec, Side::Left, &tables[0], &mut DhOprf::new(), &mut left_end).map(drop));
        player(&spec, Side::Right, &tables[1], &mut DhOprf::new(), &mut right_end).map(drop)
    })
}

#[test]
fn a_peer_that_breaks_the_protocol_gets_a_typed_error() {
    // Frame 0 is the hello, 1 the public key, 2 the blinded elements, 3 the evaluated ones.
    for at in 0..4 {
        let faults = [
            Fault::Truncate { bytes: 1 },
            Fault::Extend { bytes: 1 },
            Fault::Drop,
            Fault::Stall,
            Fault::Replace(Vec::new()),
            Fault::Replace(vec![0xff; 76]),
        ];
        for fault in faults {
            let error = against(fault.clone(), at).expect_err("must be refused");
            let area = error.code().split_once('.').unwrap().0;
            assert!(
                matches!(area, "peer" | "protocol"),
                "{at} {fault:?}: {}",
                error.code()
            );
        }
    }
}

#[test]
fn players_with_different_plans_stop_at_the_hello() {
    let rows: Vec<Row> = Vec::new();
    let tables = tables("inner", &rows, &rows);
    let (ours, mut theirs) = (spec("inner", [8, 8]), spec("inner", [8, 8]));
    theirs.binding.plan_hash = [0; 32];
    let (mut left_end, mut right_end) = memory::pair();
    let (mut left_oprf, mut right_oprf) = IdealOprf::pair().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| player(&ours, Side::Left, &tables[0], &mut left_oprf, &mut left_end).map(drop));
        let error = player(&theirs, Side::Right, &tables[1], &mut right_oprf, &mut right_end)
            .err()
            .unwrap();
        assert_eq!(error.code(), "protocol.wrong-job");
        assert_eq!(right_end.meter().sent_frames, 1, "only the hello was sent");
    });
}
