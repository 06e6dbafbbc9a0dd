//! Private set intersection: the OPRF behind one trait, the sealed and the matched join on top of it.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod errors;
pub mod matched;
pub mod okvs;
pub mod oprf;
pub mod sealed;

pub use xor_base::BaseError;

pub use errors::{OpeningError, OuterError, PsiError};
