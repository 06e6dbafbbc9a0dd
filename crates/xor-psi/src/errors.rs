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
    /// Found before the peer is contacted.
    #[error("so many rows of the table have the same key that they do not fit into memory")]
    TooManyEqualKeys,
    #[error(transparent)]
    Table(#[from] BaseError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error(transparent)]
    Oprf(#[from] OprfError),
    #[error("the result could not be written")]
    Write(#[source] io::Error),
    #[error("a file of this step could not be read")]
    Read(#[source] io::Error),
    #[error("the step was cancelled")]
    Cancelled,
    /// In a matched join, whatever the keys of the receiver.
    #[error("the sender's cells are not in their written form")]
    BadCells,
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
            Self::OutOfMemory | Self::TooManyEqualKeys => "resource.memory",
            Self::Table(error) => table_code(error),
            Self::Channel(error) => error.code(),
            Self::Oprf(error) => error.code(),
            Self::Write(_) => "resource.disk",
            Self::Read(_) => "resource.unreadable",
            Self::Cancelled => "usage.cancelled",
            Self::BadCells => "protocol.bad-cells",
            Self::Outer(error) => error.code(),
            Self::Opening(error) => error.code(),
        }
    }
}

impl PsiError {
    /// What whoever sees the error can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        if let Self::Opening(_) | Self::Table(BaseError::MalformedRow) = self {
            return Some(BROKEN_STREAM);
        }
        if let Self::Outer(error) = self {
            return Some(error.hint());
        }
        match self.code() {
            "resource.above-bound" => {
                Some("raise the bound that the owner declares for this dataset, and agree on it again")
            }
            "resource.bound-too-large" => Some("declare fewer rows, or columns of which the key is unique"),
            "resource.disk" => Some("free space where the job keeps its files, then start it again"),
            code if code.starts_with("peer.") => {
                Some("start the job again; it counts as a new attempt against the policy's guesses")
            }
            code if code.starts_with("protocol.") => {
                Some("do not retry: ask both owners which software and plan their machines ran")
            }
            code if code.starts_with("schema.") => {
                Some("cast the column to the type that the catalogue declares")
            }
            _ => None,
        }
    }
}

/// A player can write a stream that breaks only where the other one holds a key of its choice. Whether it
/// broke would answer that guess, so nobody may hear of it; a job repeated because of it is an answer too.
const BROKEN_STREAM: &str = "a player broke the protocol: tell neither owner whether or how opening failed, \
    and do not repeat the job because of it";

impl OuterError {
    fn hint(self) -> &'static str {
        match self {
            Self::NotARecipient | Self::BadSealKey => "open with the seal key that the agreement names",
            _ => BROKEN_STREAM,
        }
    }
}

fn table_code(error: &BaseError) -> &'static str {
    match error {
        BaseError::Randomness => "resource.no-randomness",
        BaseError::OutOfMemory => "resource.memory",
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_opening_sends_nobody_to_the_players() {
        let errors: [PsiError; 4] = [
            OpeningError::MissingCell.into(),
            OuterError::BadChunk.into(),
            OuterError::WrongDigest.into(),
            BaseError::MalformedRow.into(),
        ];
        for error in errors {
            let hint = error.hint().unwrap();
            assert!(
                hint.contains("tell neither owner") && hint.contains("do not repeat"),
                "{hint}"
            );
        }
        let of_a_player = PsiError::Oprf(OprfError::BadProof).hint().unwrap();
        assert!(of_a_player.contains("ask both owners"));
    }
}
