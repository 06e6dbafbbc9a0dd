#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io;
use std::net::{Shutdown, TcpListener};

use super::*;
use crate::tls::public_key;

const DIALER: [u8; 32] = [1; 32];
const LISTENER: [u8; 32] = [2; 32];
const STRANGER: [u8; 32] = [3; 32];
const PATIENT: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(1);
const DATA_LANES: u8 = 2;
const LEFT: Hello = Hello {
    plan_hash: [7; 32],
    node: 3,
    side: 0,
    lane: 0,
};
const RIGHT: Hello = Hello { side: 1, ..LEFT };

fn keys(own_seed: [u8; 32], peer_seed: [u8; 32]) -> Keys {
    Keys {
        own_seed,
        expected_peer: public_key(&peer_seed).unwrap(),
    }
}

fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (dialer, listener.accept().unwrap().0)
}

fn shake(dialer: TcpStream, listener: TcpStream, patience: Duration) -> (TlsChannel, TlsChannel) {
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            TlsChannel::handshake(listener, Role::Listener, &keys(LISTENER, DIALER), patience).unwrap()
        });
        let one = TlsChannel::handshake(dialer, Role::Dialer, &keys(DIALER, LISTENER), patience).unwrap();
        (one, other.join().unwrap())
    })
}

/// Connected TLS sessions that are not yet lanes of anything: one for each lane.
fn sessions(patience: Duration) -> (Vec<TlsChannel>, Vec<TlsChannel>) {
    (0..=DATA_LANES)
        .map(|_| {
            let (dialer, listener) = sockets();
            shake(dialer, listener, patience)
        })
        .unzip()
}

fn bound(mut sessions: Vec<TlsChannel>, hello: Hello) -> Lanes {
    let control = sessions.remove(0);
    Lanes::bind(control, sessions, hello).unwrap()
}

fn lanes(patience: Duration) -> (Lanes, Lanes) {
    let (dialer, listener) = sessions(patience);
    (bound(dialer, RIGHT), bound(listener, LEFT))
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8)
        .collect()
}

fn lengths() -> Vec<usize> {
    let thresholds = [1, 2, 3, 4, 16].map(|stripes| stripes * STRIPE_BYTES);
    let around = thresholds.iter().flat_map(|at| [at - 1, *at, at + 1]);
    [0, 1, 1000]
        .into_iter()
        .chain(around)
        .chain([0, 5 << 20, 7])
        .collect()
}

#[test]
fn frames_of_every_length_keep_their_order_both_ways() {
    let (one, other) = lanes(PATIENT);
    let play = |mut lanes: Lanes| {
        for length in lengths() {
            lanes.send(&bytes(length)).unwrap();
        }
        for (index, length) in lengths().into_iter().enumerate() {
            let received = match index % 3 {
                0 => lanes.receive(MAX_FRAME_BYTES).unwrap(),
                1 => lanes.receive_exactly(length).unwrap(),
                _ => {
                    let mut frame = vec![9; length];
                    lanes.receive_into(&mut frame).unwrap();
                    frame
                }
            };
            assert!(received == bytes(length), "frame {index} of {length} bytes");
        }
        let meter = lanes.meter();
        lanes.close().unwrap();
        meter
    };
    let (mine, theirs) = thread::scope(|scope| {
        let theirs = scope.spawn(|| play(other));
        (play(one), theirs.join().unwrap())
    });
    let frames = lengths().len() as u64;
    let sent = lengths().iter().sum::<usize>() as u64 + 4 * frames;
    for meter in [mine, theirs] {
        assert_eq!((meter.sent_bytes, meter.received_bytes), (sent, sent));
        assert_eq!((meter.sent_frames, meter.received_frames), (frames, frames));
        assert_eq!(meter.rounds, 0);
    }
}

#[test]
fn lanes_carry_their_share_and_the_control_lane_the_headers() {
    let (mut one, mut other) = lanes(PATIENT);
    one.send(&bytes(4 * STRIPE_BYTES)).unwrap();
    other.receive_exactly(4 * STRIPE_BYTES).unwrap();
    for lane in &mut one.data {
        lane.send(b"next").unwrap();
    }
    one.control.send(b"next").unwrap();
    for lane in other.data.iter_mut().chain([&mut other.control]) {
        assert_eq!(lane.receive_exactly(4).unwrap(), b"next");
    }
}

#[test]
fn a_channel_without_data_lanes_is_one_connection() {
    let (dialer, listener) = sockets();
    let (one, other) = shake(dialer, listener, PATIENT);
    let (mut one, mut other) = (bound(vec![one], RIGHT), bound(vec![other], LEFT));
    one.send(&bytes(3 * STRIPE_BYTES)).unwrap();
    assert!(other.receive_exactly(3 * STRIPE_BYTES).unwrap() == bytes(3 * STRIPE_BYTES));
    one.close().unwrap();
    other.close().unwrap();
}

/// What the listener gets whose dialer does something else with its sessions than it should.
fn facing(change: impl FnOnce(&mut Vec<TlsChannel>) -> Hello) -> ChannelError {
    let (mut dialer, listener) = sessions(PATIENT);
    let hello = change(&mut dialer);
    let mut other = bound(listener, LEFT);
    let mut one = bound(dialer, hello);
    let _ = one.control.send_frame(2 * STRIPE_BYTES, &[]);
    other.receive_exactly(2 * STRIPE_BYTES).unwrap_err()
}

#[test]
fn a_lane_of_another_number_or_channel_is_refused() {
    let swapped = facing(|sessions| {
        sessions.swap(1, 2);
        RIGHT
    });
    assert!(matches!(swapped, ChannelError::WrongLane), "{swapped:?}");

    // Both lanes are the peer's own and well numbered, but belong to another control lane.
    let (mut first, _) = sessions(PATIENT);
    let (second, listener) = sessions(PATIENT);
    let control = first.remove(0);
    let mut other = bound(listener, LEFT);
    let mut second = second.into_iter();
    let mut true_control = second.next().unwrap();
    let _cheat = Lanes::bind(control, second.collect(), RIGHT).unwrap();
    true_control.send_frame(2 * STRIPE_BYTES, &[]).unwrap();
    let refused = other.receive_exactly(2 * STRIPE_BYTES).unwrap_err();
    assert!(matches!(refused, ChannelError::WrongLane), "{refused:?}");
    assert!(matches!(other.send(b"x"), Err(ChannelError::Closed)), "broken");
}

#[test]
fn a_lane_of_another_plan_node_or_side_is_refused() {
    let plan = facing(|_| Hello {
        plan_hash: [8; 32],
        ..RIGHT
    });
    assert!(matches!(plan, ChannelError::WrongJob), "{plan:?}");
    let node = facing(|_| Hello { node: 4, ..RIGHT });
    assert!(matches!(node, ChannelError::WrongNode), "{node:?}");
    let side = facing(|_| LEFT);
    assert!(matches!(side, ChannelError::WrongSide), "{side:?}");
}

#[test]
fn what_was_said_on_one_lane_does_not_open_another() {
    let (mut dialer, listener) = sessions(PATIENT);
    let first = Hello { lane: 1, ..RIGHT };
    let said = first.encode(&token(&dialer[0], 1, 1).unwrap());
    for lane in &mut dialer[1..] {
        lane.send(&said).unwrap();
    }
    dialer[0].send_frame(2 * STRIPE_BYTES, &[]).unwrap();
    let refused = bound(listener, LEFT)
        .receive_exactly(2 * STRIPE_BYTES)
        .unwrap_err();
    assert!(matches!(refused, ChannelError::WrongLane), "{refused:?}");
}

#[test]
fn nothing_of_a_payload_leaves_before_the_lanes_are_checked() {
    let (mut dialer, listener) = sessions(PATIENT);
    let mut one = bound(listener, LEFT);
    for lane in &mut dialer[1..] {
        lane.send(b"no hello").unwrap();
    }
    assert!(matches!(
        one.send(&bytes(2 * STRIPE_BYTES)),
        Err(ChannelError::NotHello)
    ));
    assert!(dialer[1].receive(crate::hello::HELLO_BYTES).is_ok());
    drop(one);
    assert!(matches!(dialer[1].receive(1), Err(ChannelError::Truncated)));
}

#[test]
fn a_lane_that_says_nothing_or_stops_is_stalled() {
    let (mut dialer, listener) = sessions(SHORT);
    dialer[0].send_frame(2 * STRIPE_BYTES, &[]).unwrap();
    let silent = bound(listener, LEFT)
        .receive_exactly(2 * STRIPE_BYTES)
        .unwrap_err();
    assert!(matches!(silent, ChannelError::Stalled { .. }), "{silent:?}");

    let (mut one, mut other) = lanes(SHORT);
    one.control.send_frame(2 * STRIPE_BYTES, &[]).unwrap();
    one.data[0].write(&bytes(STRIPE_BYTES)).unwrap();
    let stopped = other.receive_exactly(2 * STRIPE_BYTES).unwrap_err();
    assert!(matches!(stopped, ChannelError::Stalled { .. }), "{stopped:?}");
}

#[test]
fn a_lane_that_ends_early_is_a_cut_whether_in_order_or_not() {
    for in_order in [true, false] {
        let (mut one, mut other) = lanes(PATIENT);
        one.control.send_frame(2 * STRIPE_BYTES, &[]).unwrap();
        let mut lane = one.data.pop().unwrap();
        one.data[0].write(&bytes(STRIPE_BYTES)).unwrap();
        lane.write(&bytes(STRIPE_BYTES - 1)).unwrap();
        if in_order {
            lane.close().unwrap();
        } else {
            drop(lane);
        }
        let ended = other.receive_exactly(2 * STRIPE_BYTES).unwrap_err();
        assert!(matches!(ended, ChannelError::Truncated), "{ended:?}");
        assert!(matches!(other.receive(1), Err(ChannelError::Closed)));
        assert!(matches!(other.close(), Err(ChannelError::Closed)));
    }
}

#[test]
fn a_stripe_that_comes_twice_takes_the_place_of_the_next_and_no_memory() {
    let (mut one, mut other) = lanes(PATIENT);
    one.send(&bytes(2 * STRIPE_BYTES)).unwrap();
    one.data[0].write(&bytes(STRIPE_BYTES)).unwrap();
    one.send(&bytes(4 * STRIPE_BYTES)).unwrap();
    assert!(other.receive_exactly(2 * STRIPE_BYTES).unwrap() == bytes(2 * STRIPE_BYTES));
    // Frames are framed on the control lane, so a peer that repeats changes its own message and no other one.
    assert!(other.receive_exactly(4 * STRIPE_BYTES).unwrap() != bytes(4 * STRIPE_BYTES));
}

#[test]
fn lengths_are_refused_before_a_data_lane_is_read() {
    let (mut one, mut other) = lanes(PATIENT);
    one.control.send_frame(MAX_FRAME_BYTES + 1, &[]).unwrap();
    assert!(matches!(
        other.receive(usize::MAX),
        Err(ChannelError::TooLarge { .. })
    ));
    let (mut one, mut other) = lanes(PATIENT);
    one.send(&bytes(STRIPE_BYTES + 1)).unwrap();
    assert!(matches!(
        other.receive_into(&mut vec![0; STRIPE_BYTES + 2]),
        Err(ChannelError::WrongLength { .. })
    ));
    assert!(matches!(other.receive(1), Err(ChannelError::Closed)));
    assert!(matches!(
        one.send(&vec![0; MAX_FRAME_BYTES + 1]),
        Err(ChannelError::TooLarge { .. })
    ));
}

/// Opens both ends; the listener finds `before` on each lane ahead of the peer.
fn met(before: impl Fn(u8) -> Vec<TcpStream>) -> (Lanes, Lanes) {
    let (mut dialers, mut listeners) = (Vec::new(), Vec::new());
    for lane in 0..=DATA_LANES {
        let (dialer, listener) = sockets();
        let strangers = before(lane).into_iter();
        dialers.push(vec![dialer].into_iter());
        listeners.push(strangers.chain([listener]).collect::<Vec<_>>().into_iter());
    }
    let meet = |role, keys: &Keys, hello, mut sockets: Vec<std::vec::IntoIter<TcpStream>>| {
        let meeting = Meeting {
            role,
            keys,
            hello,
            stall_timeout: PATIENT,
        };
        Lanes::meet(&meeting, DATA_LANES, &mut |lane| {
            Ok::<_, ChannelError>(sockets[usize::from(lane)].next())
        })
        .unwrap()
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| meet(Role::Listener, &keys(LISTENER, DIALER), LEFT, listeners));
        let one = meet(Role::Dialer, &keys(DIALER, LISTENER), RIGHT, dialers);
        (one, other.join().unwrap())
    })
}

#[test]
fn a_stranger_on_any_lane_does_not_keep_the_peer_out() {
    let garbage = |_| {
        let (mut stranger, taken) = sockets();
        io::Write::write_all(&mut stranger, b"GET / HTTP/1.1\r\n\r\n").unwrap();
        vec![taken]
    };
    let other_key = |lane| {
        let (stranger, taken) = sockets();
        thread::spawn(move || {
            let _ = TlsChannel::handshake(stranger, Role::Dialer, &keys(STRANGER, LISTENER), PATIENT);
        });
        if lane == 1 { vec![] } else { vec![taken] }
    };
    for (mut one, mut other) in [met(garbage), met(other_key)] {
        one.send(&bytes(3 * STRIPE_BYTES)).unwrap();
        assert!(other.receive(MAX_FRAME_BYTES).unwrap() == bytes(3 * STRIPE_BYTES));
    }
}

#[test]
fn a_lane_that_nobody_opens_is_the_error_of_who_connects() {
    let (dialer, listener) = sockets();
    let other = thread::spawn(move || {
        let keys = keys(LISTENER, DIALER);
        let channel = TlsChannel::handshake(listener, Role::Listener, &keys, PATIENT);
        channel.unwrap().receive(1)
    });
    let own = keys(DIALER, LISTENER);
    let meeting = Meeting {
        role: Role::Dialer,
        keys: &own,
        hello: RIGHT,
        stall_timeout: PATIENT,
    };
    let mut sockets = vec![dialer].into_iter();
    let met = Lanes::meet(&meeting, DATA_LANES, &mut |_| {
        Ok::<_, ChannelError>(sockets.next())
    });
    assert!(matches!(met.err(), Some(ChannelError::Closed)));
    assert!(matches!(other.join().unwrap(), Err(ChannelError::Truncated)));
}

#[test]
fn a_refused_lane_tells_the_handshakes_error_once_nobody_is_left() {
    let (mut stranger, taken) = sockets();
    io::Write::write_all(&mut stranger, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    stranger.shutdown(Shutdown::Write).unwrap();
    let own = keys(LISTENER, DIALER);
    let meeting = Meeting {
        role: Role::Listener,
        keys: &own,
        hello: LEFT,
        stall_timeout: PATIENT,
    };
    let mut sockets = vec![taken].into_iter();
    let met = Lanes::meet(&meeting, 0, &mut |_| Ok::<_, ChannelError>(sockets.next()));
    assert!(matches!(met.err(), Some(ChannelError::Tls(_))));
}
