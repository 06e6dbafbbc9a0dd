//! Nanoseconds per key of the OKVS on one thread: `cargo bench -p xor-psi --bench okvs [-- log2 of keys]`.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::time::Instant;

use xor_base::kernels::Block;
use xor_base::kernels::prg::Prg;
use xor_psi::okvs::{Free, Rows, Shape};

const RUNS: usize = 25;

fn main() {
    let log = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(20);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.expect("a thread").install(|| measure(1 << log));
}

fn measure(count: usize) {
    let shape = Shape::new(count).expect("a shape");
    let keys = Prg::new(Block(1)).blocks(count);
    let values = Prg::new(Block(2)).blocks(count);
    let mut table = vec![Block::ZERO; shape.table_len()];
    let mut out = vec![Block::ZERO; count];
    println!(
        "{count} keys, {shape:?}, {:.4} slots per key",
        shape.table_len() as f64 / count as f64
    );
    let mut times = [const { Vec::new() }; 4];
    for run in 0..RUNS {
        let seed = Block(run as u128);
        let [place, encode, decode, random] = &mut times;
        let rows = timed(place, || Rows::place(shape, seed, &keys).expect("rows"));
        timed(encode, || {
            rows.encode_into(&values, Free::Zero, &mut table)
                .expect("a table")
        });
        timed(decode, || rows.decode(&table, &mut out).expect("values"));
        assert!(out == values);
        let secret = Free::Random(Block(3));
        timed(random, || {
            rows.encode_into(&values, secret, &mut table).expect("a table")
        });
    }
    println!("ns/key                  fastest     mean on the processor");
    for (name, times) in ["place", "encode", "decode", "encode, random slots"]
        .into_iter()
        .zip(times)
    {
        let each = |of: fn(&Time) -> f64| times.iter().map(move |time| of(time) / count as f64 * 1e9);
        let fastest = each(|time| time.elapsed).fold(f64::INFINITY, f64::min);
        let mean = each(|time| time.on_processor).sum::<f64>() / RUNS as f64;
        println!("{name:22} {fastest:8.2} {mean:8.2}");
    }
}

/// Seconds of one run. What the system says of the time on the processor comes in ticks of milliseconds: only
/// its mean means anything. On a busy machine it is the one that repeats.
struct Time {
    elapsed: f64,
    on_processor: f64,
}

fn timed<T>(times: &mut Vec<Time>, work: impl FnOnce() -> T) -> T {
    let (start, before) = (Instant::now(), on_processor());
    let result = work();
    let elapsed = start.elapsed().as_secs_f64();
    times.push(Time {
        elapsed,
        on_processor: before
            .zip(on_processor())
            .map_or(elapsed, |(before, after)| after - before),
    });
    result
}

/// Seconds this thread has run, where the system tells.
fn on_processor() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = stat.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1e9)
}
