/// Why keys were not encoded or decoded. Names the stage only: no key, bin or count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OkvsError {
    #[error("a table of more than {limit} keys is not supported")]
    BoundTooLarge { limit: usize },
    /// Checked before anything is sent.
    #[error("there are more keys than the declared bound of {bound}")]
    TooManyKeys { bound: usize },
    #[error("the numbers of keys, values and results differ")]
    LengthsDiffer,
    /// What a peer sends as a table has another length than the bound says.
    #[error("a table has a wrong length")]
    WrongLength,
    /// Probability 2^-SIGMA for distinct keys. Ends the attempt: another seed would tie the seed to the keys.
    #[error("the keys could not be encoded")]
    Unsolvable,
}

impl OkvsError {
    /// A stable code: `protocol.` is never retried by itself.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::BoundTooLarge { .. } => "resource.bound-too-large",
            Self::TooManyKeys { .. } => "resource.above-bound",
            Self::LengthsDiffer => "protocol.bad-parameters",
            Self::WrongLength => "protocol.wrong-length",
            Self::Unsolvable => "protocol.not-encodable",
        }
    }
}
