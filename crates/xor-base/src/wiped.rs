//! Buffers of secrets.

use std::fmt;
use std::ops::{Deref, DerefMut};

use zeroize::ZeroizeOnDrop;

use crate::BaseError;
use crate::kernels::memory;
pub use crate::kernels::memory::{Plain, wipe};

/// A buffer of fixed length that is overwritten when dropped: as a whole, where [`zeroize::Zeroizing`] writes
/// value by value, which takes longer than most of what is done with them here.
///
/// Never grows, so no copy is left behind.
#[derive(Clone, PartialEq, Eq)]
pub struct Wiped<T: Plain>(Vec<T>);

impl<T: Plain> Wiped<T> {
    /// Takes over what was built elsewhere; what lies beyond its length holds no secret.
    #[must_use]
    pub fn new(values: Vec<T>) -> Self {
        Self(values)
    }

    /// `count` zeros.
    ///
    /// # Panics
    /// When there is not enough memory. For lengths that a constant bounds; see [`Wiped::try_zeros`].
    #[must_use]
    #[allow(clippy::panic)]
    pub fn zeros(count: usize) -> Self {
        match memory::zeros(count) {
            Some(values) => Self(values),
            None => panic!("out of memory"),
        }
    }

    /// `count` zeros.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn try_zeros(count: usize) -> Result<Self, BaseError> {
        memory::zeros(count).map(Self).ok_or(BaseError::OutOfMemory)
    }

    /// Wipes and forgets what stands behind the first `length` values.
    pub fn truncate(&mut self, length: usize) {
        if let Some(rest) = self.0.get_mut(length..) {
            wipe(rest);
        }
        self.0.truncate(length);
    }
}

impl<T: Plain> Default for Wiped<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Plain> Drop for Wiped<T> {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl<T: Plain> ZeroizeOnDrop for Wiped<T> {}

impl<T: Plain> Deref for Wiped<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Plain> DerefMut for Wiped<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T: Plain> FromIterator<T> for Wiped<T> {
    /// Leaves copies behind where the length is not known in advance.
    fn from_iter<I: IntoIterator<Item = T>>(iterator: I) -> Self {
        Self(iterator.into_iter().collect())
    }
}

impl<'a, T: Plain> IntoIterator for &'a Wiped<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Plain> fmt::Debug for Wiped<T> {
    // Secrets: only their number is shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Wiped({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_vector_that_tells_its_length_only() {
        let mut secrets: Wiped<u32> = (5..9).collect();
        secrets.truncate(3);
        secrets.truncate(7);
        assert_eq!(secrets.as_ref(), [5, 6, 7]);
        assert_eq!(format!("{secrets:?}"), "Wiped(3)");
        wipe(&mut secrets);
        assert_eq!(secrets, Wiped::zeros(3));
        assert!(Wiped::<u64>::try_zeros(usize::MAX / 4).is_err());
    }
}
