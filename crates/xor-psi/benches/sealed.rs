//! Seconds of a sealed join around its OPRF: `cargo bench -p xor-psi --bench sealed [-- rows [runs [MiB]]]`.
//!
//! Both players run side by side, then the analyst, as on one machine, with that much memory for the streams. The
//! ideal OPRF is not counted.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use xor_channel::memory;
use xor_psi::oprf::{Oprf, Progress, Side, ideal::IdealOprf};
use xor_psi::sealed::spec::JoinSpec;
use xor_psi::sealed::{Prepared, Room, SealedJoin, Stream, Table, hex, outer, receive_join_within};

const SEED: [u8; 32] = [7; 32];

/// Seconds by step, in the order of the first run.
#[derive(Default)]
struct Times(Vec<(String, Vec<f64>)>);

impl Times {
    fn add(&mut self, name: &str, seconds: f64) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, times)) => times.push(seconds),
            None => self.0.push((name.to_owned(), vec![seconds])),
        }
    }

    /// Seconds, and seconds on all processors, which repeat better on a busy machine.
    fn timed<T>(&mut self, name: &str, work: impl FnOnce() -> T) -> T {
        let (start, before) = (Instant::now(), processor_seconds());
        let result = work();
        self.add(name, start.elapsed().as_secs_f64());
        self.add(&format!("  {name}, processors"), processor_seconds() - before);
        result
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse().ok());
    let rows: usize = numbers.next().unwrap_or(1_000_000);
    let runs = numbers.next().unwrap_or(7);
    let memory_mib = numbers.next().map_or(u64::MAX >> 20, |mib| mib as u64);
    let spec = JoinSpec::parse(spec_json(rows).as_bytes()).expect("a specification");
    let tables = [table(rows, 0), table(rows, rows / 2)];
    let mut times = Times::default();
    for _ in 0..runs {
        run(&spec, &tables, memory_mib << 20, &mut times);
    }
    println!("{rows} rows a side           fastest   median");
    let mut sum = [0.0, 0.0];
    for (name, mut seconds) in times.0 {
        seconds.sort_by(f64::total_cmp);
        let shown = [seconds[0], seconds[seconds.len() / 2]];
        println!("{name:28} {:8.4} {:8.4}", shown[0], shown[1]);
        if !name.starts_with(' ') && !name.starts_with("(") {
            sum[0] += shown[0];
            sum[1] += shown[1];
        }
    }
    println!("{:34} {:8.4} {:8.4}", "sum", sum[0], sum[1]);
}

fn run(spec: &JoinSpec, tables: &[Table; 2], memory_bytes: u64, times: &mut Times) {
    let prepared = times.timed("players: keys", || {
        both(|side| Prepared::new(spec, side, &tables[side.index()]).expect("a table"))
    });
    let (left_oprf, right_oprf) = IdealOprf::pair().expect("an oracle");
    let (left_end, right_end) = memory::pair();
    let ends = [(left_oprf, left_end), (right_oprf, right_end)].map(|end| std::sync::Mutex::new(Some(end)));
    let exchanged = times.timed("(ideal OPRF)", || {
        both(|side| {
            let end = ends[side.index()].lock().expect("an end").take();
            let (mut oprf, mut channel) = end.expect("an end");
            let oprf: &mut dyn Oprf = &mut oprf;
            let exchanged = prepared[side.index()].exchange(oprf, &mut channel, &mut go);
            std::sync::Mutex::new(Some(exchanged.expect("an exchange")))
        })
    });
    let paths = ["left", "right"].map(|name| std::env::temp_dir().join(format!("sealed-bench-{name}")));
    let sent = times.timed("players: seal", || {
        both(|side| {
            let mut file = File::create(&paths[side.index()]).expect("a file");
            let exchanged = exchanged[side.index()].lock().expect("once").take();
            let sealed = exchanged
                .expect("once")
                .seal(&mut file, &mut go)
                .expect("a stream");
            file.flush().expect("a file");
            sealed
        })
    });
    for step in &sent[0].own_steps {
        times.add(&format!("  left: {}", step.name), step.seconds);
    }
    drop(exchanged);
    drop(prepared);
    let room = Room {
        memory_bytes,
        directory: std::env::temp_dir(),
    };
    times.timed("analyst", || {
        analyst(spec, (&sent, &paths), &room, rows_expected(tables))
    });
    let [verify, open, matched, decode] = STEPS.with_borrow(Clone::clone);
    for (name, seconds) in [
        ("verify", verify),
        ("open", open),
        ("match", matched),
        ("decode", decode),
    ] {
        times.add(&format!("  {name}"), seconds);
    }
    for path in paths {
        let _ = std::fs::remove_file(path);
    }
}

thread_local! {
    static STEPS: std::cell::RefCell<[f64; 4]> = const { std::cell::RefCell::new([0.0; 4]) };
}

fn analyst(
    spec: &JoinSpec,
    (sent, paths): (&[SealedJoin; 2], &[std::path::PathBuf; 2]),
    room: &Room,
    expected: usize,
) {
    let mut files = paths.each_ref().map(|path| File::open(path).expect("a stream"));
    let [left_file, right_file] = &mut files;
    let stream = |sent: &'_ SealedJoin| (sent.stream.header.clone(), sent.stream.sha256);
    let (left, right) = (stream(&sent[0]), stream(&sent[1]));
    let streams = [
        Stream {
            header: &left.0,
            sha256: left.1,
            source: left_file,
        },
        Stream {
            header: &right.0,
            sha256: right.1,
            source: right_file,
        },
    ];
    let mut last = Instant::now();
    let mut laps = Vec::new();
    let mut step = "";
    let mut lap = |event: Progress| {
        // Of a step that reports more than once, all of it.
        match laps.last_mut().filter(|_| event.step == step) {
            Some(lap) => *lap += last.elapsed().as_secs_f64(),
            None => laps.push(last.elapsed().as_secs_f64()),
        }
        step = event.step;
        last = Instant::now();
        ControlFlow::Continue(())
    };
    let joined = receive_join_within(spec, streams, &SEED, room, &mut lap).expect("a join");
    let rows: usize = joined.map(|batch| batch.expect("a batch").num_rows()).sum();
    assert_eq!(rows, expected);
    laps.push(last.elapsed().as_secs_f64());
    STEPS.with_borrow_mut(|steps| steps.iter_mut().zip(laps).for_each(|(to, from)| *to = from));
}

/// Of this process, in ticks of 10 ms; zero where the system does not tell.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn both<T: Send>(work: impl Fn(Side) -> T + Sync) -> [T; 2] {
    thread::scope(|scope| {
        let left = scope.spawn(|| work(Side::Left));
        let right = work(Side::Right);
        [left.join().expect("a player"), right]
    })
}

fn go(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn rows_expected(tables: &[Table; 2]) -> usize {
    tables[0].rows - tables[0].rows / 2
}

/// Accounts from `offset` on: two tables with offsets half of `rows` apart share half of them.
fn table(rows: usize, offset: usize) -> Table {
    let name = |number: usize| format!("YY_{:09}", number * 7919 % 999_999_937);
    let names: ArrayRef = Arc::new(
        (offset..offset + rows)
            .map(|n| Some(name(n)))
            .collect::<StringArray>(),
    );
    let balances: ArrayRef = Arc::new((0..rows as i64).map(Some).collect::<Int64Array>());
    let notes: ArrayRef = Arc::new(
        (0..rows)
            .map(|n| Some(format!("note {n:010}")))
            .collect::<StringArray>(),
    );
    Table {
        keys: vec![Arc::clone(&names)],
        payload: vec![names, balances, notes],
        rows,
    }
}

fn spec_json(rows: usize) -> String {
    let key = hex::encode(&outer::public_key(&SEED).expect("a key"));
    let fields = |suffix: &str| {
        format!(
            r#"{{"name":"account{suffix}","type":"text","max_bytes":16}},
               {{"name":"balance{suffix}","type":"int64"}},
               {{"name":"note{suffix}","type":"text","max_bytes":20}}"#
        )
    };
    format!(
        r#"{{"version":1,"plan_hash":"{}","node":3,"kind":"inner","opener":0,"rows":[{rows},{rows}],
        "keys":[{{"left":{{"type":"text"}},"right":{{"type":"text"}}}}],
        "payload":[[{}],[{}]],"oprf":"dh","recipients":[{{"name":"desk","seal_key":"{key}"}}]}}"#,
        "ab".repeat(32),
        fields(""),
        fields("_1"),
    )
}
