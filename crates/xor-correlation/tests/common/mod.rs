//! Two players in two threads.
#![allow(dead_code)]

use std::thread;

use xor_base::kernels::Block;
use xor_base::kernels::gf128::mul;
use xor_channel::memory::pair;
use xor_channel::{Channel, Meter};
use xor_correlation::cot::{Cot, SoftSpokenCot};
use xor_correlation::ot::{CotReceived, CotSent};
use xor_correlation::vole::{LpnVole, Vole, VoleReceived, VoleSent};
use xor_correlation::{CorrelationError, Counts, Seat};

pub type Made<R, S> = Result<(R, S), CorrelationError>;

pub fn counts(receive: usize, send: usize) -> Counts {
    Counts { receive, send }
}

pub fn lpn_pair(tree_depth: usize) -> (LpnVole, LpnVole) {
    let of = |seat| LpnVole::new(b"test session", seat, tree_depth).unwrap();
    (of(Seat::Zero), of(Seat::One))
}

pub fn cot_pair(tree_depth: usize) -> (SoftSpokenCot, SoftSpokenCot) {
    let of = |seat| SoftSpokenCot::new(b"test session", seat, tree_depth).unwrap();
    (of(Seat::Zero), of(Seat::One))
}

/// Runs `one` and `other` at both ends of a channel; the meters count this run only.
pub fn both<A: Send, B: Send>(
    one: impl FnOnce(&mut dyn Channel) -> A + Send,
    other: impl FnOnce(&mut dyn Channel) -> B + Send,
) -> ((A, Meter), (B, Meter)) {
    let (mut left, mut right) = pair();
    thread::scope(|scope| {
        let other = scope.spawn(move || {
            let made = other(&mut right);
            (made, right.meter())
        });
        let one = (one(&mut left), left.meter());
        (one, other.join().unwrap())
    })
}

pub fn exchange_voles<V: Vole + Send>(
    (one, other): (&mut V, &mut V),
    counts: Counts,
) -> [(VoleReceived, VoleSent, Meter); 2] {
    let ((one, one_meter), (other, other_meter)) = both(
        |channel| one.exchange(counts, channel).unwrap(),
        |channel| other.exchange(counts.mirrored(), channel).unwrap(),
    );
    [(one.0, one.1, one_meter), (other.0, other.1, other_meter)]
}

pub fn exchange_cots<C: Cot + Send>(
    (one, other): (&mut C, &mut C),
    counts: Counts,
) -> [(CotReceived, CotSent, Meter); 2] {
    let ((one, one_meter), (other, other_meter)) = both(
        |channel| one.exchange(counts, channel).unwrap(),
        |channel| other.exchange(counts.mirrored(), channel).unwrap(),
    );
    [(one.0, one.1, one_meter), (other.0, other.1, other_meter)]
}

/// C = A' · Δ + V in every slot.
pub fn assert_vole(received: &VoleReceived, sent: &VoleSent, slots: usize) {
    assert_eq!(
        (received.a.len(), received.c.len(), sent.v.len()),
        (slots, slots, slots)
    );
    for ((a, c), v) in received.a.iter().zip(received.c.iter()).zip(sent.v.iter()) {
        assert!(*c == mul(*a, *sent.delta) ^ *v);
    }
}

pub fn bit(words: &[Block], at: usize) -> bool {
    words[at / 128].0 >> (at % 128) & 1 == 1
}

pub fn assert_cot(received: &CotReceived, sent: &CotSent, count: usize) {
    let rounded = count.next_multiple_of(128);
    assert_eq!((received.macs.len(), sent.keys.len()), (rounded, rounded));
    for (i, (mac, key)) in received.macs.iter().zip(sent.keys.iter()).enumerate() {
        assert!(*mac == *key ^ (sent.delta & Block::mask(bit(&received.choices, i))));
    }
}
