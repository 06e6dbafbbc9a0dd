use crate::FRAME_HEADER_BYTES;

/// Counts of one end of a channel, before TLS: payloads and frame headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// Units: bytes, frame headers included.
    pub sent_bytes: u64,
    /// Units: bytes, frame headers included.
    pub received_bytes: u64,
    pub sent_frames: u64,
    pub received_frames: u64,
    /// Changes of direction from receive to send.
    pub rounds: u64,
    has_received_last: bool,
}

impl Meter {
    pub(crate) fn record_send(&mut self, payload_bytes: usize) {
        self.rounds += u64::from(self.has_received_last);
        self.has_received_last = false;
        self.sent_frames += 1;
        self.sent_bytes += (payload_bytes + FRAME_HEADER_BYTES) as u64;
    }

    pub(crate) fn record_receive(&mut self, payload_bytes: usize) {
        self.has_received_last = true;
        self.received_frames += 1;
        self.received_bytes += (payload_bytes + FRAME_HEADER_BYTES) as u64;
    }
}
