//! Vectors of secrets.

use std::fmt;
use std::ops::{Deref, DerefMut};

use zeroize::{ZeroizeOnDrop, optimization_barrier};

/// A vector of fixed length that is overwritten when dropped: as a whole, where [`zeroize::Zeroizing`] writes
/// element by element, which takes longer than what most loops here do with them.
///
/// Never grows, so no copy is left behind.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Wiped<T: Copy + Default>(Vec<T>);

impl<T: Copy + Default> Wiped<T> {
    /// Takes over `vector`.
    #[must_use]
    pub fn new(vector: Vec<T>) -> Self {
        Self(vector)
    }

    /// `length` times the default, which is zero for everything that is kept here.
    #[must_use]
    pub fn zeros(length: usize) -> Self {
        Self(vec![T::default(); length])
    }

    /// Wipes and forgets what stands behind the first `length` elements.
    pub fn truncate(&mut self, length: usize) {
        if let Some(rest) = self.0.get_mut(length..) {
            wipe(rest);
        }
        self.0.truncate(length);
    }
}

/// Overwrites with zeros, whether or not anybody reads them again.
pub fn wipe<T: Copy + Default>(secrets: &mut [T]) {
    secrets.fill(T::default());
    optimization_barrier(secrets);
}

impl<T: Copy + Default> Drop for Wiped<T> {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl<T: Copy + Default> ZeroizeOnDrop for Wiped<T> {}

impl<T: Copy + Default> Deref for Wiped<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Copy + Default> DerefMut for Wiped<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T: Copy + Default> FromIterator<T> for Wiped<T> {
    /// Leaves copies behind where the length is not known in advance.
    fn from_iter<I: IntoIterator<Item = T>>(iterator: I) -> Self {
        Self(iterator.into_iter().collect())
    }
}

impl<'a, T: Copy + Default> IntoIterator for &'a Wiped<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Copy + Default> fmt::Debug for Wiped<T> {
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
    }
}
