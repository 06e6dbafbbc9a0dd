//! Tables larger than memory: the same result and the same bytes as in memory, and nothing left on disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;

use arrow_array::Array;
use common::*;
use proptest::prelude::*;
use xor_channel::{Channel, memory};
use xor_psi::PsiError;
use xor_psi::oprf::ideal::IdealOprf;
use xor_psi::oprf::vole::VoleOprf;
use xor_psi::oprf::{Oprf, Side};
use xor_psi::sealed::spec::{JoinSpec, ReleaseSpec};
use xor_psi::sealed::spilled::{MEMORY_BYTES, is_large, is_large_release};
use xor_psi::sealed::{Prepared, SpilledTable, Stream, Table, hex, outer};
use xor_psi::sealed::{Room, receive_release, release_batches, release_table};

/// So little that a few rows are many parts.
const TINY: usize = 2048;

struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let name = hex::encode(&xor_base::random::array::<8>().unwrap());
        let path = std::env::temp_dir().join(format!("xor-spilled-{name}"));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Fails unless it is empty: nothing was left.
        let removed = std::fs::remove_dir(&self.0);
        assert!(removed.is_ok() || thread::panicking());
    }
}

/// The table in batches of some rows.
fn batches(table: &Table, rows: usize) -> impl Iterator<Item = Result<Table, PsiError>> + '_ {
    let firsts = (0..table.rows).step_by(rows);
    firsts.map(move |first| {
        let count = rows.min(table.rows - first);
        let slice =
            |columns: &[arrow_array::ArrayRef]| columns.iter().map(|each| each.slice(first, count)).collect();
        Ok(Table {
            keys: slice(&table.keys),
            payload: slice(&table.payload),
            rows: count,
        })
    })
}

fn spill(spec: &JoinSpec, side: Side, table: &Table, directory: &Path) -> Result<SpilledTable, PsiError> {
    let mut progress = |_| ControlFlow::Continue(());
    SpilledTable::new(spec, side, batches(table, 7), directory, TINY, &mut progress)
}

fn spilled_player(
    spec: &JoinSpec,
    side: Side,
    table: &Table,
    oprf: &mut dyn Oprf,
    channel: &mut dyn Channel,
) -> Result<Sent, PsiError> {
    let directory = Directory::new();
    let table = spill(spec, side, table, &directory.0)?;
    let prepared = Prepared::spilled(&table);
    let mut bytes = Vec::new();
    let mut progress = |_| ControlFlow::Continue(());
    let exchanged = prepared.exchange(oprf, channel, &mut progress)?;
    let join = exchanged.seal(&mut bytes, &mut progress)?;
    let meter = channel.meter();
    Ok(Sent { join, bytes, meter })
}

/// Both sides on disk.
fn run_spilled<O: Oprf + Send>(spec: &JoinSpec, tables: &[Table; 2], ends: (O, O)) -> [Sent; 2] {
    let (mut left_channel, mut right_channel) = memory::pair();
    let (mut left_oprf, mut right_oprf) = ends;
    thread::scope(|scope| {
        let left = scope.spawn(|| {
            spilled_player(spec, Side::Left, &tables[0], &mut left_oprf, &mut left_channel).unwrap()
        });
        let right =
            spilled_player(spec, Side::Right, &tables[1], &mut right_oprf, &mut right_channel).unwrap();
        [left.join().unwrap(), right]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(25))]

    #[test]
    fn what_is_on_disk_gives_what_memory_gives(
        left in rows(), right in rows(), spare in (0..20_usize, 0..20_usize),
    ) {
        for kind in KINDS {
            let spec = spec(kind, [left.len() + spare.0, right.len() + spare.1]);
            let tables = tables(kind, &left, &right);
            let sent = run_spilled(&spec, &tables, IdealOprf::pair().unwrap());
            let held = run(&spec, &tables);
            for (sent, held) in sent.iter().zip(&held) {
                prop_assert_eq!(sent.bytes.len(), held.bytes.len());
                prop_assert_eq!(sent.join.stream.header.len(), held.join.stream.header.len());
                prop_assert_eq!(sent.meter, held.meter);
            }
            let expected = oracle(kind, &left, &right);
            prop_assert_eq!(rows_of(receive(&spec, &sent).unwrap()), expected, "{}", kind);
        }
    }
}

#[test]
fn the_back_end_in_use_runs_from_disk_against_a_peer_in_memory() {
    let left: Vec<Row> = (0..500)
        .map(|n| (Some(n % 170), Some("k".into()), Some(n.to_string())))
        .collect();
    let right: Vec<Row> = (0..90)
        .map(|n| (Some(n), Some("k".into()), Some(n.to_string())))
        .collect();
    let spec = spec("outer", [600, 100]);
    let tables = tables("outer", &left, &right);
    let (mut to_right, mut to_left) = memory::pair();
    let sent = thread::scope(|scope| {
        let left = scope.spawn(|| {
            let (mut oprf, table) = (VoleOprf::new(), &tables[0]);
            spilled_player(&spec, Side::Left, table, &mut oprf, &mut to_right).unwrap()
        });
        let mut oprf = VoleOprf::new();
        let right = player(&spec, Side::Right, &tables[1], &mut oprf, &mut to_left).unwrap();
        [left.join().unwrap(), right]
    });
    assert_eq!(
        rows_of(receive(&spec, &sent).unwrap()),
        oracle("outer", &left, &right)
    );
}

#[test]
fn equal_keys_by_the_thousand_and_no_keys_at_all() {
    let many: Vec<Row> = (0..3000)
        .map(|n| (Some(1), Some("k".into()), Some(n.to_string())))
        .collect();
    let none: Vec<Row> = (0..500)
        .map(|n| (None, Some("k".into()), Some(n.to_string())))
        .collect();
    let few: Vec<Row> = (0..3)
        .map(|n| (Some(n), Some("k".into()), Some("x".repeat(100))))
        .collect();
    for kind in KINDS {
        for left in [&many, &none] {
            let spec = spec(kind, [3000, 3]);
            let tables = tables(kind, left, &few);
            let sent = run_spilled(&spec, &tables, IdealOprf::pair().unwrap());
            assert_eq!(
                rows_of(receive(&spec, &sent).unwrap()),
                oracle(kind, left, &few),
                "{kind}"
            );
        }
    }
}

#[test]
fn two_runs_over_one_table_on_disk_share_nothing() {
    let rows: Vec<Row> = (0..40)
        .map(|n| (Some(n), Some("k".into()), Some(n.to_string())))
        .collect();
    let spec = spec("inner", [40, 40]);
    let tables = tables("inner", &rows, &rows);
    let directory = Directory::new();
    let table = spill(&spec, Side::Left, &tables[0], &directory.0).unwrap();
    let prepared = Prepared::spilled(&table);
    let attempts: Vec<[u8; 16]> = (0..2)
        .map(|_| {
            let (mut to_right, mut to_left) = memory::pair();
            let (mut left, mut right) = IdealOprf::pair().unwrap();
            thread::scope(|scope| {
                let peer =
                    scope.spawn(|| player(&spec, Side::Right, &tables[1], &mut right, &mut to_left).unwrap());
                let mut bytes = Vec::new();
                let mut progress = |_| ControlFlow::Continue(());
                let exchanged = prepared
                    .exchange(&mut left, &mut to_right, &mut progress)
                    .unwrap();
                let join = exchanged.seal(&mut bytes, &mut progress).unwrap();
                let attempt = join.stream.attempt;
                let meter = to_right.meter();
                let sent = [Sent { join, bytes, meter }, peer.join().unwrap()];
                assert_eq!(
                    rows_of(receive(&spec, &sent).unwrap()),
                    oracle("inner", &rows, &rows)
                );
                attempt
            })
        })
        .collect();
    assert_ne!(attempts[0], attempts[1]);
}

#[test]
fn a_table_above_its_bound_or_not_as_declared_stops_while_it_is_read() {
    let rows: Vec<Row> = (0..30)
        .map(|n| (Some(n), Some("k".into()), Some("v".into())))
        .collect();
    let directory = Directory::new();
    let table = table(Side::Left, &rows, true);
    let code = |refused: Result<SpilledTable, PsiError>| refused.err().map(|error| error.code());
    let above = spill(&spec("inner", [29, 5]), Side::Left, &table, &directory.0);
    assert_eq!(code(above), Some("resource.above-bound"));
    let other = spill(&spec("inner", [30, 30]), Side::Right, &table, &directory.0);
    assert_eq!(code(other), Some("schema.column-type"));
    let nowhere = spill(
        &spec("inner", [30, 5]),
        Side::Left,
        &table,
        Path::new("/proc/none"),
    );
    assert_eq!(code(nowhere), Some("resource.disk"));
    let inner = spec("inner", [30, 5]);
    let mut stop = |_| ControlFlow::Break(());
    let stopped = SpilledTable::new(
        &inner,
        Side::Left,
        batches(&table, 7),
        &directory.0,
        TINY,
        &mut stop,
    );
    assert_eq!(code(stopped), Some("usage.cancelled"));
}

#[test]
fn cancelling_between_parts_leaves_nothing() {
    let rows: Vec<Row> = (0..300)
        .map(|n| (Some(n), Some("k".into()), Some("v".into())))
        .collect();
    let spec = spec("outer", [300, 300]);
    let tables = tables("outer", &rows, &rows);
    for step in ["cells", "seal"] {
        let directory = Directory::new();
        let table = spill(&spec, Side::Left, &tables[0], &directory.0).unwrap();
        let prepared = Prepared::spilled(&table);
        let (mut to_right, mut to_left) = memory::pair();
        let (mut left, mut right) = IdealOprf::pair().unwrap();
        let ended = thread::scope(|scope| {
            scope.spawn(|| player(&spec, Side::Right, &tables[1], &mut right, &mut to_left).unwrap());
            let mut go = |_| ControlFlow::Continue(());
            let exchanged = prepared.exchange(&mut left, &mut to_right, &mut go).unwrap();
            exchanged.seal(&mut Vec::new(), &mut |told| {
                // In the middle, and by padded bounds.
                assert_eq!(told.total, 300);
                if told.step == step && told.done > 100 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
        });
        assert_eq!(
            ended.err().map(|error| error.code()),
            Some("usage.cancelled"),
            "{step}"
        );
    }
}

#[test]
fn bounds_alone_decide_what_goes_to_disk() {
    // A carrier of 2^20 rows: twice (label 10, s_o 16, length 2, row 168), and 120. The planner's test has the same.
    for (max_bytes, expected) in [(166, false), (167, true)] {
        let json = spec_json("inner", [1 << 20, 1]);
        let longer = json.replace(r#""max_bytes":20"#, &format!(r#""max_bytes":{max_bytes}"#));
        let spec = JoinSpec::parse(longer.as_bytes()).unwrap();
        assert_eq!(is_large(&spec, Side::Left, MEMORY_BYTES), expected, "{max_bytes}");
        assert!(!is_large(&spec, Side::Right, MEMORY_BYTES));
    }
    assert!(!is_large_release(&release_spec(1 << 20), MEMORY_BYTES));
    assert!(is_large_release(&release_spec(1 << 24), MEMORY_BYTES));
}

fn release_spec(rows: usize) -> ReleaseSpec {
    let key = hex::encode(&outer::public_key(&SEED).unwrap());
    let json = format!(
        r#"{{"version":1,"plan_hash":"{}","node":3,"rows":{rows},
        "payload":[{{"name":"l","type":"text","max_bytes":20}}],
        "recipients":[{{"name":"desk","seal_key":"{key}"}}]}}"#,
        "ab".repeat(32)
    );
    ReleaseSpec::parse(json.as_bytes()).unwrap()
}

#[test]
fn a_release_from_disk_has_the_rows_in_random_order() {
    let rows: Vec<Row> = (0..800).map(|n| (None, None, Some(format!("{n:04}")))).collect();
    let table = table(Side::Left, &rows, true);
    let spec = release_spec(1000);
    let (directory, mut bytes) = (Directory::new(), Vec::new());
    let mut go = |_| ControlFlow::Continue(());
    let parts = batches(&table, 64).map(|batch| batch.map(|table| (table.payload, table.rows)));
    let sealed = release_batches(&spec, parts, (&directory.0, TINY), &mut bytes, &mut go).unwrap();
    let mut held = Vec::new();
    let in_memory = release_table(&spec, &table.payload, table.rows, &mut held, &mut go).unwrap();
    assert_eq!((bytes.len(), sealed.bytes), (held.len(), in_memory.bytes));
    let stream = Stream {
        header: &sealed.header,
        sha256: sealed.sha256,
        source: &mut std::io::Cursor::new(&bytes),
    };
    let opened = receive_release(&spec, stream, &SEED, &Room::unlimited(), &mut go).unwrap();
    let texts: Vec<String> = opened
        .flat_map(|batch| {
            let batch = batch.unwrap();
            let column = batch
                .column(0)
                .as_any()
                .downcast_ref::<arrow_array::StringArray>()
                .unwrap()
                .clone();
            (0..column.len())
                .map(move |row| column.value(row).to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(!texts.is_sorted());
    let mut sorted = texts;
    sorted.sort();
    assert!(sorted.into_iter().eq((0..800).map(|n| format!("{n:04}"))));
    let parts = batches(&table, 64).map(|batch| batch.map(|table| (table.payload, table.rows)));
    let above = release_batches(
        &release_spec(799),
        parts,
        (&directory.0, TINY),
        &mut bytes,
        &mut go,
    );
    assert_eq!(
        above.err().map(|error| error.code()),
        Some("resource.above-bound")
    );
}
