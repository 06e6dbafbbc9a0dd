//! Randomness from the operating system.

use crate::BaseError;

/// Fills `out` with bytes nobody can predict.
///
/// # Errors
/// `Randomness` when the operating system gives none; nothing may go on without it.
pub fn fill(out: &mut [u8]) -> Result<(), BaseError> {
    aws_lc_rs::rand::fill(out).map_err(|_| BaseError::Randomness)
}

/// `N` fresh bytes.
///
/// # Errors
/// As [`fill`].
pub fn array<const N: usize>() -> Result<[u8; N], BaseError> {
    let mut out = [0; N];
    fill(&mut out)?;
    Ok(out)
}

/// `count` fresh words, for tie-breaks that put equal keys in random order.
///
/// # Errors
/// As [`fill`].
pub fn words(count: usize) -> Result<Vec<u64>, BaseError> {
    let mut bytes = vec![0; count * 8];
    fill(&mut bytes)?;
    let (words, _) = bytes.as_chunks::<8>();
    Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
}
