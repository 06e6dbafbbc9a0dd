//! A channel whose outgoing frames go wrong, for tests against a hostile or broken peer.

use crate::{Channel, ChannelError, Meter};

/// What happens to one frame.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Inverts one bit, counted modulo the frame's length.
    Flip { bit: usize },
    /// Cuts bytes off the end.
    Truncate { bytes: usize },
    /// Appends zeros.
    Extend { bytes: usize },
    /// Sends the frame twice.
    Repeat,
    /// Sends the frame after the next one.
    Swap,
    /// Loses the frame.
    Drop,
    /// Loses this frame and every later one.
    Stall,
    /// Sends other bytes instead.
    Replace(Vec<u8>),
}

/// Applies one fault to the `at`-th frame sent, counted from 0.
#[derive(Debug)]
pub struct Faulty<C> {
    inner: C,
    at: u64,
    fault: Fault,
    sent: u64,
    held: Option<Vec<u8>>,
}

impl<C: Channel> Faulty<C> {
    #[must_use]
    pub fn new(inner: C, at: u64, fault: Fault) -> Self {
        Self {
            inner,
            at,
            fault,
            sent: 0,
            held: None,
        }
    }

    fn send_wrongly(&mut self, frame: &[u8]) -> Result<(), ChannelError> {
        let mut bytes = frame.to_vec();
        match self.fault.clone() {
            Fault::Flip { bit } => {
                let count = bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(bit / 8 % count) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Fault::Truncate { bytes: cut } => bytes.truncate(frame.len().saturating_sub(cut)),
            Fault::Extend { bytes: more } => bytes.resize(frame.len() + more, 0),
            Fault::Repeat => self.inner.send(frame)?,
            Fault::Swap => {
                self.held = Some(bytes);
                return Ok(());
            }
            Fault::Drop | Fault::Stall => return Ok(()),
            Fault::Replace(other) => bytes = other,
        }
        self.inner.send(&bytes)
    }
}

impl<C: Channel> Channel for Faulty<C> {
    fn send(&mut self, frame: &[u8]) -> Result<(), ChannelError> {
        let index = self.sent;
        self.sent += 1;
        if index == self.at {
            return self.send_wrongly(frame);
        }
        if index > self.at && matches!(self.fault, Fault::Stall) {
            return Ok(());
        }
        self.inner.send(frame)?;
        match self.held.take() {
            Some(held) => self.inner.send(&held),
            None => Ok(()),
        }
    }

    fn receive(&mut self, limit: usize) -> Result<Vec<u8>, ChannelError> {
        self.inner.receive(limit)
    }

    fn meter(&self) -> Meter {
        self.inner.meter()
    }
}
