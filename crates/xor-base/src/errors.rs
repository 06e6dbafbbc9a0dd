//! What can be wrong with a table or a row. Messages name a column, never a value.

/// Why a table does not fit its declaration, or bytes are no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    #[error("the operating system gave no randomness")]
    Randomness,
    #[error("there is not enough memory")]
    OutOfMemory,
    #[error("`{name}` is no type of a column")]
    UnknownType { name: String },
    #[error("column {column} should be {expected} and is {found}")]
    ColumnType {
        column: String,
        expected: String,
        found: String,
    },
    #[error("the table has {found} columns instead of {expected}")]
    ColumnCount { expected: usize, found: usize },
    #[error("the columns of the table differ in length")]
    Ragged,
    #[error("a text in column {column} is longer than its declared max_bytes")]
    TextTooLong { column: String },
    #[error("a decimal in column {column} has more digits than its type")]
    DecimalTooLong { column: String },
    #[error("a float cannot be part of a key")]
    FloatKey,
    #[error("a row of a sealed table is malformed")]
    MalformedRow,
    #[error("the table is not usable: {0}")]
    Column(&'static str),
}
