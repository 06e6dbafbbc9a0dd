//! Nanoseconds per VOLE slot, one thread per player: `cargo bench -p xor-correlation`.
#![allow(clippy::unwrap_used)]

use std::thread;
use std::time::{Duration, Instant};

use xor_channel::Channel;
use xor_channel::memory::pair;
use xor_correlation::vole::{LpnVole, Vole};
use xor_correlation::{Counts, Seat};

/// 2^20 keys in tables 1.31 times as long.
const SLOTS: usize = 1_373_000;

fn run(tree_depth: usize, slots: usize, attempts: usize) -> Vec<(Duration, u64)> {
    let (mut left, mut right) = pair();
    let of = |seat| LpnVole::new(b"bench", seat, tree_depth).unwrap();
    let (mut one, mut other) = (of(Seat::Zero), of(Seat::One));
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..attempts {
                other
                    .exchange(
                        Counts {
                            receive: 0,
                            send: slots,
                        },
                        &mut right,
                    )
                    .unwrap();
            }
        });
        (0..attempts)
            .map(|_| {
                let before = left.meter();
                let start = Instant::now();
                one.exchange(
                    Counts {
                        receive: slots,
                        send: 0,
                    },
                    &mut left,
                )
                .unwrap();
                let after = left.meter();
                let bytes =
                    after.sent_bytes + after.received_bytes - before.sent_bytes - before.received_bytes;
                (start.elapsed(), bytes)
            })
            .collect()
    })
}

fn main() {
    for tree_depth in [4, 8] {
        for slots in [1, SLOTS] {
            for (attempt, (time, bytes)) in run(tree_depth, slots, 5).into_iter().enumerate() {
                println!(
                    "k {tree_depth}, {slots} slots, attempt {attempt}: {:.1} ms, {:.1} ns per slot, {bytes} bytes",
                    time.as_secs_f64() * 1e3,
                    time.as_secs_f64() * 1e9 / slots as f64,
                );
            }
        }
    }
}
