//! The OPRFs where one player holds the only key: same function as in both directions, half the cost, and a peer
//! that breaks the rules is caught.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use xor_channel::fault::{Fault, Faulty};
use xor_channel::memory::{pair, pair_with_timeout};
use xor_channel::{Channel, Meter};
use xor_psi::oprf::dh::DhOprf;
use xor_psi::oprf::ideal::IdealOprf;
use xor_psi::oprf::vole::VoleOprf;
use xor_psi::oprf::{Directions, Input, Oprf, OprfError, Outputs, Side, Sizes};

type Ended = (Result<Outputs, OprfError>, Meter);
type Ends = [Box<dyn Oprf + Send>; 2];

fn inputs(numbers: std::ops::Range<u32>) -> Vec<Input> {
    let input = |number: u32| {
        let mut input = [0xa5; 32];
        input[..4].copy_from_slice(&number.to_le_bytes());
        input
    };
    numbers.map(input).collect()
}

fn dh() -> Ends {
    [Box::new(DhOprf::new()), Box::new(DhOprf::new())]
}

fn vole() -> Ends {
    [Box::new(VoleOprf::new()), Box::new(VoleOprf::new())]
}

fn ideal() -> Ends {
    let (one, other) = IdealOprf::pair().unwrap();
    [Box::new(one), Box::new(other)]
}

/// The left player receives, the right one serves.
fn run(
    [one, other]: &mut Ends,
    (left, left_bound): (&[Input], usize),
    (right, right_bound): (&[Input], usize),
    (to_right, to_left): (impl Channel, impl Channel),
) -> [Ended; 2] {
    fn end(
        oprf: &mut dyn Oprf,
        (side, directions): (Side, Directions),
        inputs: &[Input],
        sizes: Sizes,
        mut channel: impl Channel,
    ) -> Ended {
        let mut go_on = |_| ControlFlow::Continue(());
        let result = oprf.evaluate(side, directions, inputs, sizes, &mut channel, &mut go_on);
        (result, channel.meter())
    }
    let sizes = |own, peer| Sizes { own, peer };
    thread::scope(|scope| {
        let serving = scope.spawn(move || {
            let seat = (Side::Right, Directions::Serve);
            end(
                other.as_mut(),
                seat,
                right,
                sizes(right_bound, left_bound),
                to_left,
            )
        });
        let seat = (Side::Left, Directions::Receive);
        let one = end(one.as_mut(), seat, left, sizes(left_bound, right_bound), to_right);
        [one, serving.join().unwrap()]
    })
}

fn outputs([one, other]: [Ended; 2]) -> [Outputs; 2] {
    [one.0.unwrap(), other.0.unwrap()]
}

#[test]
fn the_receiver_gets_the_senders_function_and_nobody_another() {
    for (name, make) in [("dh", dh as fn() -> Ends), ("vole", vole), ("ideal", ideal)] {
        let (left, right) = (inputs(0..200), inputs(150..400));
        let [one, other] = outputs(run(&mut make(), (&left, 300), (&right, 260), pair()));
        assert_eq!(one.of_peer_key[150..], other.of_own_key[..50], "{name}");
        assert_ne!(one.of_peer_key[149], other.of_own_key[0], "{name}");
        assert_eq!([one.of_peer_key.len(), other.of_own_key.len()], [200, 250]);
        assert!(
            one.of_own_key.is_empty() && other.of_peer_key.is_empty(),
            "{name}"
        );
    }
}

#[test]
fn shards_of_one_direction_agree() {
    let (left, right) = (inputs(0..900), inputs(700..1000));
    let bound = (1 << 20) + 1;
    let ended = run(&mut vole(), (&left, 1000), (&right, bound), pair());
    let sizes = [(1000, bound), (bound, 1000)].map(|(own, peer)| Sizes { own, peer });
    let cost = |directions, sizes| VoleOprf::sent_bytes(directions, sizes, true).unwrap();
    assert_eq!(ended[0].1.sent_bytes, cost(Directions::Receive, sizes[0]));
    assert_eq!(ended[1].1.sent_bytes, cost(Directions::Serve, sizes[1]));
    assert_eq!(ended.each_ref().map(|end| end.1.rounds), [2 * 5, 2 * 6 - 1]);
    let [one, other] = outputs(ended);
    assert_eq!(one.of_peer_key[700..], other.of_own_key[..200]);
}

#[test]
fn both_directions_cost_what_each_costs_alone() {
    let sizes = Sizes {
        own: 1 << 20,
        peer: 70_000,
    };
    let dh = |directions| DhOprf::sent_bytes(directions, sizes);
    assert_eq!(
        dh(Directions::Both),
        dh(Directions::Receive) + dh(Directions::Serve)
    );
    let vole = |directions| VoleOprf::sent_bytes(directions, sizes, true).unwrap();
    // Nonces, seeds and masks travel either way.
    let coins = 3 * 4 + 96 + 2 * 32 + 16;
    let alone = vole(Directions::Receive) + vole(Directions::Serve);
    assert!(alone - vole(Directions::Both) <= 2 * coins, "{alone}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Bytes and rounds follow from bounds alone, exactly as the protocol pages say.
    #[test]
    fn the_cost_is_the_formula(left in 0_usize..40, right in 0_usize..40, spare in 0_usize..20_000) {
        let (own, peer) = (left + spare, right + spare / 3);
        let sizes = [Sizes { own, peer }, Sizes { own: peer, peer: own }];
        let (left, right) = (inputs(0..left as u32), inputs(0..right as u32));
        let ended = run(&mut vole(), (&left, own), (&right, peer), pair());
        for ((each, sizes), directions) in ended.iter().zip(sizes).zip([Directions::Receive, Directions::Serve]) {
            prop_assert!(each.0.is_ok());
            let expected = VoleOprf::sent_bytes(directions, sizes, true).unwrap();
            prop_assert_eq!(each.1.sent_bytes, expected);
        }
        let (own, peer) = (own.min(300), peer.min(300));
        let few = (&left[..left.len().min(own)], &right[..right.len().min(peer)]);
        let ended = run(&mut dh(), (few.0, own), (few.1, peer), pair());
        let blinded = 32 * own + 4 * own.div_ceil(1 << 14);
        let served = 36 + 32 * own + 68 * own.div_ceil(1 << 14);
        prop_assert_eq!(ended[0].1.sent_bytes, blinded as u64);
        prop_assert_eq!(ended[1].1.sent_bytes, served as u64);
    }
}

/// Ends where one frame of one player goes wrong, that player first.
fn facing(ends: &mut Ends, is_receiver: bool, at: u64, fault: Fault) -> [Ended; 2] {
    let waits = matches!(fault, Fault::Drop | Fault::Stall | Fault::Swap);
    let (to_right, to_left) = pair_with_timeout(Duration::from_secs(if waits { 1 } else { 60 }));
    let faulty =
        |channel, is_faulty: bool| Faulty::new(channel, if is_faulty { at } else { u64::MAX }, fault.clone());
    let channels = (faulty(to_right, is_receiver), faulty(to_left, !is_receiver));
    let mut ended = run(ends, (&inputs(0..5), 6), (&inputs(3..9), 7), channels);
    if !is_receiver {
        ended.reverse();
    }
    ended
}

#[test]
fn a_peer_that_breaks_the_rules_is_caught() {
    for (name, make) in [("dh", dh as fn() -> Ends), ("vole", vole)] {
        for is_receiver in [true, false] {
            let honest = facing(&mut make(), is_receiver, u64::MAX, Fault::Stall);
            let frames = honest[0].1.sent_frames;
            assert!(frames > 0 && honest.iter().all(|end| end.0.is_ok()), "{name}");
            for at in 0..frames {
                for fault in [
                    Fault::Truncate { bytes: 1 },
                    Fault::Extend { bytes: 16 },
                    Fault::Replace(Vec::new()),
                    Fault::Repeat,
                    Fault::Swap,
                    Fault::Drop,
                ] {
                    let reader = &facing(&mut make(), is_receiver, at, fault.clone())[1].0;
                    // Nobody reads a second copy of the last frame.
                    let is_harmless = matches!(fault, Fault::Repeat) && at + 1 == frames;
                    let case = format!("{name}, receiver {is_receiver}, frame {at}, {fault:?}");
                    assert_eq!(reader.is_ok(), is_harmless, "{case}");
                    let code = reader.as_ref().err().map_or("peer.none", OprfError::code);
                    assert!(
                        code.starts_with("protocol.") || code.starts_with("peer."),
                        "{case}: {code}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_flipped_bit_aborts_or_changes_only_outputs() {
    for (name, make) in [("dh", dh as fn() -> Ends), ("vole", vole)] {
        for is_receiver in [true, false] {
            let frames = facing(&mut make(), is_receiver, u64::MAX, Fault::Stall)[0]
                .1
                .sent_frames;
            for at in 0..frames {
                for bit in [0, 130, 255, 700] {
                    let ended = facing(&mut make(), is_receiver, at, Fault::Flip { bit });
                    let codes = ended
                        .each_ref()
                        .map(|end| end.0.as_ref().err().map_or("", OprfError::code));
                    let has_ended = codes.iter().any(|code| code.starts_with("protocol."));
                    let agrees = match &ended.each_ref().map(|end| &end.0) {
                        [Ok(one), Ok(other)] => {
                            let (receiver, sender) = if is_receiver { (one, other) } else { (other, one) };
                            // A seed, mask or table that is not the one that was used: no key is found any more.
                            receiver.of_peer_key[3..] == sender.of_own_key[..2]
                                || receiver
                                    .of_peer_key
                                    .iter()
                                    .all(|key| !sender.of_own_key.contains(key))
                        }
                        _ => false,
                    };
                    let case = format!("{name}, receiver {is_receiver}, frame {at}, bit {bit}: {codes:?}");
                    assert!(has_ended || agrees, "{case}");
                }
            }
        }
    }
}
