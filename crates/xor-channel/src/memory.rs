//! Two ends of a channel inside one process.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::{Channel, ChannelError, MAX_FRAME_BYTES, Meter};

const DEFAULT_STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// One end of an in-process channel; the other end may live in another thread.
#[derive(Debug)]
pub struct MemoryChannel {
    outgoing: Sender<Vec<u8>>,
    incoming: Receiver<Vec<u8>>,
    stall_timeout: Duration,
    meter: Meter,
}

/// Makes two connected ends with a stall timeout of a minute.
#[must_use]
pub fn pair() -> (MemoryChannel, MemoryChannel) {
    pair_with_timeout(DEFAULT_STALL_TIMEOUT)
}

/// Makes two connected ends that wait at most `stall_timeout` for a frame.
#[must_use]
pub fn pair_with_timeout(stall_timeout: Duration) -> (MemoryChannel, MemoryChannel) {
    let (to_right, from_left) = mpsc::channel();
    let (to_left, from_right) = mpsc::channel();
    let end = |outgoing, incoming| MemoryChannel {
        outgoing,
        incoming,
        stall_timeout,
        meter: Meter::default(),
    };
    (end(to_right, from_right), end(to_left, from_left))
}

impl Channel for MemoryChannel {
    fn send(&mut self, frame: &[u8]) -> Result<(), ChannelError> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(ChannelError::TooLarge {
                length: frame.len(),
                limit: MAX_FRAME_BYTES,
            });
        }
        self.outgoing
            .send(frame.to_vec())
            .map_err(|_| ChannelError::Closed)?;
        self.meter.record_send(frame.len());
        Ok(())
    }

    fn receive(&mut self, limit: usize) -> Result<Vec<u8>, ChannelError> {
        let limit = limit.min(MAX_FRAME_BYTES);
        let frame = self
            .incoming
            .recv_timeout(self.stall_timeout)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => ChannelError::Stalled {
                    timeout_s: self.stall_timeout.as_secs(),
                },
                RecvTimeoutError::Disconnected => ChannelError::Closed,
            })?;
        if frame.len() > limit {
            return Err(ChannelError::TooLarge {
                length: frame.len(),
                limit,
            });
        }
        self.meter.record_receive(frame.len());
        Ok(frame)
    }

    fn meter(&self) -> Meter {
        self.meter
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_in_order_and_are_counted() {
        let (mut left, mut right) = pair();
        left.send(b"one").unwrap();
        left.send(b"").unwrap();
        assert_eq!(right.receive(3).unwrap(), b"one");
        assert_eq!(right.receive_exactly(0).unwrap(), b"");
        right.send(b"back").unwrap();
        right.send(b"again").unwrap();
        assert_eq!(right.meter().rounds, 1);
        assert_eq!(right.meter().received_bytes, 4 + 3 + 4);
        assert_eq!(right.meter().sent_bytes, 4 + 4 + 4 + 5);
        assert_eq!(left.meter().rounds, 0);
    }

    #[test]
    fn unexpected_lengths_are_refused() {
        let (mut left, mut right) = pair();
        left.send(b"four").unwrap();
        left.send(b"four").unwrap();
        assert!(matches!(
            right.receive(3),
            Err(ChannelError::TooLarge { length: 4, limit: 3 })
        ));
        assert!(matches!(
            right.receive_exactly(5),
            Err(ChannelError::WrongLength {
                expected: 5,
                received: 4
            })
        ));
    }

    #[test]
    fn a_silent_and_a_vanished_peer_are_told_apart() {
        let (left, mut right) = pair_with_timeout(Duration::from_millis(1));
        assert!(matches!(right.receive(1), Err(ChannelError::Stalled { .. })));
        drop(left);
        assert!(matches!(right.receive(1), Err(ChannelError::Closed)));
        assert!(matches!(right.send(b"x"), Err(ChannelError::Closed)));
    }
}
