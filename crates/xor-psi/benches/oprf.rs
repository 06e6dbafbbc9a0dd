//! Seconds of one exchange over VOLE, one thread per player: `cargo bench -p xor-psi --bench oprf [-- log2 of keys, runs]`.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use xor_channel::Channel;
use xor_channel::memory::pair;
use xor_psi::oprf::vole::VoleOprf;
use xor_psi::oprf::{Input, Oprf, Side, Sizes};

fn inputs(numbers: std::ops::Range<u64>) -> Vec<Input> {
    let input = |number: u64| *blake3::hash(&number.to_le_bytes()).as_bytes();
    numbers.map(input).collect()
}

/// What this thread has run, where the system tells: other work on the machine does not count into it.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let spent = stat.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(spent.unwrap_or(0))
}

fn player(
    side: Side,
    inputs: &[Input],
    runs: usize,
    mut channel: impl Channel,
) -> Vec<(Duration, Duration, u64)> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build()
        .unwrap();
    pool.install(|| {
        let sizes = Sizes {
            own: inputs.len(),
            peer: inputs.len(),
        };
        let mut oprf = VoleOprf::new();
        (0..runs)
            .map(|_| {
                let (clock, before) = (Instant::now(), processor());
                let sent = channel.meter().sent_bytes;
                oprf.exchange(side, inputs, sizes, &mut channel, &mut |_| {
                    ControlFlow::Continue(())
                })
                .unwrap();
                (
                    clock.elapsed(),
                    processor().saturating_sub(before),
                    channel.meter().sent_bytes - sent,
                )
            })
            .collect()
    })
}

fn main() {
    let mut numbers = std::env::args().filter_map(|word| word.parse().ok());
    let (log, runs) = (numbers.next().unwrap_or(20), numbers.next().unwrap_or(5));
    let count = 1_u64 << log;
    let (left, right) = (inputs(0..count), inputs(count / 2..count + count / 2));
    let (to_right, to_left) = pair();
    let (left, right) = thread::scope(|scope| {
        let other = scope.spawn(|| player(Side::Right, &right, runs, to_left));
        (player(Side::Left, &left, runs, to_right), other.join().unwrap())
    });
    println!("2^{log} keys each, both directions");
    for (run, (left, right)) in left.iter().zip(&right).enumerate() {
        println!(
            "  {run}: {:?} on the clock; on the processor {:?} and {:?}; {:.2} bytes per key and direction",
            left.0,
            left.1,
            right.1,
            left.2 as f64 / count as f64,
        );
    }
}
