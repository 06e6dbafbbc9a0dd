//! Byte channels between two machines: frames in order, bounded, metered.
//!
//! A protocol is written against [`Channel`] and runs unchanged between two threads
//! ([`memory::pair`]) or over mutually authenticated TLS 1.3. `docs/protocols/channel.md`
//! describes the bytes.
#![forbid(unsafe_code)]

mod error;
pub mod fault;
pub mod hello;
pub mod memory;
mod meter;
pub mod tls;

pub use error::ChannelError;
pub use meter::Meter;

/// Bytes before the payload of every frame: its length as a little-endian u32.
pub const FRAME_HEADER_BYTES: usize = 4;

/// The longest frame that any channel sends or accepts, whatever limit its reader names.
pub const MAX_FRAME_BYTES: usize = 1 << 26;

/// An ordered, reliable, two-way stream of frames to one peer.
///
/// Sending does not wait for the peer to read, so both ends may send at once and read later
/// without a deadlock; memory is bounded by what a protocol sends before it reads.
///
/// # Security
/// What arrives is the peer's choice: every length is checked before memory is taken for it, and
/// every receive names what it can accept.
pub trait Channel: Send {
    /// Sends one frame.
    ///
    /// # Errors
    /// `TooLarge` above [`MAX_FRAME_BYTES`]; `Closed`, `Io` or `Stalled` once the peer is gone.
    fn send(&mut self, frame: &[u8]) -> Result<(), ChannelError>;

    /// Receives one frame of at most `limit` bytes.
    ///
    /// # Errors
    /// `TooLarge` before any memory is taken for a longer one; `Closed` after an orderly end,
    /// `Truncated` after any other; `Stalled` when the peer stays silent.
    fn receive(&mut self, limit: usize) -> Result<Vec<u8>, ChannelError>;

    /// Receives one frame of exactly `length` bytes.
    ///
    /// # Errors
    /// As [`Channel::receive`], and `WrongLength` for a shorter frame.
    fn receive_exactly(&mut self, length: usize) -> Result<Vec<u8>, ChannelError> {
        self.receive(length).and_then(|frame| exactly(frame, length))
    }

    /// Receives one frame that fills `frame` exactly, so that a large buffer can be used again.
    ///
    /// # Errors
    /// As [`Channel::receive_exactly`].
    fn receive_into(&mut self, frame: &mut [u8]) -> Result<(), ChannelError> {
        let received = self.receive_exactly(frame.len())?;
        frame.copy_from_slice(&received);
        Ok(())
    }

    /// What went over this channel so far.
    fn meter(&self) -> Meter;
}

fn exactly(frame: Vec<u8>, length: usize) -> Result<Vec<u8>, ChannelError> {
    is_expected(frame.len(), length).map(|()| frame)
}

fn is_expected(received: usize, expected: usize) -> Result<(), ChannelError> {
    if received == expected {
        Ok(())
    } else {
        Err(ChannelError::WrongLength { expected, received })
    }
}
