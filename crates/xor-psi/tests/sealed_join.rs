//! The sealed join against its ideal twin and a nested loop, and its sizes against the written formulas.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::*;
use proptest::prelude::*;
use xor_psi::sealed::Room;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn every_kind_agrees_with_the_nested_loop_and_the_twin(
        left in rows(), right in rows(), spare in (0..20_usize, 0..20_usize),
    ) {
        for kind in KINDS {
            let spec = spec(kind, [left.len() + spare.0, right.len() + spare.1]);
            let tables = tables(kind, &left, &right);
            let expected = oracle(kind, &left, &right);
            prop_assert_eq!(&ideal_rows(&spec, &tables), &expected, "twin, {}", kind);
            let sent = run(&spec, &tables);
            for room in [Room::unlimited(), no_room()] {
                let joined = receive_within(&spec, &sent, &room).unwrap();
                prop_assert_eq!(joined.rows(), expected.len() as u64);
                prop_assert_eq!(rows_of(joined), expected.clone(), "{} {:?}", kind, room);
            }
        }
    }

    #[test]
    fn streams_have_the_length_that_the_bounds_give(
        left in rows(), right in rows(), spare in (0..2000_usize, 0..2000_usize),
    ) {
        for kind in KINDS {
            let bounds = [left.len() + spare.0, right.len() + spare.1];
            let sent = run(&spec(kind, bounds), &tables(kind, &left, &right));
            for (side, sent) in sent.iter().enumerate() {
                let plain = plain_formula(kind, bounds, side);
                let expected = plain + 16 * plain.div_ceil(1 << 20).max(1);
                prop_assert_eq!(sent.bytes.len() as u64, expected, "{} side {}", kind, side);
                prop_assert_eq!(sent.join.stream.bytes, expected);
            }
        }
    }
}

/// As written in docs/protocols/sealed-join.md, independently of the code.
fn plain_formula(kind: &str, bounds: [usize; 2], side: usize) -> u64 {
    let log2 = |n: usize| -> usize { (0..).find(|bits| 1_usize << bits >= n).unwrap() };
    let o = usize::from(opener(kind, bounds));
    let (cells, openers) = (bounds[side], bounds[o]);
    let label = (40 + log2(cells) + log2(openers.max(cells))).div_ceil(8);
    // One NULL byte; a length byte and 20, or two and 300; without columns the NULL byte only.
    let longest = match (side, kind) {
        (0, _) => 1 + 1 + 20,
        (_, "semi") => 1,
        _ => 1 + 2 + 300,
    };
    let is_readable = kind == "outer" || (kind == "left" && side == 0) || (kind == "right" && side == 1);
    let secret = if side != o && kind != "semi" { 16 } else { 0 };
    let width = label + secret + longest + if is_readable { 1 } else { 2 };
    let opener_bytes = if side == o { 16 * openers } else { 0 };
    let cell_bytes = if kind == "semi" && side == o {
        0
    } else {
        cells * width
    };
    (opener_bytes + cell_bytes) as u64
}

#[test]
fn a_thousand_equal_keys_are_one_group_of_any_kind() {
    let many: Vec<Row> = (0..1000)
        .map(|n| (Some(1), Some("k".into()), Some(n.to_string())))
        .collect();
    let few: Vec<Row> = (0..3)
        .map(|n| (Some(1), Some("k".into()), Some("x".repeat(100 * n))))
        .collect();
    for kind in KINDS {
        let spec = spec(kind, [1000, 3]);
        let tables = tables(kind, &many, &few);
        let sent = run(&spec, &tables);
        for room in [Room::unlimited(), no_room()] {
            assert_eq!(
                rows_of(receive_within(&spec, &sent, &room).unwrap()),
                oracle(kind, &many, &few),
                "{kind} {room:?}"
            );
        }
    }
}

#[test]
fn keys_whose_rows_fill_chunks_are_one_group_wherever_they_are_kept() {
    let rows = |count: i64, length: usize| -> Vec<Row> {
        let text = |n: i64| format!("{n:0length$}");
        // Two large keys, and others around them.
        let key = |n: i64| if n % 50 == 0 { n } else { n % 2 };
        (0..count)
            .map(|n| (Some(key(n)), Some("k".into()), Some(text(n))))
            .collect()
    };
    for (left, right) in [(rows(4, 20), rows(9000, 290)), (rows(9000, 20), rows(4, 290))] {
        for kind in KINDS {
            let spec = spec(kind, [left.len() + 3, right.len() + 5]);
            let sent = run(&spec, &tables(kind, &left, &right));
            let few_parts = Room {
                memory_bytes: 1 << 20,
                ..no_room()
            };
            let expected = rows_of(receive(&spec, &sent).unwrap());
            for room in [no_room(), few_parts] {
                let found = rows_of(receive_within(&spec, &sent, &room).unwrap());
                assert!(found == expected, "{kind} {room:?}");
            }
        }
    }
}

#[test]
fn empty_tables_join_to_what_is_preserved() {
    let some: Vec<Row> = vec![(Some(1), Some("k".into()), Some("v".into()))];
    for kind in KINDS {
        for (left, right) in [(vec![], vec![]), (some.clone(), vec![]), (vec![], some.clone())] {
            let spec = spec(kind, [left.len(), right.len()]);
            let sent = run(&spec, &tables(kind, &left, &right));
            for room in [Room::unlimited(), no_room()] {
                assert_eq!(
                    rows_of(receive_within(&spec, &sent, &room).unwrap()),
                    oracle(kind, &left, &right),
                    "{kind} {room:?}"
                );
            }
        }
    }
}
