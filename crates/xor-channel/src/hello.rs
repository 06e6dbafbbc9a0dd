//! The first frame each way: both machines mean the same step of the same plan.

use crate::{Channel, ChannelError};

const MAGIC: [u8; 4] = *b"XORC";
/// The version of the channel and of every protocol over it.
pub const VERSION: u16 = 1;
/// Magic, version, plan hash, node, side, lane, nonce.
pub const HELLO_BYTES: usize = 4 + 2 + 32 + 4 + 1 + 1 + 32;

/// What this machine expects to work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    pub plan_hash: [u8; 32],
    /// The node of the placed plan.
    pub node: u32,
    /// 0 hosts the left input, 1 the right.
    pub side: u8,
    /// 0 is the control lane; data lanes follow.
    pub lane: u8,
}

/// Fresh randomness of both sides, from which an attempt gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonces {
    pub own: [u8; 32],
    pub peer: [u8; 32],
}

/// Sends this side's hello, checks the peer's and returns both nonces.
///
/// # Errors
/// `NotHello`, `VersionMismatch`, `WrongJob`, `WrongNode`, `WrongSide`, `WrongLane`,
/// `ReflectedNonce`, or an error of the channel.
///
/// # Security
/// Runs inside an authenticated channel, so a mismatch is a mistake or a hostile peer.
///
/// # Cost
/// 80 bytes each way, frame headers included; no round of its own beyond one exchange.
pub fn exchange_hello(channel: &mut dyn Channel, hello: &Hello) -> Result<Nonces, ChannelError> {
    let mut own = [0; 32];
    aws_lc_rs::rand::fill(&mut own).map_err(|_| ChannelError::NoRandomness)?;
    channel.send(&hello.encode(&own))?;
    let peer = receive_hello(channel, hello)?;
    if peer == own {
        return Err(ChannelError::ReflectedNonce);
    }
    Ok(Nonces { own, peer })
}

/// Receives the peer's hello and gives its last field: a nonce, or a lane's token.
pub(crate) fn receive_hello(channel: &mut dyn Channel, hello: &Hello) -> Result<[u8; 32], ChannelError> {
    let frame = channel
        .receive_exactly(HELLO_BYTES)
        .map_err(|error| match error {
            ChannelError::TooLarge { .. } | ChannelError::WrongLength { .. } => ChannelError::NotHello,
            other => other,
        })?;
    hello.check(&frame)
}

impl Hello {
    pub(crate) fn encode(&self, nonce: &[u8; 32]) -> Vec<u8> {
        [
            MAGIC.as_slice(),
            &VERSION.to_le_bytes(),
            &self.plan_hash,
            &self.node.to_le_bytes(),
            &[self.side, self.lane],
            nonce,
        ]
        .concat()
    }

    /// Checks every field of the peer's frame against what this side expects; returns its nonce.
    fn check(&self, frame: &[u8]) -> Result<[u8; 32], ChannelError> {
        let mut rest = frame;
        if take(&mut rest)? != MAGIC {
            return Err(ChannelError::NotHello);
        }
        let version = u16::from_le_bytes(take(&mut rest)?);
        if version != VERSION {
            return Err(ChannelError::VersionMismatch {
                expected: VERSION,
                received: version,
            });
        }
        if take(&mut rest)? != self.plan_hash {
            return Err(ChannelError::WrongJob);
        }
        if u32::from_le_bytes(take(&mut rest)?) != self.node {
            return Err(ChannelError::WrongNode);
        }
        let [side, lane] = take(&mut rest)?;
        if side > 1 || side == self.side {
            return Err(ChannelError::WrongSide);
        }
        if lane != self.lane {
            return Err(ChannelError::WrongLane);
        }
        let nonce = take(&mut rest)?;
        if rest.is_empty() {
            Ok(nonce)
        } else {
            Err(ChannelError::NotHello)
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ChannelError> {
    let (field, after) = rest.split_first_chunk::<N>().ok_or(ChannelError::NotHello)?;
    *rest = after;
    Ok(*field)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::fault::{Fault, Faulty};
    use crate::memory::pair;

    const LEFT: Hello = Hello {
        plan_hash: [7; 32],
        node: 3,
        side: 0,
        lane: 2,
    };
    const RIGHT: Hello = Hello { side: 1, ..LEFT };

    fn meet(peer: Hello) -> Result<Nonces, ChannelError> {
        let (mut to_right, mut to_left) = pair();
        let other = thread::spawn(move || exchange_hello(&mut to_left, &peer));
        let nonces = exchange_hello(&mut to_right, &LEFT);
        drop(other.join().unwrap());
        nonces
    }

    #[test]
    fn both_learn_the_same_two_nonces() {
        let (mut to_right, mut to_left) = pair();
        let other = thread::spawn(move || (exchange_hello(&mut to_left, &RIGHT).unwrap(), to_left.meter()));
        let nonces = exchange_hello(&mut to_right, &LEFT).unwrap();
        let (theirs, meter) = other.join().unwrap();
        assert_eq!((nonces.own, nonces.peer), (theirs.peer, theirs.own));
        assert_eq!(meter, to_right.meter());
        assert_eq!(
            (meter.sent_bytes, meter.received_bytes, meter.rounds),
            (80, 80, 0)
        );
    }

    #[test]
    fn every_field_is_checked() {
        assert!(matches!(
            meet(Hello {
                plan_hash: [8; 32],
                ..RIGHT
            }),
            Err(ChannelError::WrongJob)
        ));
        assert!(matches!(
            meet(Hello { node: 4, ..RIGHT }),
            Err(ChannelError::WrongNode)
        ));
        assert!(matches!(meet(LEFT), Err(ChannelError::WrongSide)));
        assert!(matches!(
            meet(Hello { side: 2, ..RIGHT }),
            Err(ChannelError::WrongSide)
        ));
        assert!(matches!(
            meet(Hello { lane: 0, ..RIGHT }),
            Err(ChannelError::WrongLane)
        ));
    }

    #[test]
    fn other_versions_lengths_and_protocols_are_told_apart() {
        let good = RIGHT.encode(&[1; 32]);
        let facing = |frame: Vec<u8>| {
            let (to_right, mut to_left) = pair();
            let mut faulty = Faulty::new(to_right, 0, Fault::Replace(frame));
            thread::scope(|scope| {
                scope.spawn(move || drop(exchange_hello(&mut faulty, &RIGHT)));
                exchange_hello(&mut to_left, &LEFT)
            })
        };
        let mut version = good.clone();
        version[4] = 2;
        let mut magic = good.clone();
        magic[0] = b'x';
        assert!(facing(good.clone()).is_ok());
        assert!(matches!(
            facing(version),
            Err(ChannelError::VersionMismatch {
                expected: 1,
                received: 2
            })
        ));
        for frame in [
            magic,
            good[1..].to_vec(),
            [good.as_slice(), &[0]].concat(),
            vec![],
        ] {
            assert!(matches!(facing(frame), Err(ChannelError::NotHello)));
        }
    }

    #[test]
    fn this_sides_own_nonce_is_refused() {
        let (mut to_right, mut to_left) = pair();
        let mirror = thread::spawn(move || {
            let mut frame = to_left.receive(HELLO_BYTES).unwrap();
            frame[42] = 1;
            to_left.send(&frame).unwrap();
        });
        assert!(matches!(
            exchange_hello(&mut to_right, &LEFT),
            Err(ChannelError::ReflectedNonce)
        ));
        mirror.join().unwrap();
    }

    proptest! {
        #[test]
        fn random_bytes_are_no_hello(frame in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(LEFT.check(&frame).is_err());
        }

        #[test]
        fn any_flipped_bit_before_the_nonce_is_noticed(bit in 0_usize..44 * 8) {
            let mut frame = RIGHT.encode(&[1; 32]);
            frame[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(LEFT.check(&frame).is_err());
        }
    }
}
