use std::io;
use thiserror::Error;

/// Why a channel stopped. Never holds a payload byte or a key.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// The peer ended the channel in order, but another frame was expected; or an earlier error
    /// already broke the channel.
    #[error("the peer closed the channel before the step was complete")]
    Closed,
    /// The stream stopped without an orderly end, or inside a frame: possibly cut by a third party.
    #[error("the connection to the peer was cut")]
    Truncated,
    /// No progress within the stall timeout.
    #[error("the peer made no progress for {timeout_s} s")]
    Stalled { timeout_s: u64 },
    #[error("a frame of {length} bytes is longer than the {limit} bytes expected")]
    TooLarge { length: usize, limit: usize },
    #[error("a frame has {received} bytes instead of {expected}")]
    WrongLength { expected: usize, received: usize },
    /// The peer proved possession of another key than the pinned one.
    #[error("the peer presented a key that is not the expected one")]
    WrongPeerKey,
    #[error("the peer refused this machine's key")]
    RefusedByPeer,
    /// The peer does not speak this TLS, or speaks no TLS at all.
    #[error("the TLS handshake or stream is not valid")]
    Tls(#[source] rustls::Error),
    /// Our own key material is not usable.
    #[error("the channel's own key is not usable")]
    OwnKey,
    #[error("the first frame is not a hello of this protocol")]
    NotHello,
    #[error("the peer speaks channel version {received}, this side {expected}")]
    VersionMismatch { expected: u16, received: u16 },
    /// The peer runs another plan.
    #[error("the peer works on another plan")]
    WrongJob,
    #[error("the peer works on another node of the plan")]
    WrongNode,
    #[error("the peer claims this machine's own side")]
    WrongSide,
    /// A lane of another number, or of another channel.
    #[error("the peer opened another lane")]
    WrongLane,
    /// The peer sent this side's own nonce back.
    #[error("the peer repeated this side's nonce")]
    ReflectedNonce,
    #[error("the operating system gave no randomness")]
    NoRandomness,
    #[error("the connection to the peer failed")]
    Io(#[source] io::Error),
}

impl ChannelError {
    /// Whether the same step may be tried again: the peer or the network failed, no check did.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Closed | Self::Truncated | Self::Stalled { .. } | Self::Io(_)
        )
    }

    /// A stable code under `peer.` (retryable) or `protocol.` (never retried).
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Closed => "peer.closed",
            Self::Truncated => "peer.cut",
            Self::Stalled { .. } => "peer.stalled",
            Self::Io(_) => "peer.unreachable",
            Self::TooLarge { .. } | Self::WrongLength { .. } => "protocol.wrong-length",
            Self::WrongPeerKey => "protocol.wrong-peer-key",
            Self::RefusedByPeer => "protocol.refused-by-peer",
            Self::Tls(_) => "protocol.tls",
            Self::OwnKey => "protocol.own-key",
            Self::NotHello => "protocol.not-hello",
            Self::VersionMismatch { .. } => "protocol.version-mismatch",
            Self::WrongJob => "protocol.wrong-job",
            Self::WrongNode => "protocol.wrong-node",
            Self::WrongSide => "protocol.wrong-side",
            Self::WrongLane => "protocol.wrong-lane",
            Self::ReflectedNonce => "protocol.reflected-nonce",
            Self::NoRandomness => "resource.no-randomness",
        }
    }
}
