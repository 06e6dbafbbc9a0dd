use thiserror::Error;
use xor_base::BaseError;
use xor_channel::ChannelError;

/// Why a correlation was not made. Names the stage only; after any of these the session is over.
#[derive(Debug, Error)]
pub enum CorrelationError {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// Checked before anything is sent.
    #[error("{count} correlations at once are above the limit of {limit}")]
    TooMany { count: usize, limit: usize },
    #[error("a tree depth of {depth} is not between 2 and 8")]
    TreeDepth { depth: usize },
    #[error("the peer sent a base OT element that is not valid")]
    BadElement,
    /// The peer's seed trees contradict themselves: it tried to learn this player's choices.
    #[error("the peer's OT seed trees are not consistent")]
    InconsistentTrees,
    /// The peer's extension contradicts itself: it tried to learn Δ.
    #[error("the peer's OT extension is not consistent")]
    InconsistentExtension,
    /// The peer's corrections contradict themselves: it tried to learn noise positions.
    #[error("the peer's VOLE corrections are not consistent")]
    InconsistentVole,
    /// An earlier error or abort ended this session.
    #[error("this session has ended; a new one is needed")]
    SessionEnded,
    /// The two ends of an ideal correlation disagree about roles or counts.
    #[error("the two players asked for different correlations")]
    PeerDisagrees,
    #[error("the operating system gave no randomness")]
    NoRandomness,
}

impl CorrelationError {
    /// A stable code: `peer.` is retryable, `protocol.` never.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Channel(error) => error.code(),
            Self::TooMany { .. } => "resource.too-many-correlations",
            Self::TreeDepth { .. } => "protocol.bad-parameters",
            Self::BadElement => "protocol.bad-element",
            Self::InconsistentTrees => "protocol.inconsistent-trees",
            Self::InconsistentExtension => "protocol.inconsistent-extension",
            Self::InconsistentVole => "protocol.inconsistent-vole",
            Self::SessionEnded => "protocol.session-ended",
            Self::PeerDisagrees => "protocol.peer-disagrees",
            Self::NoRandomness => "resource.no-randomness",
        }
    }
}

impl From<BaseError> for CorrelationError {
    fn from(_: BaseError) -> Self {
        Self::NoRandomness
    }
}
