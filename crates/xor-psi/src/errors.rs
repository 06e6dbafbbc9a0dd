//! Everything that can stop a sealed join. Messages name the stage, never a value, row or key.

use std::io;

use xor_base::BaseError;
use xor_channel::ChannelError;

use crate::oprf::OprfError;

/// Why a step stopped.
#[derive(Debug, thiserror::Error)]
pub enum PsiError {
    /// The public parameters are not what the planner writes.
    #[error("the step's parameters are not valid: {0}")]
    Spec(&'static str),
    /// Found before the peer is contacted.
    #[error("the table has more rows than its declared bound of {bound}")]
    TooManyRows { bound: usize },
    #[error("a list of this step would take more memory than there is")]
    OutOfMemory,
    #[error(transparent)]
    Table(#[from] BaseError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error(transparent)]
    Oprf(#[from] OprfError),
    #[error("the result could not be written")]
    Write(#[source] io::Error),
    #[error("a sealed stream could not be read")]
    Read(#[source] io::Error),
    #[error("the step was cancelled")]
    Cancelled,
    #[error(transparent)]
    Outer(#[from] OuterError),
    #[error(transparent)]
    Opening(#[from] OpeningError),
}

/// Why a sealed stream is refused before anything in it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OuterError {
    #[error("a recipient's seal key is not a key")]
    BadSealKey,
    #[error("the header of a sealed stream is not in its one written form")]
    MalformedHeader,
    #[error("the header of a sealed stream does not belong to this step")]
    WrongHeader,
    #[error("the two sealed streams belong to different attempts")]
    AttemptsDiffer,
    #[error("a sealed stream comes from the other side")]
    WrongSide,
    #[error("this key is not among the recipients of the result")]
    NotARecipient,
    #[error("the key of a sealed stream does not open: another recipient, plan, attempt or header")]
    WrongKey,
    #[error("a sealed stream has a wrong length")]
    WrongLength,
    #[error("a sealed stream is not the one that was signed")]
    WrongDigest,
    #[error("a chunk of a sealed stream is forged, repeated, missing or out of order")]
    BadChunk,
}

/// What only the analyst finds, inside streams that verified: one of the players did not follow the
/// protocol. Nothing of it may reach a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    #[error("openers are repeated or out of order")]
    RepeatedOpener,
    #[error("labels are repeated or out of order")]
    RepeatedLabel,
    #[error("two openers open the same cell")]
    SharedCell,
    #[error("a group has a wrong length")]
    BadLength,
    #[error("a cell of a group is missing")]
    MissingCell,
    #[error("a row is malformed")]
    BadRow,
    #[error("the rows of a group disagree about their key")]
    MixedGroup,
}

impl PsiError {
    /// A stable code: `peer.` may be tried again, `protocol.` never; `resource.` and `schema.` are this
    /// player's own.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Spec(_) => "protocol.bad-parameters",
            Self::TooManyRows { .. } => "resource.above-bound",
            Self::OutOfMemory => "resource.memory",
            Self::Table(error) => table_code(error),
            Self::Channel(error) => error.code(),
            Self::Oprf(error) => error.code(),
            Self::Write(_) => "resource.disk",
            Self::Read(_) => "resource.unreadable",
            Self::Cancelled => "usage.cancelled",
            Self::Outer(error) => error.code(),
            Self::Opening(error) => error.code(),
        }
    }
}

fn table_code(error: &BaseError) -> &'static str {
    match error {
        BaseError::Randomness => "resource.no-randomness",
        BaseError::TextTooLong { .. } | BaseError::DecimalTooLong { .. } => "resource.above-bound",
        BaseError::FloatKey => "schema.float-key",
        BaseError::MalformedRow => "protocol.bad-row",
        BaseError::UnknownType { .. }
        | BaseError::ColumnType { .. }
        | BaseError::ColumnCount { .. }
        | BaseError::Ragged
        | BaseError::Column(_) => "schema.column-type",
    }
}

impl OuterError {
    fn code(self) -> &'static str {
        match self {
            Self::BadSealKey => "protocol.bad-seal-key",
            Self::MalformedHeader => "protocol.malformed-header",
            Self::WrongHeader => "protocol.wrong-header",
            Self::AttemptsDiffer => "protocol.attempts-differ",
            Self::WrongSide => "protocol.wrong-side",
            Self::NotARecipient => "protocol.not-a-recipient",
            Self::WrongKey => "protocol.wrong-key",
            Self::WrongLength => "protocol.wrong-length",
            Self::WrongDigest => "protocol.wrong-digest",
            Self::BadChunk => "protocol.bad-chunk",
        }
    }
}

impl OpeningError {
    fn code(self) -> &'static str {
        match self {
            Self::RepeatedOpener => "protocol.repeated-opener",
            Self::RepeatedLabel => "protocol.repeated-label",
            Self::SharedCell => "protocol.shared-cell",
            Self::BadLength => "protocol.bad-length",
            Self::MissingCell => "protocol.missing-cell",
            Self::BadRow => "protocol.bad-row",
            Self::MixedGroup => "protocol.mixed-group",
        }
    }
}
