//! Peers that break the protocol: caught, with the probability that the protocol pages state.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::thread;
use std::time::Duration;

use common::*;
use xor_base::kernels::block::as_bytes;
use xor_base::kernels::{Block, prg::Prg};
use xor_base::wiped::Wiped;
use xor_channel::ChannelError;
use xor_channel::fault::{Fault, Faulty};
use xor_channel::memory::pair_with_timeout;
use xor_correlation::base_ot::{REPLY_BYTES, REQUEST_BYTES, group};
use xor_correlation::ot::{OtReceived, OtSent};
use xor_correlation::softspoken::{self, extension_bytes, setup_bytes};
use xor_correlation::vole::{Vole, VoleReceived, VoleSent};
use xor_correlation::{CorrelationError, Domain};

const SLOTS: usize = 9;
/// Request, the group's reply, setup, extension, answers.
const OF_RECEIVER: u64 = 5;
/// Reply, setup, renewal, the group's request, corrections, sums.
const OF_SENDER: u64 = 6;

type Ended<T> = Result<T, CorrelationError>;

/// What receiver and sender end with when the `at`-th frame of one of them goes wrong.
fn facing(by_sender: bool, at: u64, fault: Fault) -> (Ended<VoleReceived>, Ended<VoleSent>) {
    let waits = matches!(fault, Fault::Drop | Fault::Stall | Fault::Swap);
    let (left, right) = pair_with_timeout(Duration::from_secs(if waits { 1 } else { 60 }));
    // A fault at a frame that is never reached is none.
    let of = |is_faulty: bool| if is_faulty { at } else { u64::MAX };
    let mut left = Faulty::new(left, of(!by_sender), fault.clone());
    let mut right = Faulty::new(right, of(by_sender), fault);
    let (mut one, mut other) = lpn_pair(8);
    thread::scope(|scope| {
        let sender = scope.spawn(move || other.exchange(counts(0, SLOTS), &mut right).map(|made| made.1));
        let received = one.exchange(counts(SLOTS, 0), &mut left).map(|made| made.0);
        // An end that gave up must not keep the other waiting.
        drop(left);
        if received.is_err() {
            assert!(matches!(
                one.exchange(counts(1, 0), &mut xor_channel::memory::pair().0),
                Err(CorrelationError::SessionEnded)
            ));
        }
        (received, sender.join().unwrap())
    })
}

#[test]
fn frames_of_another_length_are_refused_by_whoever_reads_them() {
    for (by_sender, frames) in [(false, OF_RECEIVER), (true, OF_SENDER)] {
        for at in 0..frames {
            for fault in [
                Fault::Truncate { bytes: 1 },
                Fault::Truncate { bytes: usize::MAX },
                Fault::Extend { bytes: 16 },
                Fault::Extend { bytes: 1 << 24 },
                Fault::Replace(Vec::new()),
            ] {
                let (received, sent) = facing(by_sender, at, fault.clone());
                let reader = if by_sender { received.err() } else { sent.err() };
                assert!(
                    matches!(
                        reader,
                        Some(CorrelationError::Channel(
                            ChannelError::TooLarge { .. } | ChannelError::WrongLength { .. }
                        ))
                    ),
                    "frame {at}, {fault:?}"
                );
            }
        }
    }
}

#[test]
fn lost_repeated_and_reordered_frames_end_in_an_error() {
    for (by_sender, frames) in [(false, OF_RECEIVER), (true, OF_SENDER)] {
        for at in 0..frames {
            for fault in [Fault::Repeat, Fault::Swap, Fault::Drop, Fault::Stall] {
                let (received, sent) = facing(by_sender, at, fault.clone());
                // Nobody reads a second copy of the last frame; who sends it may find the channel closed.
                let harmless = matches!(fault, Fault::Repeat) && at + 1 == frames;
                let reader_is_fine = if by_sender { received.is_ok() } else { sent.is_ok() };
                assert_eq!(reader_is_fine, harmless, "frame {at}, {fault:?}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_never_gives_a_wrong_correlation() {
    for (by_sender, frames) in [(false, OF_RECEIVER), (true, OF_SENDER)] {
        for at in 0..frames {
            for bit in [0, 77, 130, 255, 1003, 16_000, 900_001] {
                match facing(by_sender, at, Fault::Flip { bit }) {
                    // Only a half that the reader's choice does not open.
                    (Ok(received), Ok(sent)) => {
                        assert!(
                            if by_sender { at == 1 || at == 4 } else { at == 2 },
                            "frame {at}, bit {bit}"
                        );
                        assert_vole(&received, &sent, SLOTS);
                    }
                    (received, sent) => {
                        let codes = [received.err(), sent.err()].map(|error| error.map_or("", |e| e.code()));
                        assert!(
                            codes.iter().any(|code| code.starts_with("protocol.")),
                            "{codes:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn other_bytes_of_the_right_length_are_refused() {
    for (at, size) in [(0, REQUEST_BYTES), (1, 32), (2, setup_bytes(8)), (4, 16)] {
        let blocks = Prg::new(Block(7)).blocks(size.div_ceil(16));
        let bytes = as_bytes(&blocks)[..size].to_vec();
        let (received, sent) = facing(false, at, Fault::Replace(bytes));
        assert!(received.is_err() || sent.is_err());
    }
    let renewal = extension_bytes(8, 128);
    let sizes = [
        REPLY_BYTES,
        setup_bytes(8),
        renewal,
        group::REQUEST_BYTES,
        560 * 17 * 16,
        32,
    ];
    for (at, size) in sizes.into_iter().enumerate() {
        for fill in [0, 0xff, 0x5a] {
            let (received, _) = facing(true, at as u64, Fault::Replace(vec![fill; size]));
            let code = received.err().unwrap().code();
            assert!(code.starts_with("protocol."), "frame {at}: {code}");
        }
    }
}

/// Or the receiver's secrets would stand on lattices alone.
#[test]
fn keys_of_the_other_direction_are_part_of_every_key() {
    let another = group::Receiver::new(Domain::new(b"another"), Block(5)).unwrap();
    let (reply, _) = group::answer(&Domain::new(b"another"), another.request()).unwrap();
    for (by_sender, at, frame) in [(true, 3, another.request()), (false, 1, &reply)] {
        let (_, sent) = facing(by_sender, at, Fault::Replace(frame.to_vec()));
        assert!(matches!(sent.err(), Some(CorrelationError::InconsistentTrees)));
    }
}

/// 128 random OTs from a trusted party.
fn dealt(seed: u128) -> (OtSent, OtReceived) {
    let mut prg = Prg::new(Block(seed));
    let choices = vec![prg.block()];
    let keys: Vec<[Block; 2]> = (0..128).map(|_| [prg.block(), prg.block()]).collect();
    let chosen = keys
        .iter()
        .enumerate()
        .map(|(i, keys)| keys[usize::from(bit(&choices, i))]);
    let received = OtReceived {
        keys: chosen.collect(),
        choices,
    };
    (
        OtSent {
            keys: Wiped::new(keys),
        },
        received,
    )
}

/// Where the setup's two masked sums of OT `index` start.
fn masked_sum(tree_depth: usize, index: usize) -> usize {
    index * 32 + index / tree_depth * 64
}

#[test]
fn a_spoilt_seed_is_caught_if_and_only_if_the_choice_opens_it() {
    let domain = Domain::new(b"selective");
    let (sent, received) = dealt(1);
    for tree_depth in [2, 5, 8] {
        let (_, setup) = softspoken::Receiver::new(domain, tree_depth, &sent).unwrap();
        let mut caught = 0;
        for index in 0..128 {
            let mut spoilt = setup.clone();
            spoilt[masked_sum(tree_depth, index)] ^= 4;
            let ended = softspoken::Sender::new(domain, tree_depth, &received, &spoilt);
            assert_eq!(ended.is_err(), !bit(&received.choices, index), "OT {index}");
            caught += usize::from(ended.is_err());
        }
        // One half, because choices are fair.
        assert!((30..98).contains(&caught), "{caught}");
    }
}

#[test]
fn spoilt_proofs_of_the_trees_are_always_caught() {
    let domain = Domain::new(b"selective");
    let (sent, received) = dealt(2);
    let (_, setup) = softspoken::Receiver::new(domain, 4, &sent).unwrap();
    assert!(softspoken::Sender::new(domain, 4, &received, &setup).is_ok());
    for tree in 0..32 {
        for byte in [0, 31, 32, 63] {
            let mut spoilt = setup.clone();
            spoilt[tree * 192 + 128 + byte] ^= 1;
            let ended = softspoken::Sender::new(domain, 4, &received, &spoilt);
            assert!(matches!(ended.err(), Some(CorrelationError::InconsistentTrees)));
        }
    }
}
