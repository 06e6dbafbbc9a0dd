//! Base OTs: both ends agree, and nothing that is no element, vector or message passes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::time::Instant;

use common::bit;
use ml_kem::{B32, EncapsulationKey768, Key};
use xor_base::kernels::Block;
use xor_correlation::base_ot::{REPLY_BYTES, REQUEST_BYTES, Receiver, answer, group, lattice};
use xor_correlation::ot::{OtReceived, OtSent};
use xor_correlation::{CorrelationError, Domain};

/// Of one OT of the lattice: a vector, r_0 ‖ r_1 ‖ ρ, a ciphertext.
const VECTOR: usize = 1152;
const ASKED: usize = 2 * VECTOR + 32;
const CIPHERTEXT: usize = 1088;
const CHOICES: Block = Block(0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978);

fn domain() -> Domain {
    Domain::new(b"base ot test")
}

/// How many OTs gave both ends the same key. Where they did, the other key is another.
fn agreeing(received: &OtReceived, sent: &OtSent) -> usize {
    assert_eq!((received.keys.len(), sent.keys.len()), (128, 128));
    let pairs = received.keys.iter().zip(sent.keys.iter()).enumerate();
    pairs
        .filter(|(i, (key, keys))| {
            let choice = usize::from(bit(&received.choices, *i));
            assert!(**key != keys[1 - choice]);
            **key == keys[choice]
        })
        .count()
}

#[test]
fn the_receiver_gets_the_key_of_its_choice_and_only_that() {
    let receiver = Receiver::new(domain()).unwrap();
    assert_eq!(receiver.request().len(), REQUEST_BYTES);
    let (reply, sent) = answer(&domain(), receiver.request()).unwrap();
    assert_eq!(reply.len(), REPLY_BYTES);
    assert_eq!(agreeing(&receiver.finish(&reply).unwrap(), &sent), 128);
}

#[test]
fn each_half_alone_gives_the_key_of_the_choice_that_is_named() {
    let receiver = group::Receiver::new(domain(), CHOICES).unwrap();
    let (reply, sent) = group::answer(&domain(), receiver.request()).unwrap();
    let received = receiver.finish(&reply).unwrap();
    assert_eq!(
        (agreeing(&received, &sent), &received.choices[..]),
        (128, &[CHOICES][..])
    );
    let receiver = lattice::Receiver::new(domain(), CHOICES).unwrap();
    let (reply, sent) = lattice::answer(&domain(), receiver.request()).unwrap();
    let received = receiver.finish(&reply).unwrap();
    assert_eq!(
        (agreeing(&received, &sent), &received.choices[..]),
        (128, &[CHOICES][..])
    );
}

#[test]
fn choices_are_fair_and_new() {
    let mut ones = 0;
    for _ in 0..16 {
        let receiver = Receiver::new(domain()).unwrap();
        let (reply, _) = answer(&domain(), receiver.request()).unwrap();
        ones += receiver.finish(&reply).unwrap().choices[0].0.count_ones();
    }
    // 2048 fair bits: mean 1024, deviation 23.
    assert!((840..1208).contains(&ones), "{ones}");
}

fn coefficients(vector: &[u8]) -> Vec<u32> {
    let triples = vector
        .chunks_exact(3)
        .map(|each| [each[0], each[1], each[2]].map(u32::from));
    let pairs = triples.map(|[low, middle, high]| [low + middle % 16 * 256, middle / 16 + high * 16]);
    pairs.flatten().collect()
}

/// χ² of the coefficients in 64 classes of about 52.
fn chi(numbers: impl Iterator<Item = u32>) -> f64 {
    let mut seen = [0_f64; 64];
    numbers.for_each(|number| seen[(number * 64 / 3329) as usize] += 1.0);
    let total: f64 = seen.iter().sum();
    let share = |class: u32| f64::from((0..3329).filter(|n| n * 64 / 3329 == class).count() as u32) / 3329.0;
    let of = |(class, seen): (usize, &f64)| {
        let expected = total * share(class as u32);
        (seen - expected).powi(2) / expected
    };
    seen.iter().enumerate().map(of).sum()
}

#[test]
fn vectors_are_uniform_whether_they_are_chosen_or_not() {
    for choices in [Block(0), Block(u128::MAX)] {
        let receiver = lattice::Receiver::new(domain(), choices).unwrap();
        for side in [0, VECTOR] {
            let asked = receiver.request().chunks_exact(ASKED);
            let found = chi(asked.flat_map(|asked| coefficients(&asked[side..side + VECTOR])));
            // 63 degrees of freedom: mean 63, deviation 11.2; a false alarm in 2^30 runs.
            assert!((20.0..150.0).contains(&found), "{found}");
        }
        let mut seeds: Vec<&[u8]> = receiver
            .request()
            .chunks_exact(ASKED)
            .map(|asked| &asked[2 * VECTOR..])
            .collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 128);
    }
}

/// The page's formulas in plain arithmetic, over another implementation of FIPS 203.
fn another_sender(domain: &Domain, request: &[u8]) -> (Vec<u8>, Vec<[Block; 2]>) {
    let (mut reply, mut sent) = (Vec::new(), Vec::new());
    for (index, asked) in request.chunks_exact(ASKED).enumerate() {
        let index = (index as u64).to_le_bytes();
        let rho = &asked[2 * VECTOR..];
        let keys = [0_u8, 1].map(|choice| {
            let at = usize::from(choice) * VECTOR;
            let (own, other) = (&asked[at..at + VECTOR], &asked[VECTOR - at..][..VECTOR]);
            let mut wide = vec![0; 768 * 16];
            domain.fill("lattice vector", &[&index, &[choice], rho, other], &mut wide);
            let hashed = wide
                .chunks_exact(16)
                .map(|word| (u128::from_le_bytes(word.try_into().unwrap()) % 3329) as u32);
            let sums: Vec<u32> = coefficients(own)
                .iter()
                .zip(hashed)
                .map(|(one, other)| (one + other) % 3329)
                .collect();
            let mut public: Vec<u8> = sums
                .chunks_exact(2)
                .flat_map(|pair| (pair[0] + pair[1] * 4096).to_le_bytes()[..3].to_vec())
                .collect();
            public.extend(rho);
            let public: Key<EncapsulationKey768> = public.into_iter().collect();
            let public = EncapsulationKey768::new(&public).unwrap();
            let (ciphertext, shared) = public.encapsulate_deterministic(&B32::default());
            reply.extend(ciphertext);
            domain.block("lattice key", &[&index, &[choice], &shared])
        });
        sent.push(keys);
    }
    (reply, sent)
}

#[test]
fn a_sender_of_another_make_agrees() {
    let receiver = lattice::Receiver::new(domain(), CHOICES).unwrap();
    let (reply, keys) = another_sender(&domain(), receiver.request());
    let received = receiver.finish(&reply).unwrap();
    for (i, (key, keys)) in received.keys.iter().zip(keys).enumerate() {
        let choice = usize::from(bit(&received.choices, i));
        assert!(*key == keys[choice] && *key != keys[1 - choice], "OT {i}");
    }
}

#[test]
fn another_session_gives_other_keys() {
    let receiver = Receiver::new(domain()).unwrap();
    let (reply, sent) = answer(&Domain::new(b"another"), receiver.request()).unwrap();
    assert_eq!(agreeing(&receiver.finish(&reply).unwrap(), &sent), 0);
}

#[test]
fn joined_keys_need_both_keys_and_the_transcript() {
    let keys = |first: u128| OtSent {
        keys: (0..128)
            .map(|i| [Block(first + i), Block(first - i - 1)])
            .collect(),
    };
    let (one, other) = (keys(1 << 100), keys(1 << 90));
    let joined = one.joined(&other, &domain());
    let all = [
        &joined,
        &one.joined(&keys(1 << 91), &domain()),
        &keys(1 << 101).joined(&other, &domain()),
        &other.joined(&one, &domain()),
        &one.joined(&other, &Domain::new(b"another")),
    ];
    for (index, pair) in joined.keys.iter().enumerate() {
        assert!(pair[0] != pair[1]);
        assert!(
            all[1..]
                .iter()
                .all(|other| other.keys[index][0] != pair[0] && other.keys[index][1] != pair[1])
        );
    }
    // Known answer, of another BLAKE3: keyed with the domain, of label, index, choice and keys, lengths before.
    assert!(joined.keys[5][1] == Block(0x85a0_b46c_71eb_971a_e829_2767_fb8b_9695));
}

/// RFC 9496, appendix A.3: a negative, a non-canonical, a non-square encoding; the identity.
fn no_elements() -> [[u8; 32]; 4] {
    let mut negative = [0; 32];
    negative[0] = 1;
    let mut not_canonical = [0xff; 32];
    not_canonical[31] = 0x7f;
    // 26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371
    let not_square = [
        0x26, 0x94, 0x8d, 0x35, 0xca, 0x62, 0xe6, 0x43, 0xe2, 0x6a, 0x83, 0x17, 0x73, 0x32, 0xe6, 0xb6, 0xaf,
        0xeb, 0x9d, 0x08, 0xe4, 0x26, 0x8b, 0x65, 0x0f, 0x1f, 0x5b, 0xbd, 0x8d, 0x81, 0xd3, 0x71,
    ];
    [negative, not_canonical, not_square, [0; 32]]
}

fn is_refused<T>(ended: Result<T, CorrelationError>) -> bool {
    matches!(ended, Err(CorrelationError::BadElement))
}

#[test]
fn what_is_no_element_is_refused() {
    for bad in no_elements() {
        let receiver = Receiver::new(domain()).unwrap();
        for at in [0, 32, 64 * 127 + 32] {
            let mut request = receiver.request().to_vec();
            request[at..at + 32].copy_from_slice(&bad);
            assert!(is_refused(answer(&domain(), &request)));
        }
        let (mut reply, _) = answer(&domain(), receiver.request()).unwrap();
        reply[..32].copy_from_slice(&bad);
        assert!(is_refused(receiver.finish(&reply)));
    }
}

#[test]
fn coefficients_out_of_range_are_refused() {
    let receiver = Receiver::new(domain()).unwrap();
    for (index, side, pair) in [(0, 0, 0), (0, 1, 383), (63, 0, 7), (127, 1, 383)] {
        // 3329 and 4095, at the lower and the upper place of three bytes.
        for bad in [
            [0x01, 0x0d, 0x00],
            [0x00, 0x10, 0xd0],
            [0xff, 0x0f, 0x00],
            [0x00, 0xf0, 0xff],
        ] {
            let mut request = receiver.request().to_vec();
            let at = group::REQUEST_BYTES + index * ASKED + side * VECTOR + pair * 3;
            request[at..at + 3].copy_from_slice(&bad);
            assert!(is_refused(answer(&domain(), &request)), "OT {index}");
        }
    }
}

#[test]
fn messages_of_another_length_are_refused() {
    let receiver = Receiver::new(domain()).unwrap();
    let request = receiver.request();
    for cut in [0, 1, 63, group::REQUEST_BYTES, REQUEST_BYTES - 1] {
        assert!(is_refused(answer(&domain(), &request[..cut])));
    }
    assert!(is_refused(answer(&domain(), &[request, &[0; ASKED]].concat())));
    let (reply, _) = answer(&domain(), request).unwrap();
    let other = [&reply[..], &[0; 2 * CIPHERTEXT]].concat();
    for reply in [
        &reply[..0],
        &reply[..31],
        &reply[..32],
        &reply[..REPLY_BYTES - 1],
        &other,
    ] {
        let receiver = Receiver::new(domain()).unwrap();
        assert!(is_refused(receiver.finish(reply)));
    }
}

/// Both ends when the lattice's request, or the reply, is changed on the way; `None` where it was refused.
fn changed(by_sender: bool, change: impl Fn(&mut Vec<u8>), choices: Block) -> Option<(OtReceived, OtSent)> {
    let receiver = lattice::Receiver::new(domain(), choices).unwrap();
    let mut request = receiver.request().to_vec();
    if !by_sender {
        change(&mut request);
    }
    let (mut reply, sent) = lattice::answer(&domain(), &request).ok()?;
    if by_sender {
        change(&mut reply);
    }
    Some((receiver.finish(&reply).ok()?, sent))
}

#[test]
fn a_changed_vector_or_seed_spoils_its_own_ot() {
    for bit in [0, 11, 8 * VECTOR - 12, 8 * VECTOR, 16 * VECTOR, 8 * ASKED - 1] {
        for choices in [Block(0), Block(u128::MAX)] {
            let flip = |request: &mut Vec<u8>| request[3 * ASKED + bit / 8] ^= 1 << (bit % 8);
            if let Some((received, sent)) = changed(false, flip, choices) {
                assert_eq!(agreeing(&received, &sent), 127, "bit {bit}");
                assert!(!sent.keys[3].contains(&received.keys[3]));
            }
        }
    }
    let swapped = |request: &mut Vec<u8>| request[..2 * VECTOR].rotate_left(VECTOR);
    let (received, sent) = changed(false, swapped, CHOICES).unwrap();
    assert_eq!(agreeing(&received, &sent), 127);
    let repeated = |request: &mut Vec<u8>| request.copy_within(..ASKED, ASKED);
    let (received, sent) = changed(false, repeated, CHOICES).unwrap();
    assert_eq!(agreeing(&received, &sent), 127);
    let moved = |request: &mut Vec<u8>| request.rotate_left(ASKED);
    let (received, sent) = changed(false, moved, CHOICES).unwrap();
    assert_eq!(agreeing(&received, &sent), 0);
}

/// What the account of softspoken.md calls a bet: noticed if and only if the choice opens it.
#[test]
fn a_spoilt_ciphertext_spoils_the_key_of_its_choice_and_no_other() {
    for (index, side, bit) in [
        (0, 0, 0),
        (5, 1, 8 * CIPHERTEXT - 1),
        (127, 1, 7000),
        (64, 0, 300),
    ] {
        for choices in [CHOICES, Block(!CHOICES.0)] {
            let at = (2 * index + side) * CIPHERTEXT + bit / 8;
            let flip = |reply: &mut Vec<u8>| reply[at] ^= 1 << (bit % 8);
            let (received, sent) = changed(true, flip, choices).unwrap();
            let opened = usize::from(choices.0 >> index & 1 == 1) == side;
            assert_eq!(agreeing(&received, &sent), 128 - usize::from(opened));
            assert!(!opened || !sent.keys[index].contains(&received.keys[index]));
        }
    }
    for (change, agree) in [
        (
            Box::new(|reply: &mut Vec<u8>| reply.fill(0)) as Box<dyn Fn(&mut Vec<u8>)>,
            0,
        ),
        (Box::new(|reply: &mut Vec<u8>| reply.fill(0xff)), 0),
        (Box::new(|reply: &mut Vec<u8>| reply.rotate_left(CIPHERTEXT)), 0),
        (
            Box::new(|reply: &mut Vec<u8>| reply.copy_within(..2 * CIPHERTEXT, 2 * CIPHERTEXT)),
            127,
        ),
    ] {
        let (received, sent) = changed(true, change, CHOICES).unwrap();
        assert_eq!(agreeing(&received, &sent), agree);
    }
}

/// Joined keys depend on all that was said: one changed bit anywhere, and no OT agrees.
#[test]
fn a_changed_bit_of_either_message_leaves_no_key() {
    let receiver = || Receiver::new(domain()).unwrap();
    for at in [group::REQUEST_BYTES + 5, REQUEST_BYTES - 1] {
        let receiver = receiver();
        let mut request = receiver.request().to_vec();
        request[at] ^= 1;
        if let Ok((reply, sent)) = answer(&domain(), &request) {
            assert_eq!(agreeing(&receiver.finish(&reply).unwrap(), &sent), 0);
        }
    }
    for at in [group::REPLY_BYTES, REPLY_BYTES - 1] {
        let receiver = receiver();
        let (mut reply, sent) = answer(&domain(), receiver.request()).unwrap();
        reply[at] ^= 1;
        assert_eq!(agreeing(&receiver.finish(&reply).unwrap(), &sent), 0);
    }
}

/// Not a proof: catches a branch on a choice or on acceptance, which would cost a tenth and more.
#[test]
#[ignore = "needs a machine on which nothing else runs"]
fn time_does_not_depend_on_choices_or_on_acceptance() {
    let median = |run: &dyn Fn() -> f64| {
        let mut times: Vec<f64> = (0..41).map(|_| run()).collect();
        times.sort_by(f64::total_cmp);
        times[20]
    };
    let seconds = |choices: Block, spoil: bool| {
        median(&|| {
            let start = Instant::now();
            let receiver = lattice::Receiver::new(domain(), choices).unwrap();
            let asked = start.elapsed();
            let (mut reply, _) = lattice::answer(&domain(), receiver.request()).unwrap();
            if spoil {
                reply.fill(0);
            }
            let start = Instant::now();
            receiver.finish(&reply).unwrap();
            (asked + start.elapsed()).as_secs_f64()
        })
    };
    let times = [
        (Block(0), false),
        (Block(u128::MAX), false),
        (CHOICES, false),
        (CHOICES, true),
    ]
    .map(|(choices, spoil)| seconds(choices, spoil));
    for time in times {
        assert!((time / times[0] - 1.0).abs() < 0.05, "{times:?}");
    }
}
