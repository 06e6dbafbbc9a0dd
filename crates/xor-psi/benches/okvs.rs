//! Nanoseconds per key of the OKVS on one thread: `cargo bench -p xor-psi --bench okvs [-- log2 of keys]`.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::time::Instant;

use xor_base::kernels::Block;
use xor_base::kernels::prg::Prg;
use xor_psi::okvs::{Free, Rows, Shape};

const RUNS: usize = 15;

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
    let mut best = [f64::INFINITY; 4];
    for run in 0..RUNS {
        let seed = Block(run as u128);
        let mut times = [0.0; 4];
        let rows = timed(&mut times[0], || Rows::place(shape, seed, &keys).expect("rows"));
        timed(&mut times[1], || {
            rows.encode_into(&values, Free::Zero, &mut table)
                .expect("a table")
        });
        timed(&mut times[2], || rows.decode(&table, &mut out).expect("values"));
        assert!(out == values);
        let secret = Free::Random(Block(3));
        timed(&mut times[3], || {
            rows.encode_into(&values, secret, &mut table).expect("a table")
        });
        for (best, time) in best.iter_mut().zip(times) {
            *best = best.min(time / count as f64 * 1e9);
        }
    }
    let [place, encode, decode, random] = best;
    println!("place {place:6.2} ns/key");
    println!(
        "encode {encode:6.2} ns/key placed, {:6.2} from keys",
        encode + place
    );
    println!("encode {random:6.2} ns/key placed, with random free slots");
    println!(
        "decode {decode:6.2} ns/key placed, {:6.2} from keys",
        decode + place
    );
}

fn timed<T>(seconds: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = (Instant::now(), on_processor());
    let result = work();
    *seconds = match (start.1, on_processor()) {
        (Some(start), Some(end)) => end - start,
        _ => start.0.elapsed().as_secs_f64(),
    };
    result
}

/// Seconds this thread has run, where the system tells: a busy machine then disturbs less.
fn on_processor() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = stat.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1e9)
}
