#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use xor_channel::fault::{Fault, Faulty};
use xor_channel::memory::{pair, pair_with_timeout};
use xor_channel::{ChannelError, Meter};
use xor_correlation::ideal::Ideal;

use super::*;
use crate::oprf::Output;

type Ended = (Result<Outputs, OprfError>, Meter);

fn inputs(numbers: std::ops::Range<u32>) -> Vec<Input> {
    let input = |number: u32| {
        let mut input = [0x5a; 32];
        input[..4].copy_from_slice(&number.to_le_bytes());
        input
    };
    numbers.map(input).collect()
}

fn run(oprf: &mut impl Oprf, side: Side, inputs: &[Input], sizes: Sizes, mut channel: impl Channel) -> Ended {
    let result = oprf.exchange(side, inputs, sizes, &mut channel, &mut |_| {
        ControlFlow::Continue(())
    });
    (result, channel.meter())
}

/// Both players over a channel, each in its own thread.
fn between<O: Oprf + Send>(
    ends: (&mut O, &mut O),
    (left, left_bound): (&[Input], usize),
    to_right: impl Channel,
    (right, right_bound): (&[Input], usize),
    to_left: impl Channel,
) -> (Ended, Ended) {
    let sizes = |own, peer| Sizes { own, peer };
    thread::scope(|scope| {
        let other = scope.spawn(move || {
            run(
                ends.1,
                Side::Right,
                right,
                sizes(right_bound, left_bound),
                to_left,
            )
        });
        let one = run(ends.0, Side::Left, left, sizes(left_bound, right_bound), to_right);
        (one, other.join().unwrap())
    })
}

fn exchange(left: (&[Input], usize), right: (&[Input], usize)) -> (Ended, Ended) {
    let (to_right, to_left) = pair();
    let (mut one, mut other) = (VoleOprf::new(), VoleOprf::new());
    between((&mut one, &mut other), left, to_right, right, to_left)
}

/// Over trusted VOLEs.
fn over_ideal(seed: u8) -> (VoleOprf<Ideal>, VoleOprf<Ideal>) {
    let (one, other) = Ideal::pair_from_seed([seed; 32]);
    let of = |end: Ideal| VoleOprf::over(move |_, _| Ok(end.clone()));
    (of(one), of(other))
}

fn outputs(ended: Ended) -> Outputs {
    ended.0.unwrap()
}

fn all(outputs: [&Outputs; 2]) -> HashSet<Output> {
    let both = outputs.map(|outputs| [&outputs.of_own_key, &outputs.of_peer_key]);
    both.iter()
        .flatten()
        .flat_map(|outputs| outputs.iter().copied())
        .collect()
}

#[test]
fn both_players_get_both_functions_on_their_own_inputs() {
    let (left, right) = (inputs(0..200), inputs(150..400));
    let (one, other) = exchange((&left, 5000), (&right, 4097));
    let (one, other) = (outputs(one), outputs(other));
    assert_eq!(one.of_own_key[150..], other.of_peer_key[..50]);
    assert_eq!(one.of_peer_key[150..], other.of_own_key[..50]);
    assert_eq!((one.of_own_key.len(), other.of_peer_key.len()), (200, 250));
    // No other two agree.
    assert_eq!(all([&one, &other]).len(), 2 * 400);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_overlap_at_any_bound(left in 0_u32..9000, shift in 0_u32..9000, right in 0_u32..9000, seed: u8) {
        let (left, right) = (inputs(0..left), inputs(shift..shift + right));
        let (mut one, mut other) = over_ideal(seed);
        let (to_right, to_left) = pair();
        let (one, other) = between(
            (&mut one, &mut other), (&left, left.len() + 7), to_right, (&right, right.len()), to_left,
        );
        let (one, other) = (outputs(one), outputs(other));
        let shared = left.iter().filter(|input| right.contains(input)).count();
        let mine: HashSet<Output> = one.of_own_key.iter().copied().collect();
        let theirs: HashSet<Output> = other.of_peer_key.iter().copied().collect();
        prop_assert_eq!(mine.intersection(&theirs).count(), shared);
        for (at, input) in left.iter().enumerate() {
            if let Some(found) = right.iter().position(|other| other == input) {
                prop_assert_eq!(one.of_own_key[at], other.of_peer_key[found]);
                prop_assert_eq!(one.of_peer_key[at], other.of_own_key[found]);
            }
        }
    }
}

#[test]
fn bytes_and_rounds_follow_the_bounds_alone_and_later_exchanges_are_cheaper() {
    let (mut one, mut other) = (VoleOprf::new(), VoleOprf::new());
    for (attempt, (few, many)) in [(0, 5000), (100, 6000), (5, 5)].into_iter().enumerate() {
        let (to_right, to_left) = pair();
        let (left, right) = (inputs(0..few), inputs(0..many));
        let (one, other) = between(
            (&mut one, &mut other),
            (&left, 70_000),
            to_right,
            (&right, 6000),
            to_left,
        );
        let expected =
            |own, peer| VoleOprf::sent_bytes(Directions::Both, Sizes { own, peer }, attempt == 0).unwrap();
        assert_eq!(one.1.sent_bytes, expected(70_000, 6000));
        assert_eq!(other.1.sent_bytes, expected(6000, 70_000));
        // docs/protocols/vole-oprf.md; sums and mask leave in the same trip, but with a table read in between.
        let rounds = if attempt == 0 { 8 } else { 7 };
        assert_eq!([one.1.rounds, other.1.rounds], [rounds, rounds]);
        outputs(one);
        outputs(other);
    }
}

#[test]
fn large_tables_go_shard_by_shard() {
    // The smaller side's inputs are spread over both shards too.
    let (left, right) = (inputs(0..3000), inputs(2000..2600));
    let (mut one, mut other) = over_ideal(1);
    let bound = (1 << 20) + 1;
    let (to_right, to_left) = pair();
    let (one, other) = between(
        (&mut one, &mut other),
        (&left, bound),
        to_right,
        (&right, 700),
        to_left,
    );
    let (one, other) = (outputs(one), outputs(other));
    assert_eq!(one.of_own_key[2000..2600], other.of_peer_key[..]);
    assert_eq!(one.of_peer_key[2000..2600], other.of_own_key[..]);
    assert_eq!(all([&one, &other]).len(), 2 * 3000);
}

#[test]
fn shards_cost_what_the_formula_says() {
    let (mut one, mut other) = (VoleOprf::new(), VoleOprf::new());
    let bound = (1 << 20) + 1;
    let (to_right, to_left) = pair();
    let left = inputs(0..9);
    let (one, other) = between(
        (&mut one, &mut other),
        (&left, bound),
        to_right,
        (&left, 5000),
        to_left,
    );
    let expected = |own, peer| VoleOprf::sent_bytes(Directions::Both, Sizes { own, peer }, true).unwrap();
    assert_eq!(one.1.sent_bytes, expected(bound, 5000));
    assert_eq!(other.1.sent_bytes, expected(5000, bound));
    // One more than a later exchange that follows nothing.
    assert_eq!([one.1.rounds, other.1.rounds], [8 + 8, 8 + 8]);
    assert_eq!(outputs(one).of_own_key, outputs(other).of_peer_key);
}

#[test]
fn a_million_keys_cost_less_than_24_bytes_each() {
    let sizes = Sizes {
        own: 1 << 20,
        peer: 1 << 20,
    };
    let both_ways = VoleOprf::sent_bytes(Directions::Both, sizes, true).unwrap();
    // Each direction: a table one way, corrections both ways; two directions in what one player sends.
    assert!((both_ways as f64) < 24.0 * f64::from(1 << 20), "{both_ways}");
}

#[test]
fn every_exchange_has_functions_of_its_own() {
    let same = inputs(0..30);
    let (mut one, mut other) = (VoleOprf::new(), VoleOprf::new());
    let mut seen = HashSet::new();
    for _ in 0..2 {
        let (to_right, to_left) = pair();
        let (first, second) = between(
            (&mut one, &mut other),
            (&same, 30),
            to_right,
            (&same, 30),
            to_left,
        );
        seen.extend(all([&outputs(first), &outputs(second)]));
    }
    assert_eq!(seen.len(), 4 * 30);
}

#[test]
fn what_cannot_work_is_refused_before_the_peer_is_asked() {
    let (channel, _peer) = pair();
    let sizes = Sizes { own: 2, peer: 9 };
    let (refused, meter) = run(&mut VoleOprf::new(), Side::Left, &inputs(0..3), sizes, channel);
    assert!(matches!(refused, Err(OprfError::TooManyInputs { bound: 2 })));
    assert_eq!(meter.sent_frames, 0);
    let (channel, _peer) = pair();
    let sizes = Sizes {
        own: 2,
        peer: MAX_BOUND + 1,
    };
    let (refused, meter) = run(&mut VoleOprf::new(), Side::Left, &[], sizes, channel);
    assert!(matches!(refused, Err(OprfError::BoundTooLarge { .. })));
    assert_eq!(meter.sent_frames, 0);
}

#[test]
fn cancelling_stops_at_the_next_step() {
    let (to_right, to_left) = pair();
    let sizes = Sizes { own: 9, peer: 9 };
    let cancelled = thread::scope(|scope| {
        scope.spawn(move || run(&mut VoleOprf::new(), Side::Right, &[], sizes, to_left));
        let mut channel = to_right;
        VoleOprf::new().exchange(Side::Left, &[], sizes, &mut channel, &mut |_| {
            ControlFlow::Break(())
        })
    });
    assert!(matches!(cancelled, Err(OprfError::Cancelled)));
}

/// Frames of the left player at these bounds: opening, share of the seed, base OTs, their reply, setup,
/// renewal, the group's request, its reply, setup, COTs, corrections, answers, seed and mask, the table, sums,
/// mask.
const FRAMES: u64 = 16;
const SEED_FRAME: u64 = 1;

/// What both end with when frame `at` of the left player goes wrong.
fn facing(at: u64, fault: Fault) -> (Ended, Ended) {
    let waits = matches!(fault, Fault::Drop | Fault::Stall | Fault::Swap);
    let (to_right, to_left) = pair_with_timeout(Duration::from_secs(if waits { 1 } else { 60 }));
    let faulty = Faulty::new(to_right, at, fault);
    let same = inputs(0..10);
    let (mut one, mut other) = (VoleOprf::new(), VoleOprf::new());
    between((&mut one, &mut other), (&same, 10), faulty, (&same, 10), to_left)
}

#[test]
fn frames_of_another_length_are_refused() {
    for at in 0..FRAMES {
        for fault in [
            Fault::Truncate { bytes: 1 },
            Fault::Truncate { bytes: usize::MAX },
            Fault::Extend { bytes: 16 },
            Fault::Extend { bytes: 1 << 22 },
            Fault::Replace(Vec::new()),
        ] {
            let (_, reader) = facing(at, fault.clone());
            let error = reader.0.unwrap_err();
            let channel = match &error {
                OprfError::Channel(error) => error,
                OprfError::Correlation(CorrelationError::Channel(error)) => error,
                _ => panic!("frame {at}, {fault:?}: {error}"),
            };
            assert!(matches!(
                channel,
                ChannelError::TooLarge { .. } | ChannelError::WrongLength { .. }
            ));
        }
    }
}

#[test]
fn lost_repeated_and_reordered_frames_end_in_an_error() {
    for at in 0..FRAMES {
        for fault in [Fault::Repeat, Fault::Swap, Fault::Drop, Fault::Stall] {
            let (_, reader) = facing(at, fault.clone());
            // Nobody reads a second copy of the last frame.
            let harmless = matches!(fault, Fault::Repeat) && at + 1 == FRAMES;
            assert_eq!(reader.0.is_ok(), harmless, "frame {at}, {fault:?}");
        }
    }
}

#[test]
fn a_flipped_bit_aborts_or_changes_only_what_its_sender_knows() {
    for at in 0..FRAMES {
        for bit in [0, 130, 255, 511, 700, 20_000] {
            let (one, other) = facing(at, Fault::Flip { bit });
            let (Ok(one), Ok(other)) = (&one.0, &other.0) else {
                let codes = [&one.0, &other.0].map(|end| end.as_ref().err().map_or("", OprfError::code));
                assert!(
                    codes.iter().any(|code| code.starts_with("protocol.")),
                    "frame {at}: {codes:?}"
                );
                continue;
            };
            // A left player that evaluates under another seed than it told lacks its own function, one that
            // masks or encodes something else the other; nothing else changes.
            assert_eq!(
                one.of_own_key == other.of_peer_key,
                at != SEED_FRAME,
                "frame {at}, bit {bit}"
            );
        }
    }
}

#[test]
fn a_coin_that_was_not_committed_to_is_caught() {
    let opening = [7; 32];
    let two = [opening, opening].concat();
    for (at, bytes) in [(1, two.clone()), (12, two), (15, opening.to_vec())] {
        let (_, reader) = facing(at, Fault::Replace(bytes));
        assert!(matches!(reader.0, Err(OprfError::BadCommitment)), "frame {at}");
    }
}

/// Keeps what it sends.
struct Recording<C>(C, Vec<Vec<u8>>);

impl<C: Channel> Channel for Recording<C> {
    fn send(&mut self, frame: &[u8]) -> Result<(), ChannelError> {
        self.1.push(frame.to_vec());
        self.0.send(frame)
    }

    fn receive(&mut self, limit: usize) -> Result<Vec<u8>, ChannelError> {
        self.0.receive(limit)
    }

    fn meter(&self) -> Meter {
        self.0.meter()
    }
}

#[test]
fn a_recorded_exchange_does_not_pass_a_second_time() {
    let same = inputs(0..10);
    let sizes = Sizes { own: 10, peer: 10 };
    let (to_right, to_left) = pair();
    let recorded = thread::scope(|scope| {
        scope.spawn(|| outputs(run(&mut VoleOprf::new(), Side::Right, &same, sizes, to_left)));
        let mut recording = Recording(to_right, Vec::new());
        let mut progress = |_| ControlFlow::Continue(());
        VoleOprf::new()
            .exchange(Side::Left, &same, sizes, &mut recording, &mut progress)
            .unwrap();
        recording.1
    });
    assert_eq!(recorded.len() as u64, FRAMES);
    // The same frames to the same player, which has tossed new coins.
    let (mut replay, to_left) = pair_with_timeout(Duration::from_secs(60));
    let ended = thread::scope(|scope| {
        let right = scope.spawn(|| run(&mut VoleOprf::new(), Side::Right, &same, sizes, to_left));
        for frame in &recorded {
            // The player may have hung up by now.
            let _ = replay.send(frame);
        }
        right.join().unwrap()
    });
    assert!(ended.0.unwrap_err().code().starts_with("protocol."));
}

#[test]
fn a_mirror_is_not_a_peer() {
    // Whoever sends everything back has no side of its own: its commitments are not those of the other side.
    let (mut to_mirror, mut mirror) = pair_with_timeout(Duration::from_secs(60));
    let ended = thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok(frame) = mirror.receive(1 << 26) {
                if mirror.send(&frame).is_err() {
                    break;
                }
            }
        });
        let sizes = Sizes { own: 4, peer: 4 };
        let ended = VoleOprf::new().exchange(Side::Left, &inputs(0..4), sizes, &mut to_mirror, &mut |_| {
            ControlFlow::Continue(())
        });
        drop(to_mirror);
        ended
    });
    assert!(ended.unwrap_err().code().starts_with("protocol."));
}
