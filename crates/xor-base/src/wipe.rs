//! Buffers of secrets, wiped when dropped.

use std::ops::{Deref, DerefMut};

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::BaseError;
use crate::kernels::memory;

/// What a [`Wiped`] buffer may hold: plain values, wiped many at once.
pub trait Wipe: Copy {
    const ZERO: Self;

    /// Overwrites all values with zeros.
    fn wipe(values: &mut [Self]);
}

macro_rules! plain {
    ($($kind:ty),+) => {
        $(impl Wipe for $kind {
            const ZERO: Self = 0;

            fn wipe(values: &mut [Self]) {
                values.zeroize();
            }
        })+
    };
}

plain!(u8, u32, u64);

impl<const N: usize> Wipe for [u8; N] {
    const ZERO: Self = [0; N];

    fn wipe(values: &mut [Self]) {
        values.as_flattened_mut().zeroize();
    }
}

/// A buffer of secrets with a fixed length: it never grows, so no copy of it is left behind.
///
/// `Zeroizing<Vec<_>>` does the same value by value, which takes longer than sealing what is wiped.
pub struct Wiped<T: Wipe>(Vec<T>);

impl<T: Wipe> Wiped<T> {
    /// `count` zeros.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn zeros(count: usize) -> Result<Self, BaseError> {
        let mut values = memory::reserve(count).map_err(|_| BaseError::OutOfMemory)?;
        values.resize(count, T::ZERO);
        Ok(Self(values))
    }
}

impl<T: Wipe> From<Vec<T>> for Wiped<T> {
    /// Takes over what was built elsewhere; what lies beyond its length holds no secret.
    fn from(values: Vec<T>) -> Self {
        Self(values)
    }
}

impl<T: Wipe> Deref for Wiped<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Wipe> DerefMut for Wiped<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T: Wipe> Zeroize for Wiped<T> {
    fn zeroize(&mut self) {
        T::wipe(&mut self.0);
    }
}

impl<T: Wipe> Drop for Wiped<T> {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl<T: Wipe> ZeroizeOnDrop for Wiped<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_leaves_zeros() {
        let mut bytes = Wiped::from(vec![[7_u8; 16]; 9]);
        bytes.zeroize();
        assert!(bytes.as_flattened().iter().all(|byte| *byte == 0));
        let mut words = Wiped::<u64>::zeros(5).unwrap();
        words.fill(3);
        words.zeroize();
        assert_eq!(*words, [0; 5]);
    }
}
