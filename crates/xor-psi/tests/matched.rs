//! The matched join against its ideal twin, its costs against the written formulas, and senders that cheat.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use arrow_array::{Array, Int64Array, StringArray};
use common::{Row, rows, table};
use proptest::prelude::*;
use xor_base::derive::{Derive, Purpose};
use xor_channel::fault::{Fault, Faulty};
use xor_channel::hello::{Hello, exchange_hello};
use xor_channel::memory::{pair, pair_with_timeout};
use xor_channel::{Channel, FRAME_HEADER_BYTES, Meter};
use xor_psi::PsiError;
use xor_psi::matched::{Found, MatchedSpec, Prepared, ideal};
use xor_psi::oprf::dh::DhOprf;
use xor_psi::oprf::ideal::IdealOprf;
use xor_psi::oprf::vole::VoleOprf;
use xor_psi::oprf::{Directions, Oprf, Side, Sizes};
use xor_psi::sealed::{Table, hex};

type Oprfs = [Box<dyn Oprf + Send>; 2];

fn ideal_oprfs() -> Oprfs {
    let (one, other) = IdealOprf::pair().unwrap();
    [Box::new(one), Box::new(other)]
}

fn spec_of(receiver: Side, rows: [usize; 2], most_rows: usize, is_unique: bool, oprf: &str) -> MatchedSpec {
    let document = serde_json::json!({
        "version": 1, "plan_hash": "ab".repeat(32), "node": 3, "receiver": receiver.byte(), "rows": rows,
        "most_rows": most_rows, "is_unique": is_unique,
        "keys": [
            {"left": {"type": "int64"}, "right": {"type": "decimal(12,0)"}},
            {"left": {"type": "text"}, "right": {"type": "text"}},
        ],
        "payload": [{"name": "v", "type": "text", "max_bytes": 30}], "oprf": oprf,
    });
    MatchedSpec::parse(&serde_json::to_vec(&document).unwrap()).unwrap()
}

fn spec(receiver: Side, rows: [usize; 2]) -> MatchedSpec {
    spec_of(receiver, rows, rows[receiver.other().index()], false, "vole")
}

fn tables(receiver: Side, left: &[Row], right: &[Row]) -> [Table; 2] {
    [
        table(Side::Left, left, receiver != Side::Left),
        table(Side::Right, right, receiver != Side::Right),
    ]
}

type Ended = (Result<Option<Found>, PsiError>, Meter);

fn player(
    spec: &MatchedSpec,
    side: Side,
    table: &Table,
    oprf: &mut dyn Oprf,
    mut channel: impl Channel,
) -> Ended {
    let mut go_on = |_| ControlFlow::Continue(());
    let result = Prepared::new(spec, side, table).and_then(|prepared| {
        let exchanged = prepared.exchange(oprf, &mut channel, &mut go_on)?;
        Ok(exchanged.open(&mut go_on)?.found)
    });
    (result, channel.meter())
}

fn run(
    spec: &MatchedSpec,
    [left, right]: &[Table; 2],
    [left_oprf, right_oprf]: &mut Oprfs,
    (to_right, to_left): (impl Channel, impl Channel),
) -> [Ended; 2] {
    thread::scope(|scope| {
        let other = scope.spawn(|| player(spec, Side::Right, right, right_oprf.as_mut(), to_left));
        let one = player(spec, Side::Left, left, left_oprf.as_mut(), to_right);
        [one, other.join().unwrap()]
    })
}

/// Sorted (number of the key, value) of the rows that were found, and the numbers of own rows.
type Learned = (Vec<(i64, Option<String>)>, Int64Array);

fn learned(found: Found) -> Learned {
    let mut rows = Vec::new();
    for batch in found.rows {
        let batch = batch.unwrap();
        let numbers = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        let values = batch.column(1).as_any().downcast_ref::<StringArray>().unwrap();
        for row in 0..batch.num_rows() {
            let value = values.is_valid(row).then(|| values.value(row).to_owned());
            rows.push((numbers.value(row), value));
        }
    }
    rows.sort();
    (rows, found.numbers)
}

fn by_twin(spec: &MatchedSpec, tables: &[Table; 2], theirs: &[Row]) -> Learned {
    let (numbers, matched) = ideal::join(spec, [&tables[0], &tables[1]]).unwrap();
    let rows = matched.into_iter().zip(theirs);
    let mut rows: Vec<_> = rows
        .filter_map(|(key, row)| Some((key?, row.2.clone())))
        .collect();
    rows.sort();
    (rows, numbers)
}

fn keyed(count: i64) -> Vec<Row> {
    (0..count)
        .map(|n| (Some(n), Some("k".into()), Some(format!("value {n}"))))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_receiver_learns_what_the_twin_gives(
        left in rows(), right in rows(), spare in (0..400_usize, 0..400_usize),
    ) {
        for receiver in [Side::Left, Side::Right] {
            let spec = spec(receiver, [left.len() + spare.0, right.len() + spare.1]);
            let tables = tables(receiver, &left, &right);
            let theirs = if receiver == Side::Left { &right } else { &left };
            let ended = run(&spec, &tables, &mut ideal_oprfs(), pair());
            for (ended, side) in ended.into_iter().zip([Side::Left, Side::Right]) {
                match ended.0.unwrap() {
                    Some(found) => {
                        prop_assert_eq!(side, receiver);
                        prop_assert_eq!(found.refused_keys, 0);
                        prop_assert_eq!(learned(found), by_twin(&spec, &tables, theirs));
                    }
                    None => prop_assert_eq!(side, receiver.other()),
                }
            }
        }
    }
}

#[test]
fn both_back_ends_agree_with_the_twin_and_cost_what_the_formula_says() {
    let mut theirs = keyed(600);
    theirs.extend((0..40).map(|n| (Some(7), Some("k".into()), Some(format!("more {n}")))));
    let own: Vec<Row> = (0..900)
        .map(|n| (Some(n % 500 + 5), Some("k".into()), None))
        .collect();
    let bounds = [640, 1000];
    for name in ["dh", "vole"] {
        let spec = spec_of(Side::Right, bounds, 640, false, name);
        let tables = tables(Side::Right, &theirs, &own);
        let mut oprfs: Oprfs = match name {
            "dh" => [Box::new(DhOprf::new()), Box::new(DhOprf::new())],
            _ => [Box::new(VoleOprf::new()), Box::new(VoleOprf::new())],
        };
        let [sender, receiver] = run(&spec, &tables, &mut oprfs, pair());
        let sizes = [Sizes { own: 640, peer: 1000 }, Sizes { own: 1000, peer: 640 }];
        let oprf = |directions, sizes| match name {
            "dh" => DhOprf::sent_bytes(directions, sizes),
            _ => VoleOprf::sent_bytes(directions, sizes, true).unwrap(),
        };
        let hello = receiver.1.sent_bytes - oprf(Directions::Receive, sizes[1]);
        // docs/protocols/matched-join.md: 40 + 10 + 10 bits of a label, of which one byte is in the bitmap.
        let cells = (640 + 256) / 8 + 640 * (8 - 1 + 2 + (1 + 1 + 30));
        let expected = hello + oprf(Directions::Serve, sizes[0]) + cells + FRAME_HEADER_BYTES as u64;
        assert_eq!(sender.1.sent_bytes, expected, "{name}");
        assert!(sender.0.unwrap().is_none());
        let found = receiver.0.unwrap().unwrap();
        assert_eq!(learned(found), by_twin(&spec, &tables, &theirs), "{name}");
    }
}

#[test]
fn sizes_follow_the_bounds_alone() {
    let frames = |own: &[Row], theirs: &[Row]| {
        let spec = spec(Side::Left, [300, 400]);
        let ended = run(
            &spec,
            &tables(Side::Left, own, theirs),
            &mut ideal_oprfs(),
            pair(),
        );
        ended.map(|(result, meter)| {
            result.unwrap();
            (meter.sent_bytes, meter.sent_frames, meter.rounds)
        })
    };
    let same: Vec<Row> = (0..400).map(|_| (Some(1), Some("k".into()), None)).collect();
    let null: Vec<Row> = (0..400).map(|_| (None, None, Some("n".repeat(30)))).collect();
    let expected = frames(&[], &[]);
    assert_eq!(frames(&keyed(300), &keyed(400)), expected);
    assert_eq!(frames(&same[..300], &same), expected);
    assert_eq!(frames(&keyed(3), &null), expected);
}

#[test]
fn faulty_frames_end_in_a_typed_error() {
    for is_sender in [true, false] {
        let facing = |at, fault: Fault| {
            let waits = matches!(fault, Fault::Drop | Fault::Stall | Fault::Swap);
            let (to_right, to_left) = pair_with_timeout(Duration::from_secs(if waits { 1 } else { 60 }));
            let faulty = |channel, is_faulty: bool| {
                Faulty::new(channel, if is_faulty { at } else { u64::MAX }, fault.clone())
            };
            let channels = (faulty(to_right, is_sender), faulty(to_left, !is_sender));
            let spec = spec(Side::Right, [5, 6]);
            let mut oprfs = ideal_oprfs();
            let mut ended = run(
                &spec,
                &tables(Side::Right, &keyed(5), &keyed(6)),
                &mut oprfs,
                channels,
            );
            if !is_sender {
                ended.reverse();
            }
            ended
        };
        let frames = facing(u64::MAX, Fault::Stall)[0].1.sent_frames;
        for at in 0..frames {
            for fault in [
                Fault::Truncate { bytes: 1 },
                Fault::Extend { bytes: 1 },
                Fault::Replace(Vec::new()),
                Fault::Repeat,
                Fault::Swap,
                Fault::Drop,
                Fault::Stall,
            ] {
                let [_, reader] = facing(at, fault.clone());
                let is_harmless = matches!(fault, Fault::Repeat) && at + 1 == frames;
                let code = reader.0.as_ref().err().map(PsiError::code);
                assert_eq!(
                    code.is_none(),
                    is_harmless,
                    "sender {is_sender}, frame {at}, {fault:?}"
                );
                assert!(code.is_none_or(|code| code.starts_with("protocol.") || code.starts_with("peer.")));
            }
        }
    }
}

/// A sender with cells of its own making: it knows the function on every key of the receiver.
struct Cheat {
    spec: MatchedSpec,
    keys: Vec<[u8; 16]>,
    attempt: [u8; 16],
}

impl Cheat {
    /// A cell: `plain` under number `j` of key `number`, filled up with zeros.
    fn cell(&self, number: usize, j: u64, plain: &[u8]) -> Vec<u8> {
        let layout = self.spec.layout();
        let mut cell = vec![0; layout.list.width];
        let message: [&[u8]; 4] = [&self.keys[number], &self.attempt, &[0], &j.to_le_bytes()];
        Derive::new(Purpose::Cell).fill(&message, &mut cell);
        let body = cell[layout.cell.label..].iter_mut();
        body.zip(plain).for_each(|(to, from)| *to ^= from);
        cell
    }
}

/// Length, then rows `no NULL ‖ length ‖ text`.
fn string(texts: &[&[u8]]) -> Vec<u8> {
    let rows: Vec<u8> = texts
        .iter()
        .flat_map(|text| [&[0, text.len() as u8], *text].concat())
        .collect();
    [&[rows.len() as u8][..], &rows].concat()
}

/// What the receiver of keys 0, 1, 2 ends with when the sender sends those cells: eight, in any order.
fn cheated(
    most_rows: usize,
    is_unique: bool,
    cells: impl Fn(&Cheat) -> Vec<Vec<u8>>,
) -> Result<(Vec<(i64, String)>, usize), PsiError> {
    let spec = spec_of(Side::Right, [8, 3], most_rows, is_unique, "vole");
    let own = table(Side::Right, &keyed(3), false);
    let theirs = table(Side::Left, &keyed(3), true);
    let (mut sender_oprf, mut oprf) = IdealOprf::pair().unwrap();
    let (mut to_receiver, to_sender) = pair();
    thread::scope(|scope| {
        let receiver = scope.spawn(|| player(&spec, Side::Right, &own, &mut oprf, to_sender));
        let hello = Hello {
            plan_hash: [0xab; 32],
            node: 3,
            side: 0,
            lane: 0,
        };
        let nonces = exchange_hello(&mut to_receiver, &hello).unwrap();
        let node = 3_u32.to_le_bytes();
        let attempt = Derive::new(Purpose::Attempt).array(&[&[0xab; 32], &node, &nonces.own, &nonces.peer]);
        let keys = xor_base::keys::Keys::new(spec.key_types(Side::Left), &theirs.keys, 3).unwrap();
        let inputs = keys.inputs().values;
        let sizes = Sizes { own: 8, peer: 3 };
        let mut go_on = |_| ControlFlow::Continue(());
        let outputs = sender_oprf
            .evaluate(
                Side::Left,
                Directions::Serve,
                &inputs,
                sizes,
                &mut to_receiver,
                &mut go_on,
            )
            .unwrap();
        let keys = outputs.of_own_key.iter();
        let keys = keys.map(|output| Derive::new(Purpose::Matched).array(&[output, &attempt]));
        let cheat = Cheat {
            spec: spec.clone(),
            keys: keys.collect(),
            attempt,
        };
        let mut cells = cells(&cheat);
        while cells.len() < 8 {
            cells.push([vec![0, cells.len() as u8], vec![9; spec.layout().list.width - 2]].concat());
        }
        cells.sort();
        // Eight labels of the one empty prefix.
        to_receiver
            .send(&[&[0xff, 0][..], &cells.concat()].concat())
            .unwrap();
        let found = receiver.join().unwrap().0?.unwrap();
        let refused = found.refused_keys;
        let rows = learned(found).0.into_iter();
        Ok((
            rows.map(|(number, text)| (number, text.unwrap_or_default()))
                .collect(),
            refused,
        ))
    })
}

fn rows_found(found: &[(i64, &str)]) -> Vec<(i64, String)> {
    found
        .iter()
        .map(|(number, text)| (*number, (*text).to_owned()))
        .collect()
}

#[test]
fn a_well_formed_table_is_read_as_it_was_written() {
    let (found, refused) = cheated(8, false, |sender| {
        vec![
            sender.cell(0, 0, &string(&[b"a"])),
            sender.cell(2, 0, &string(&[b"b", b"c"])),
        ]
    })
    .unwrap();
    assert_eq!((found, refused), (rows_found(&[(0, "a"), (2, "b"), (2, "c")]), 0));
}

#[test]
fn what_is_malformed_under_a_key_is_as_if_the_key_were_absent() {
    let malformed: [fn(&Cheat) -> Vec<u8>; 6] = [
        |sender| sender.cell(1, 0, &string(&[b"\xff"])),
        |sender| sender.cell(1, 0, &[5, 0, 9, b'x', b'x', b'x']),
        |sender| sender.cell(1, 0, &[2, 2, 0]),
        |sender| sender.cell(1, 0, &[0]),
        |sender| sender.cell(1, 0, &[0x80, 0x80, 0x80, 1]),
        // Its second cell is missing.
        |sender| sender.cell(1, 0, &[&[60][..], &[0; 30]].concat()),
    ];
    for forge in malformed {
        let (found, refused) = cheated(8, false, |sender| {
            vec![
                sender.cell(0, 0, &string(&[b"a"])),
                forge(sender),
                sender.cell(2, 0, &string(&[b"b"])),
            ]
        })
        .unwrap();
        assert_eq!((found, refused), (rows_found(&[(0, "a"), (2, "b")]), 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_string_under_a_key_stops_the_step_or_changes_other_keys(
        string_of_one in prop::collection::vec(any::<u8>(), 0..40), first in prop_oneof![any::<u8>(), 0_u8..40],
    ) {
        let forged = [&[first][..], &string_of_one].concat();
        let (found, refused) = cheated(8, false, |sender| {
            vec![
                sender.cell(0, 0, &string(&[b"a"])),
                sender.cell(1, 0, &forged),
                sender.cell(2, 0, &string(&[b"b"])),
            ]
        }).unwrap();
        let of_one = found.iter().filter(|(key, _)| *key == 1).count();
        let others: Vec<_> = found.iter().filter(|(key, _)| *key != 1).cloned().collect();
        // Each key is there as it was written, or refused; others only where this one took the room of all.
        prop_assert!(found.len() <= 8);
        prop_assert_eq!(usize::from(of_one > 0) + others.len() + refused, 3);
        let all = rows_found(&[(0, "a"), (2, "b")]);
        prop_assert!(others == all || (of_one > 6 && others.iter().all(|row| all.contains(row))));
    }
}

#[test]
fn a_key_may_have_no_more_rows_than_it_is_declared_to_have() {
    let two = |sender: &Cheat| {
        vec![
            sender.cell(0, 0, &string(&[b"a", b"b"])),
            sender.cell(1, 0, &string(&[b"c"])),
        ]
    };
    assert_eq!(cheated(8, true, two).unwrap(), (rows_found(&[(1, "c")]), 1));
    assert_eq!(cheated(8, false, two).unwrap().1, 0);
}

#[test]
fn the_rows_of_all_keys_together_stay_within_the_declared_bound() {
    let many: Vec<&[u8]> = vec![b""; 4];
    let (found, refused) = cheated(4, false, |sender| {
        (0..3).map(|key| sender.cell(key, 0, &string(&many))).collect()
    })
    .unwrap();
    assert_eq!((found.len(), refused), (4, 2));
}

#[test]
fn labels_out_of_order_or_repeated_stop_the_step_whatever_the_keys() {
    let repeated = |sender: &Cheat| {
        let cell = sender.cell(0, 0, &string(&[b"a"]));
        vec![cell.clone(), cell]
    };
    assert_eq!(
        cheated(8, false, repeated).unwrap_err().code(),
        "protocol.bad-cells"
    );
}

#[test]
fn what_a_player_may_not_bring_is_refused_before_the_peer_is_asked() {
    let spec = spec(Side::Right, [2, 2]);
    let too_many = table(Side::Left, &keyed(3), true);
    let without = table(Side::Left, &keyed(2), false);
    assert_eq!(
        Prepared::new(&spec, Side::Left, &too_many).err().unwrap().code(),
        "resource.above-bound"
    );
    assert_eq!(
        Prepared::new(&spec, Side::Left, &without).err().unwrap().code(),
        "schema.column-type"
    );
    assert_eq!(
        spec.plan_hash.to_vec(),
        hex::decode::<32>(&"ab".repeat(32)).unwrap()
    );
}
