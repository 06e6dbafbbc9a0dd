#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::HashSet;
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use xor_channel::fault::{Fault, Faulty};
use xor_channel::memory::{pair, pair_with_timeout};
use xor_channel::tls::{Keys, Role, TlsChannel, public_key};
use xor_channel::{ChannelError, Meter};

use super::*;
use crate::oprf::ideal::IdealOprf;

type Ended = (Result<Outputs, OprfError>, Meter);

fn inputs(numbers: std::ops::Range<u32>) -> Vec<Input> {
    numbers
        .map(|number| {
            let mut input = [0x5a; 32];
            input[..4].copy_from_slice(&number.to_le_bytes());
            input
        })
        .collect()
}

fn run(mut oprf: impl Oprf, side: Side, inputs: &[Input], sizes: Sizes, mut channel: impl Channel) -> Ended {
    let result = oprf.exchange(side, inputs, sizes, &mut channel, &mut |_| {
        ControlFlow::Continue(())
    });
    (result, channel.meter())
}

/// Runs both players; each has its own thread, as two machines would.
fn exchange(batch: usize, left: (&[Input], usize), right: (&[Input], usize)) -> (Ended, Ended) {
    let (to_right, to_left) = pair();
    between(batch, left, to_right, right, to_left)
}

fn between(
    batch: usize,
    (left, left_bound): (&[Input], usize),
    to_right: impl Channel,
    (right, right_bound): (&[Input], usize),
    to_left: impl Channel,
) -> (Ended, Ended) {
    let sizes = Sizes {
        own: left_bound,
        peer: right_bound,
    };
    let mirrored = Sizes {
        own: right_bound,
        peer: left_bound,
    };
    thread::scope(|scope| {
        let other = scope.spawn(move || run(DhOprf { batch }, Side::Right, right, mirrored, to_left));
        let one = run(DhOprf { batch }, Side::Left, left, sizes, to_right);
        (one, other.join().unwrap())
    })
}

fn outputs(ended: Ended) -> Outputs {
    ended.0.unwrap()
}

#[test]
fn both_players_get_both_functions_on_their_own_inputs() {
    let (left, right) = (inputs(0..20), inputs(15..40));
    let (one, other) = exchange(8, (&left, 30), (&right, 25));
    let (one, other) = (outputs(one), outputs(other));
    assert_eq!(one.of_own_key[15..], other.of_peer_key[..5]);
    assert_eq!(one.of_peer_key[15..], other.of_own_key[..5]);
    assert_eq!((one.of_own_key.len(), one.of_peer_key.len()), (20, 20));
    let all: HashSet<Output> = [
        one.of_own_key,
        one.of_peer_key,
        other.of_own_key,
        other.of_peer_key,
    ]
    .iter()
    .flat_map(|outputs| outputs.iter().copied())
    .collect();
    assert_eq!(all.len(), 40 + 40);
}

#[test]
fn the_ideal_twin_agrees_on_who_shares_what() {
    let (left, right) = (inputs(0..7), inputs(3..9));
    let (mut one_end, mut other_end) = IdealOprf::pair_from_seed([1; 32]);
    let (mut to_right, mut to_left) = pair();
    for _ in 0..2 {
        let sizes = Sizes { own: 8, peer: 9 };
        let mirrored = Sizes { own: 9, peer: 8 };
        let (one, other) = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                other_end.exchange(Side::Right, &right, mirrored, &mut to_left, &mut |_| {
                    ControlFlow::Continue(())
                })
            });
            let one = one_end.exchange(Side::Left, &left, sizes, &mut to_right, &mut |_| {
                ControlFlow::Continue(())
            });
            (one.unwrap(), thread.join().unwrap().unwrap())
        });
        assert_eq!(one.of_own_key[3..], other.of_peer_key[..4]);
        assert_eq!(one.of_peer_key[3..], other.of_own_key[..4]);
        assert_ne!(one.of_own_key, one.of_peer_key);
    }
}

#[test]
fn the_ideal_twin_refuses_other_sizes() {
    let (one_end, other_end) = IdealOprf::pair().unwrap();
    let (to_right, to_left) = pair();
    let other = thread::spawn(move || run(other_end, Side::Right, &[], Sizes { own: 2, peer: 1 }, to_left));
    let one = run(one_end, Side::Left, &[], Sizes { own: 2, peer: 2 }, to_right);
    assert!(matches!(one.0, Err(OprfError::PeerDisagrees)));
    assert!(matches!(
        other.join().unwrap().0,
        Err(OprfError::PeerDisagrees | OprfError::Channel(_))
    ));
}

#[test]
fn every_exchange_has_its_own_key() {
    let same = inputs(0..3);
    let (first, _) = exchange(8, (&same, 3), (&same, 3));
    let (second, _) = exchange(8, (&same, 3), (&same, 3));
    let (first, second) = (outputs(first), outputs(second));
    assert!(
        first
            .of_own_key
            .iter()
            .all(|output| !second.of_own_key.contains(output))
    );
    assert!(
        first
            .of_peer_key
            .iter()
            .all(|output| !second.of_peer_key.contains(output))
    );
}

#[test]
fn empty_tables_and_empty_bounds_work() {
    for (left, right) in [(0, 0), (0, 3), (3, 0), (1, 9)] {
        let (one, other) = exchange(4, (&[], left), (&[], right));
        assert!(outputs(one).of_peer_key.is_empty());
        assert!(outputs(other).of_own_key.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Bytes, frames and rounds follow from bounds alone, exactly as the protocol page says.
    #[test]
    fn the_cost_is_the_formula_whatever_the_inputs(
        left_bound in 0_usize..40, right_bound in 0_usize..40, batch in 1_usize..20,
        left_share in 0.0..=1.0, right_share in 0.0..=1.0,
    ) {
        let count = |bound: usize, share: f64| (bound as f64 * share) as u32;
        let (left, right) = (inputs(0..count(left_bound, left_share)), inputs(0..count(right_bound, right_share)));
        let (one, other) = exchange(batch, (&left, left_bound), (&right, right_bound));
        for ((result, meter), own, peer) in [(one, left_bound, right_bound), (other, right_bound, left_bound)] {
            prop_assert!(result.is_ok());
            let (own_batches, peer_batches) = (own.div_ceil(batch), peer.div_ceil(batch));
            let sent = 36 + 32 * own + 4 * own_batches + 32 * peer + 68 * peer_batches;
            prop_assert_eq!(meter.sent_bytes, sent as u64);
            prop_assert_eq!(meter.sent_bytes, DhOprf { batch }.cost(Directions::Both, Sizes { own, peer }));
            prop_assert_eq!(meter.sent_frames, (1 + own_batches + peer_batches) as u64);
            prop_assert_eq!(meter.rounds, u64::from(peer > 0));
        }
    }

    #[test]
    fn random_frames_end_in_a_typed_error(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
        own in 0_usize..6, peer in 0_usize..6,
    ) {
        let (to_right, mut to_left) = pair();
        frames.iter().for_each(|frame| to_left.send(frame).unwrap());
        drop(to_left);
        let (result, _) = run(DhOprf { batch: 4 }, Side::Left, &[], Sizes { own, peer }, to_right);
        prop_assert!(result.is_err());
    }
}

/// Both players over TLS and loopback, as two machines run it: neither waits for the other to read.
#[test]
fn two_machines_exchange_over_tls() {
    let (left_seed, right_seed) = ([1; 32], [2; 32]);
    let keys = |own_seed: [u8; 32], peer: [u8; 32]| Keys {
        own_seed,
        expected_peer: public_key(&peer).unwrap(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (left, right) = (inputs(0..900), inputs(500..1200));
    let patience = Duration::from_secs(60);
    let (one, other) = thread::scope(|scope| {
        let right_player = scope.spawn(|| {
            let stream = listener.accept().unwrap().0;
            let mut channel =
                TlsChannel::handshake(stream, Role::Listener, &keys(right_seed, left_seed), patience)
                    .unwrap();
            let sizes = Sizes { own: 800, peer: 1000 };
            let outputs = DhOprf { batch: 256 }
                .exchange(Side::Right, &right, sizes, &mut channel, &mut |_| {
                    ControlFlow::Continue(())
                })
                .unwrap();
            channel.close().unwrap();
            outputs
        });
        let stream = TcpStream::connect(address).unwrap();
        let mut channel =
            TlsChannel::handshake(stream, Role::Dialer, &keys(left_seed, right_seed), patience).unwrap();
        let sizes = Sizes { own: 1000, peer: 800 };
        let outputs = DhOprf { batch: 256 }
            .exchange(Side::Left, &left, sizes, &mut channel, &mut |_| {
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(
            channel.meter().sent_bytes,
            DhOprf { batch: 256 }.cost(Directions::Both, sizes)
        );
        channel.close().unwrap();
        (outputs, right_player.join().unwrap())
    });
    assert_eq!(one.of_own_key[500..], other.of_peer_key[..400]);
    assert_eq!(one.of_peer_key[500..], other.of_own_key[..400]);
}

/// Keeps what was sent and never answers.
struct Recorder(Arc<Mutex<Vec<Vec<u8>>>>);

impl Channel for Recorder {
    fn send(&mut self, frame: &[u8]) -> Result<(), ChannelError> {
        self.0.lock().unwrap().push(frame.to_vec());
        Ok(())
    }

    fn receive(&mut self, _limit: usize) -> Result<Vec<u8>, ChannelError> {
        Err(ChannelError::Closed)
    }

    fn meter(&self) -> Meter {
        Meter::default()
    }
}

fn frames_before_the_first_read(inputs: &[Input], sizes: Sizes) -> Vec<Vec<u8>> {
    let frames = Arc::new(Mutex::new(Vec::new()));
    let (result, _) = run(
        DhOprf { batch: 4 },
        Side::Left,
        inputs,
        sizes,
        Recorder(Arc::clone(&frames)),
    );
    assert!(matches!(result, Err(OprfError::Channel(ChannelError::Closed))));
    std::mem::take(&mut frames.lock().unwrap())
}

#[test]
fn key_and_elements_are_out_before_anything_is_read() {
    let frames = frames_before_the_first_read(&inputs(0..2), Sizes { own: 6, peer: 5 });
    assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), [32, 128, 64]);
    let elements: Vec<Encoded> = frames
        .iter()
        .flat_map(|frame| encodings(frame).to_vec())
        .collect();
    assert!(elements.iter().all(|encoded| Element::decode(encoded).is_some()));
    assert_eq!(elements.iter().collect::<HashSet<_>>().len(), 7);
}

#[test]
fn nothing_that_was_sent_is_sent_again() {
    let sizes = Sizes { own: 6, peer: 5 };
    let first = frames_before_the_first_read(&inputs(0..6), sizes).concat();
    let second = frames_before_the_first_read(&inputs(0..6), sizes).concat();
    let first: HashSet<&Encoded> = encodings(&first).iter().collect();
    assert!(encodings(&second).iter().all(|element| !first.contains(element)));
}

#[test]
fn a_table_above_its_bound_is_refused_before_the_peer_is_contacted() {
    for (sizes, own) in [
        (Sizes { own: 3, peer: 3 }, 4),
        (
            Sizes {
                own: MAX_BOUND + 1,
                peer: 1,
            },
            0,
        ),
    ] {
        let frames = Arc::new(Mutex::new(Vec::new()));
        let (result, _) = run(
            DhOprf::new(),
            Side::Left,
            &inputs(0..own),
            sizes,
            Recorder(Arc::clone(&frames)),
        );
        assert!(matches!(
            result,
            Err(OprfError::TooManyInputs { .. } | OprfError::BoundTooLarge { .. })
        ));
        assert!(frames.lock().unwrap().is_empty());
    }
}

#[test]
fn progress_counts_bounds_and_can_cancel() {
    let (mut to_right, to_left) = pair();
    let peer = thread::spawn(move || {
        run(
            DhOprf { batch: 4 },
            Side::Right,
            &[],
            Sizes { own: 5, peer: 6 },
            to_left,
        )
    });
    let mut seen = Vec::new();
    let sizes = Sizes { own: 6, peer: 5 };
    DhOprf { batch: 4 }
        .exchange(Side::Left, &inputs(0..1), sizes, &mut to_right, &mut |event| {
            seen.push((event.done, event.total));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(peer.join().unwrap().0.is_ok());
    assert_eq!(seen, [(4, 17), (6, 17), (10, 17), (11, 17), (15, 17), (17, 17)]);

    let (mut to_right, _to_left) = pair();
    let result = DhOprf::new().exchange(Side::Left, &[], sizes, &mut to_right, &mut |_| {
        ControlFlow::Break(())
    });
    assert!(matches!(result, Err(OprfError::Cancelled)));
}

const BATCH: usize = 4;
// What the faulty peer sends: its key, 7 elements in 2 frames, 10 evaluations in 3.
const KEY_FRAME: u64 = 0;
const ELEMENT_FRAMES: std::ops::Range<u64> = 1..3;
const EVALUATION_FRAMES: std::ops::Range<u64> = 3..6;
const ALL_FRAMES: std::ops::Range<u64> = 0..6;

/// What the honest left player gets from a right player whose `at`-th frame goes wrong.
fn facing(at: u64, fault: Fault) -> Result<Outputs, OprfError> {
    let patience = if matches!(fault, Fault::Drop | Fault::Stall | Fault::Swap) {
        2
    } else {
        60
    };
    let (to_right, to_left) = pair_with_timeout(Duration::from_secs(patience));
    let (left, right) = (inputs(0..9), inputs(5..11));
    let (one, _) = between(
        BATCH,
        (&left, 10),
        to_right,
        (&right, 7),
        Faulty::new(to_left, at, fault),
    );
    one.0
}

#[test]
fn frames_of_a_wrong_length_are_refused() {
    for at in ALL_FRAMES {
        for fault in [
            Fault::Truncate { bytes: 1 },
            Fault::Truncate { bytes: 32 },
            Fault::Truncate { bytes: usize::MAX },
            Fault::Extend { bytes: 1 },
            Fault::Extend { bytes: 32 },
            Fault::Extend { bytes: 1 << 24 },
        ] {
            let result = facing(at, fault.clone());
            assert!(
                matches!(
                    result,
                    Err(OprfError::Channel(
                        ChannelError::TooLarge { .. } | ChannelError::WrongLength { .. }
                    ))
                ),
                "frame {at}, {fault:?}: {result:?}"
            );
        }
    }
}

#[test]
fn flipped_bits_are_refused_wherever_they_could_mislead() {
    for at in ALL_FRAMES {
        for bit in [0, 7, 100, 255, 383, 1000] {
            let result = facing(at, Fault::Flip { bit });
            if ELEMENT_FRAMES.contains(&at) {
                // Another element is another guess, which the peer was free to make.
                assert!(matches!(
                    result,
                    Ok(_) | Err(OprfError::BadBlindedElement | OprfError::Channel(_))
                ));
            } else {
                assert!(result.is_err(), "frame {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn lost_repeated_and_reordered_frames_end_in_an_error() {
    for at in ALL_FRAMES {
        for fault in [Fault::Repeat, Fault::Swap, Fault::Drop, Fault::Stall] {
            let result = facing(at, fault.clone());
            // Repeating the very last frame is harmless: nobody reads it.
            let is_harmless = matches!(fault, Fault::Repeat) && at + 1 == ALL_FRAMES.end;
            assert_eq!(result.is_ok(), is_harmless, "frame {at}, {fault:?}: {result:?}");
        }
    }
}

#[test]
fn a_peer_key_that_is_no_element_is_refused() {
    for key in [[0; 32], [0xff; 32]] {
        assert!(matches!(
            facing(KEY_FRAME, Fault::Replace(key.to_vec())),
            Err(OprfError::BadPublicKey)
        ));
    }
}

#[test]
fn a_peer_key_other_than_the_one_used_fails_the_proof() {
    let other = KeyPair::generate().unwrap().public().to_vec();
    assert!(matches!(
        facing(KEY_FRAME, Fault::Replace(other)),
        Err(OprfError::BadProof)
    ));
}

#[test]
fn elements_that_are_the_identity_are_refused() {
    assert!(matches!(
        facing(ELEMENT_FRAMES.start, Fault::Replace(vec![0; BATCH * 32])),
        Err(OprfError::BadBlindedElement)
    ));
    assert!(matches!(
        facing(EVALUATION_FRAMES.start, Fault::Replace(vec![0; BATCH * 32 + 64])),
        Err(OprfError::BadEvaluatedElement)
    ));
}

#[test]
fn an_evaluation_without_a_valid_proof_is_refused() {
    let element = *KeyPair::generate().unwrap().public();
    let mut frame = [element; BATCH].as_flattened().to_vec();
    frame.resize(BATCH * 32 + 64, 1);
    for at in EVALUATION_FRAMES.start..EVALUATION_FRAMES.end - 1 {
        assert!(matches!(
            facing(at, Fault::Replace(frame.clone())),
            Err(OprfError::BadProof)
        ));
    }
}

/// Sends every frame back to its sender.
struct Mirror(std::collections::VecDeque<Vec<u8>>);

impl Channel for Mirror {
    fn send(&mut self, frame: &[u8]) -> Result<(), ChannelError> {
        self.0.push_back(frame.to_vec());
        Ok(())
    }

    fn receive(&mut self, _limit: usize) -> Result<Vec<u8>, ChannelError> {
        self.0.pop_front().ok_or(ChannelError::Closed)
    }

    fn meter(&self) -> Meter {
        Meter::default()
    }
}

#[test]
fn a_mirror_is_not_a_peer() {
    let mirror = Mirror(std::collections::VecDeque::new());
    let (result, _) = run(
        DhOprf::new(),
        Side::Left,
        &inputs(0..2),
        Sizes { own: 3, peer: 3 },
        mirror,
    );
    assert!(matches!(result, Err(OprfError::ReflectedPublicKey)));
}

#[test]
fn what_is_printed_holds_no_output() {
    let (one, _) = exchange(4, (&inputs(0..2), 2), (&[], 1));
    assert_eq!(format!("{:?}", one.0.unwrap()), "Outputs(2 inputs)");
}

/// Measures; run it alone with `cargo test -p xor-psi --lib -- --ignored --nocapture seconds_of`.
#[test]
#[ignore = "measures"]
fn seconds_of_a_full_batch_per_side() {
    let all = inputs(0..MAX_BATCH as u32);
    let start = std::time::Instant::now();
    let (one, other) = exchange(MAX_BATCH, (&all, MAX_BATCH), (&all, MAX_BATCH));
    assert!(one.0.is_ok() && other.0.is_ok());
    eprintln!(
        "{MAX_BATCH} elements per side: {:.2} s",
        start.elapsed().as_secs_f64()
    );
}
