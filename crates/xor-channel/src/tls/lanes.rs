//! One channel over several connections: a control lane, and data lanes for what is long.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::{Keys, PROGRESS_BYTES, Role, TlsChannel, checked_length, from_tls, is_expected};
use crate::hello::{Hello, receive_hello};
use crate::{Channel, ChannelError, MAX_FRAME_BYTES, Meter};

/// A longer payload takes the data lanes, this much on each in turn. Units: bytes.
pub const STRIPE_BYTES: usize = PROGRESS_BYTES;

/// RFC 8446, section 7.5; the context is side and lane of the sender.
const TOKEN_LABEL: &[u8] = b"EXPORTER-xor-lane";

/// How one side opens its lanes.
pub struct Meeting<'a> {
    pub role: Role,
    pub keys: &'a Keys,
    /// What the control lane's hello says.
    pub hello: Hello,
    pub stall_timeout: Duration,
}

/// A [`Channel`] over a control lane and any number of data lanes, none included.
///
/// Headers and short payloads take the control lane, so both ends know from them alone where the rest of a
/// frame comes from, and frames keep their order.
pub struct Lanes {
    control: TlsChannel,
    data: Vec<TlsChannel>,
    hello: Hello,
    is_confirmed: bool,
}

impl Lanes {
    /// Opens the control lane, then `data_lanes` others, all at once.
    ///
    /// Args: `connect` gives the next connection for a lane, counted from 0. It is asked again where the last
    /// one led to somebody who is not the peer; with none left, that is the error.
    ///
    /// # Errors
    /// As [`TlsChannel::handshake`], and those of `connect`.
    ///
    /// # Security
    /// Each lane authenticates the peer by itself. Its first frame holds a value that only the two ends of this
    /// control lane can derive, so no lane of another channel, number or side stands in for it. That is
    /// checked before the first byte of a payload takes a data lane.
    ///
    /// # Cost
    /// One round trip more than without data lanes; nothing that meters count.
    pub fn meet<E: From<ChannelError>>(
        meeting: &Meeting<'_>,
        data_lanes: u8,
        connect: &mut dyn FnMut(u8) -> Result<Option<TcpStream>, E>,
    ) -> Result<Self, E> {
        // Alone: before it is open, a listener cannot know whether its caller will open the others.
        let control = meeting.open(0..=0, connect)?;
        let data = meeting.open(1..=data_lanes, connect)?;
        let control = control.into_iter().next().ok_or(ChannelError::Closed)?;
        Ok(Self::bind(control, data, meeting.hello)?)
    }

    fn bind(control: TlsChannel, data: Vec<TlsChannel>, hello: Hello) -> Result<Self, ChannelError> {
        let mut lanes = Self {
            control,
            data,
            hello,
            is_confirmed: false,
        };
        for (hello, lane) in hellos(hello).zip(&mut lanes.data) {
            lane.send(&hello.encode(&token(&lanes.control, hello.side, hello.lane)?))?;
        }
        Ok(lanes)
    }

    /// Checks what the peer's data lanes begin with. Not earlier than needed: it has arrived by then.
    fn confirm(&mut self) -> Result<(), ChannelError> {
        if self.is_confirmed {
            return Ok(());
        }
        for (hello, lane) in hellos(self.hello).zip(&mut self.data) {
            let received = receive_hello(lane, &hello)?;
            let expected = token(&self.control, hello.side ^ 1, hello.lane)?;
            verify_slices_are_equal(&received, &expected).map_err(|_| ChannelError::WrongLane)?;
        }
        self.is_confirmed = true;
        Ok(())
    }

    /// Ends all lanes in order, as [`TlsChannel::close`] does.
    ///
    /// # Errors
    /// The first one of a lane.
    pub fn close(self) -> Result<(), ChannelError> {
        self.control.check_open()?;
        let lanes = self.data.into_iter().chain([self.control]);
        let ends: Vec<_> = lanes.map(TlsChannel::close).collect();
        ends.into_iter().collect()
    }

    fn is_striped(&self, length: usize) -> bool {
        length > STRIPE_BYTES && !self.data.is_empty()
    }

    fn send_stripes(&mut self, frame: &[u8]) -> Result<(), ChannelError> {
        let length = checked_length(frame)?;
        self.confirm()?;
        self.control
            .send_frame(length, &[])
            .map_err(|error| self.control.explain(error))?;
        let mut stripes = frame.chunks(STRIPE_BYTES);
        loop {
            for lane in &mut self.data {
                let Some(stripe) = stripes.next() else {
                    return Ok(());
                };
                lane.write(stripe).map_err(|error| lane.explain(error))?;
            }
        }
    }

    fn receive_payload(&mut self, frame: &mut [u8]) -> Result<(), ChannelError> {
        if !self.is_striped(frame.len()) {
            return self.control.receive_payload(frame);
        }
        self.confirm()?;
        let mut stripes = frame.chunks_mut(STRIPE_BYTES);
        loop {
            for lane in &mut self.data {
                let Some(stripe) = stripes.next() else {
                    return Ok(());
                };
                lane.fill(stripe, false)?;
            }
        }
    }

    fn receive_frame(&mut self, limit: usize) -> Result<Vec<u8>, ChannelError> {
        let mut frame = vec![0; self.control.receive_header(limit.min(MAX_FRAME_BYTES))?];
        self.receive_payload(&mut frame)?;
        Ok(frame)
    }

    fn receive_frame_into(&mut self, frame: &mut [u8]) -> Result<(), ChannelError> {
        let length = self.control.receive_header(frame.len().min(MAX_FRAME_BYTES))?;
        is_expected(length, frame.len())?;
        self.receive_payload(frame)
    }
}

impl Channel for Lanes {
    fn send(&mut self, frame: &[u8]) -> Result<(), ChannelError> {
        if !self.is_striped(frame.len()) {
            return self.control.send(frame);
        }
        self.control.check_open()?;
        let sent = self.send_stripes(frame);
        self.control.mark(sent)?;
        self.control.meter.record_send(frame.len());
        Ok(())
    }

    fn receive(&mut self, limit: usize) -> Result<Vec<u8>, ChannelError> {
        self.control.check_open()?;
        let received = self.receive_frame(limit);
        let frame = self.control.mark(received)?;
        self.control.meter.record_receive(frame.len());
        Ok(frame)
    }

    fn receive_exactly(&mut self, length: usize) -> Result<Vec<u8>, ChannelError> {
        let frame = self.receive(length)?;
        self.control.mark(crate::exactly(frame, length))
    }

    fn receive_into(&mut self, frame: &mut [u8]) -> Result<(), ChannelError> {
        self.control.check_open()?;
        let received = self.receive_frame_into(frame);
        self.control.mark(received)?;
        self.control.meter.record_receive(frame.len());
        Ok(())
    }

    fn meter(&self) -> Meter {
        self.control.meter
    }
}

impl Meeting<'_> {
    /// Opens some lanes at once. One that led to a stranger is tried again, the others are kept.
    fn open<E: From<ChannelError>>(
        &self,
        numbers: RangeInclusive<u8>,
        connect: &mut dyn FnMut(u8) -> Result<Option<TcpStream>, E>,
    ) -> Result<Vec<TlsChannel>, E> {
        let mut found = BTreeMap::new();
        let mut missing: Vec<_> = numbers.map(|number| (number, ChannelError::Closed)).collect();
        while !missing.is_empty() {
            let mut streams = Vec::new();
            for (number, last) in missing.drain(..) {
                streams.push((number, connect(number)?.ok_or(last)?));
            }
            for (number, shaken) in self.handshakes(streams) {
                match shaken {
                    Ok(lane) => drop(found.insert(number, lane)),
                    Err(error) if is_stranger(&error) => missing.push((number, error)),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(found.into_values().collect())
    }

    fn handshakes(&self, streams: Vec<(u8, TcpStream)>) -> Vec<(u8, Result<TlsChannel, ChannelError>)> {
        thread::scope(|scope| {
            let shake = |(number, stream)| scope.spawn(move || (number, self.handshake(stream)));
            let threads: Vec<_> = streams.into_iter().map(shake).collect();
            let shaken = threads.into_iter().map(thread::ScopedJoinHandle::join);
            shaken
                .map(|ended| ended.unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        })
    }

    fn handshake(&self, stream: TcpStream) -> Result<TlsChannel, ChannelError> {
        TlsChannel::handshake(stream, self.role, self.keys, self.stall_timeout)
    }
}

/// Whoever is at the other end has proved nothing: not the peer's mistake.
fn is_stranger(error: &ChannelError) -> bool {
    matches!(error, ChannelError::WrongPeerKey | ChannelError::Tls(_))
}

/// What the data lanes' hellos say, in order.
fn hellos(control: Hello) -> impl Iterator<Item = Hello> {
    (1..=u8::MAX).map(move |lane| Hello { lane, ..control })
}

/// What a data lane of this channel shows in place of a nonce.
fn token(control: &TlsChannel, side: u8, lane: u8) -> Result<[u8; 32], ChannelError> {
    control
        .connection
        .export_keying_material([0; 32], TOKEN_LABEL, Some(&[side, lane]))
        .map_err(from_tls)
}

#[cfg(test)]
mod tests;
