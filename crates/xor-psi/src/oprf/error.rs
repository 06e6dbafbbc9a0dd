use thiserror::Error;
use xor_channel::ChannelError;
use xor_correlation::CorrelationError;

use crate::okvs::OkvsError;

/// Why an exchange stopped. Names the stage only: no value, row or element.
#[derive(Debug, Error)]
pub enum OprfError {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// Checked before anything is sent.
    #[error("the table has more distinct keys than its declared bound of {bound} rows")]
    TooManyInputs { bound: usize },
    /// Above what the back end can address.
    #[error("a bound of {bound} rows is above the limit of {limit}")]
    BoundTooLarge { bound: usize, limit: usize },
    #[error("the peer's public key is not a valid group element")]
    BadPublicKey,
    #[error("the peer sent this player's own public key back")]
    ReflectedPublicKey,
    #[error("the peer sent a blinded element that is not valid")]
    BadBlindedElement,
    #[error("the peer sent an evaluated element that is not valid")]
    BadEvaluatedElement,
    #[error("the peer's proof of a correct evaluation does not verify")]
    BadProof,
    /// An input hashed to the identity (probability 2^-252), as RFC 9497 section 3.3.1 names it.
    #[error("an input cannot be blinded")]
    InvalidInput,
    /// The peer opened a commitment to something else.
    #[error("the peer's coin is not the one that it committed to")]
    BadCommitment,
    #[error(transparent)]
    Correlation(#[from] CorrelationError),
    #[error(transparent)]
    Okvs(#[from] OkvsError),
    /// The two ends of the ideal function disagree about sides or sizes.
    #[error("the two players started different exchanges")]
    PeerDisagrees,
    #[error("the operating system gave no randomness")]
    NoRandomness,
    #[error("the step was cancelled")]
    Cancelled,
}

impl OprfError {
    /// A stable code: `peer.` is retryable, `protocol.` never.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Channel(error) => error.code(),
            Self::TooManyInputs { .. } => "resource.above-bound",
            Self::BoundTooLarge { .. } => "resource.bound-too-large",
            Self::BadPublicKey => "protocol.bad-public-key",
            Self::ReflectedPublicKey => "protocol.reflected-public-key",
            Self::BadBlindedElement => "protocol.bad-blinded-element",
            Self::BadEvaluatedElement => "protocol.bad-evaluated-element",
            Self::BadProof => "protocol.bad-proof",
            Self::InvalidInput => "protocol.invalid-input",
            Self::BadCommitment => "protocol.bad-commitment",
            Self::Correlation(error) => error.code(),
            Self::Okvs(error) => error.code(),
            Self::PeerDisagrees => "protocol.peer-disagrees",
            Self::NoRandomness => "resource.no-randomness",
            Self::Cancelled => "usage.cancelled",
        }
    }
}
