//! The channel between two machines: TLS 1.3, both sides authenticated by a raw Ed25519 key.
//!
//! `docs/protocols/channel.md` gives the reasons for every choice here.

mod config;
mod lanes;
mod outbox;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustls::{AlertDescription, CertificateError, Connection};

use self::outbox::Outbox;
use crate::{Channel, ChannelError, FRAME_HEADER_BYTES, MAX_FRAME_BYTES, Meter, exactly, is_expected};
pub use config::{Keys, Role, public_key};
pub use lanes::{Lanes, Meeting, STRIPE_BYTES};

/// A stall timeout starts anew after this much, either way, so a slow line may take its time but a
/// trickle cannot hold a step for ever. Units: bytes.
const PROGRESS_BYTES: usize = 1 << 16;

/// A read may wait no shorter than this: zero would mean for ever.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// More is taken for this: clocks do not count to the end of time.
const LONGEST_STALL: Duration = Duration::from_secs(24 * 60 * 60);

/// A channel over one TCP connection.
///
/// A thread of its own writes to the socket, so that [`Channel::send`] never waits for the peer to
/// read. Dropping the channel cuts the connection; [`TlsChannel::close`] ends it in order.
pub struct TlsChannel {
    connection: Connection,
    stream: TcpStream,
    inbox: Inbox,
    outbox: Outbox,
    stall_timeout: Duration,
    meter: Meter,
    is_broken: bool,
}

/// Records that the socket gave and TLS has not taken yet. TLS itself would ask for 4 KiB at a time.
struct Inbox {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Inbox {
    fn new() -> Self {
        Self {
            bytes: vec![0; 2 * PROGRESS_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// Hands on what is here, or what the socket gives; nothing stands for its end.
    fn feed(
        &mut self,
        connection: &mut Connection,
        mut stream: &TcpStream,
        deadline: Instant,
        stall_timeout: Duration,
    ) -> Result<(), ChannelError> {
        if self.start == self.end {
            let bytes = &mut self.bytes;
            self.end = wait_for(stream, deadline, stall_timeout, || stream.read(bytes))?;
            self.start = 0;
        }
        let mut rest = self.bytes.get(self.start..self.end).unwrap_or_default();
        self.start += connection.read_tls(&mut rest).map_err(from_io)?;
        Ok(())
    }
}

impl TlsChannel {
    /// Agrees on keys with the peer and checks that it holds exactly the expected one.
    ///
    /// # Errors
    /// `WrongPeerKey`, `RefusedByPeer`, `Tls`, `Truncated`, `Stalled` (the whole handshake has one
    /// stall timeout), `OwnKey`, `Io`.
    ///
    /// # Security
    /// A network attacker, and a malicious peer. When this returns to the dialer, the listener may
    /// still refuse the dialer's key: the first receive says so.
    ///
    /// # Source
    /// RFC 8446; RFC 7250 (raw public keys).
    pub fn handshake(
        stream: TcpStream,
        role: Role,
        keys: &Keys,
        stall_timeout: Duration,
    ) -> Result<Self, ChannelError> {
        let stall_timeout = stall_timeout.min(LONGEST_STALL);
        stream.set_nonblocking(false).map_err(ChannelError::Io)?;
        stream.set_nodelay(true).map_err(ChannelError::Io)?;
        let mut handshake = Handshake {
            connection: config::connection(role, keys)?,
            stream,
            deadline: Instant::now() + stall_timeout,
            stall_timeout,
        };
        handshake.run()?;
        let Handshake {
            mut connection,
            stream,
            ..
        } = handshake;
        if connection.alpn_protocol() != Some(config::ALPN) {
            return Err(ChannelError::Tls(rustls::Error::NoApplicationProtocol));
        }
        // Frames are cut into records on their way to the outbox, which has the only limit.
        connection.set_buffer_limit(None);
        let outbox = Outbox::start(&stream)?;
        Ok(Self {
            connection,
            stream,
            inbox: Inbox::new(),
            outbox,
            stall_timeout,
            meter: Meter::default(),
            is_broken: false,
        })
    }

    /// Waits until everything is sent and tells the peer that nothing follows.
    ///
    /// # Errors
    /// `Stalled` when the peer does not read; `Io` or `Truncated` when it is gone, unless it had
    /// ended the channel in order: then it has all it wanted.
    pub fn close(mut self) -> Result<(), ChannelError> {
        self.check_open()?;
        match self.finish() {
            Err(ChannelError::Truncated) if self.has_peer_closed() => Ok(()),
            result => result,
        }
    }

    fn finish(&mut self) -> Result<(), ChannelError> {
        self.connection.send_close_notify();
        self.post()?;
        self.outbox.flush(self.stall_timeout)?;
        self.stream.shutdown(Shutdown::Write).map_err(from_io)
    }

    /// Whether the peer's close_notify is here and nothing before it.
    fn has_peer_closed(&mut self) -> bool {
        // What was read counts, also when the socket is gone by now.
        let _ = self.pull(Instant::now() + SHORTEST_WAIT);
        matches!(self.connection.reader().read(&mut [0]), Ok(0))
    }

    /// Sends a header and what follows it here: the payload, or nothing if it takes other lanes.
    fn send_frame(&mut self, length: usize, payload: &[u8]) -> Result<(), ChannelError> {
        let header = (length as u32).to_le_bytes();
        self.connection.writer().write_all(&header).map_err(from_io)?;
        for part in payload.chunks(PROGRESS_BYTES) {
            self.write(part)?;
        }
        self.post()
    }

    fn write(&mut self, part: &[u8]) -> Result<(), ChannelError> {
        self.connection.writer().write_all(part).map_err(from_io)?;
        self.post()
    }

    /// Hands what TLS has to say to the writing thread.
    fn post(&mut self) -> Result<(), ChannelError> {
        let mut records = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut records).map_err(from_io)?;
        }
        if records.is_empty() {
            Ok(())
        } else {
            self.outbox.post(records, self.stall_timeout)
        }
    }

    fn receive_header(&mut self, limit: usize) -> Result<usize, ChannelError> {
        let mut header = [0; FRAME_HEADER_BYTES];
        self.fill(&mut header, true)?;
        let length = u32::from_le_bytes(header) as usize;
        if length > limit {
            return Err(ChannelError::TooLarge { length, limit });
        }
        Ok(length)
    }

    fn receive_frame(&mut self, limit: usize) -> Result<Vec<u8>, ChannelError> {
        let mut frame = vec![0; self.receive_header(limit)?];
        self.receive_payload(&mut frame)?;
        Ok(frame)
    }

    fn receive_payload(&mut self, frame: &mut [u8]) -> Result<(), ChannelError> {
        frame
            .chunks_mut(PROGRESS_BYTES)
            .try_for_each(|part| self.fill(part, false))
    }

    /// Fills `part` within one stall timeout.
    fn fill(&mut self, part: &mut [u8], starts_frame: bool) -> Result<(), ChannelError> {
        let deadline = Instant::now() + self.stall_timeout;
        let mut filled = 0;
        while let Some(rest) = part.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.connection.reader().read(rest) {
                // The peer said close_notify: orderly between frames, a cut inside one.
                Ok(0) if starts_frame && filled == 0 => return Err(ChannelError::Closed),
                Ok(0) => return Err(ChannelError::Truncated),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.pull(deadline)?,
                Err(error) => return Err(from_io(error)),
            }
        }
        Ok(())
    }

    /// Reads what the socket has and decrypts it.
    fn pull(&mut self, deadline: Instant) -> Result<(), ChannelError> {
        self.inbox
            .feed(&mut self.connection, &self.stream, deadline, self.stall_timeout)?;
        let processed = self.connection.process_new_packets();
        // Also after an error: the alert tells an honest peer why.
        let posted = self.post();
        processed.map_err(from_tls)?;
        posted
    }

    /// A peer that refuses this side says so in an alert that may lie unread behind the cut.
    fn explain(&mut self, error: ChannelError) -> ChannelError {
        if !matches!(error, ChannelError::Truncated) {
            return error;
        }
        match self.pull(Instant::now() + SHORTEST_WAIT) {
            Err(reason @ (ChannelError::RefusedByPeer | ChannelError::Tls(_))) => reason,
            _ => error,
        }
    }

    fn check_open(&self) -> Result<(), ChannelError> {
        if self.is_broken {
            Err(ChannelError::Closed)
        } else {
            Ok(())
        }
    }

    fn mark<T>(&mut self, result: Result<T, ChannelError>) -> Result<T, ChannelError> {
        self.is_broken |= result.is_err();
        result
    }
}

impl Channel for TlsChannel {
    fn send(&mut self, frame: &[u8]) -> Result<(), ChannelError> {
        self.check_open()?;
        let sent = checked_length(frame)
            .and_then(|length| self.send_frame(length, frame))
            .map_err(|error| self.explain(error));
        self.mark(sent)?;
        self.meter.record_send(frame.len());
        Ok(())
    }

    fn receive(&mut self, limit: usize) -> Result<Vec<u8>, ChannelError> {
        self.check_open()?;
        let received = self.receive_frame(limit.min(MAX_FRAME_BYTES));
        let frame = self.mark(received)?;
        self.meter.record_receive(frame.len());
        Ok(frame)
    }

    fn receive_exactly(&mut self, length: usize) -> Result<Vec<u8>, ChannelError> {
        let frame = self.receive(length)?;
        self.mark(exactly(frame, length))
    }

    fn meter(&self) -> Meter {
        self.meter
    }
}

impl Drop for TlsChannel {
    fn drop(&mut self) {
        // Frees a writing thread that waits for the peer. Failure means that the socket is gone.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn checked_length(frame: &[u8]) -> Result<usize, ChannelError> {
    if frame.len() > MAX_FRAME_BYTES {
        return Err(ChannelError::TooLarge {
            length: frame.len(),
            limit: MAX_FRAME_BYTES,
        });
    }
    Ok(frame.len())
}

/// Everything before the writing thread exists.
struct Handshake {
    connection: Connection,
    stream: TcpStream,
    deadline: Instant,
    stall_timeout: Duration,
}

impl Handshake {
    fn run(&mut self) -> Result<(), ChannelError> {
        while self.connection.is_handshaking() {
            self.write()?;
            if !self.connection.is_handshaking() {
                break;
            }
            let (connection, mut stream) = (&mut self.connection, &self.stream);
            let read = wait_for(stream, self.deadline, self.stall_timeout, || {
                connection.read_tls(&mut stream)
            })?;
            if read == 0 {
                return Err(ChannelError::Truncated);
            }
            if let Err(error) = self.connection.process_new_packets() {
                // The alert tells an honest peer why; the error below is what counts here.
                let _ = self.write();
                return Err(from_tls(error));
            }
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), ChannelError> {
        while self.connection.wants_write() {
            let wait = remaining(self.deadline, self.stall_timeout)?;
            self.stream
                .set_write_timeout(Some(wait))
                .map_err(ChannelError::Io)?;
            let written = self.connection.write_tls(&mut self.stream);
            written.map_err(|error| from_wait(error, self.stall_timeout))?;
        }
        Ok(())
    }
}

/// One read of the socket that waits until the deadline at most.
fn wait_for(
    stream: &TcpStream,
    deadline: Instant,
    stall_timeout: Duration,
    mut read: impl FnMut() -> io::Result<usize>,
) -> Result<usize, ChannelError> {
    loop {
        stream
            .set_read_timeout(Some(remaining(deadline, stall_timeout)?))
            .map_err(ChannelError::Io)?;
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(|error| from_wait(error, stall_timeout)),
        }
    }
}

fn remaining(deadline: Instant, stall_timeout: Duration) -> Result<Duration, ChannelError> {
    let remaining = deadline.saturating_duration_since(Instant::now());
    if remaining.is_zero() {
        Err(stalled(stall_timeout))
    } else {
        Ok(remaining.max(SHORTEST_WAIT))
    }
}

fn stalled(stall_timeout: Duration) -> ChannelError {
    ChannelError::Stalled {
        timeout_s: stall_timeout.as_secs(),
    }
}

/// An error of a socket that has a timeout.
fn from_wait(error: io::Error, stall_timeout: Duration) -> ChannelError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => stalled(stall_timeout),
        _ => from_io(error),
    }
}

fn from_io(error: io::Error) -> ChannelError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => ChannelError::Truncated,
        _ => ChannelError::Io(error),
    }
}

fn from_tls(error: rustls::Error) -> ChannelError {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            ChannelError::WrongPeerKey
        }
        rustls::Error::AlertReceived(
            AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::DecryptError,
        ) => ChannelError::RefusedByPeer,
        other => ChannelError::Tls(other),
    }
}

#[cfg(test)]
mod tests;
