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
const ATTEMPTS: usize = 4;

/// What one attempt took a player: on the clock, and of this thread's processor time, which other work on
/// the machine does not count into.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    clock: Duration,
    processor: Duration,
}

fn processor() -> Duration {
    // Linux: nanoseconds on a processor, nanoseconds waiting for one, slices.
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let spent = stat.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(spent.unwrap_or(0))
}

fn attempts(mut vole: LpnVole, counts: Counts, mut channel: impl Channel) -> Vec<Took> {
    (0..ATTEMPTS)
        .map(|_| {
            let (clock, before) = (Instant::now(), processor());
            vole.exchange(counts, &mut channel).unwrap();
            Took {
                clock: clock.elapsed(),
                processor: processor().saturating_sub(before),
            }
        })
        .collect()
}

fn main() {
    for tree_depth in [4, 8] {
        for slots in [1, SLOTS] {
            let (left, right) = pair();
            let of = |seat| LpnVole::new(b"bench", seat, tree_depth).unwrap();
            let counts = Counts {
                receive: slots,
                send: 0,
            };
            let (receiver, sender) = thread::scope(|scope| {
                let sender = scope.spawn(|| attempts(of(Seat::One), counts.mirrored(), right));
                (attempts(of(Seat::Zero), counts, left), sender.join().unwrap())
            });
            println!("k = {tree_depth}, {slots} slots");
            for (attempt, (receiver, sender)) in receiver.iter().zip(&sender).enumerate() {
                let ns = |time: Duration| time.as_nanos() as f64 / slots as f64;
                println!(
                    "  attempt {attempt}: {:?} on the clock, {:.1} ns per slot; receiver {:?}, {:.1}; sender {:?}, {:.1}",
                    receiver.clock,
                    ns(receiver.clock),
                    receiver.processor,
                    ns(receiver.processor),
                    sender.processor,
                    ns(sender.processor),
                );
            }
        }
    }
}
