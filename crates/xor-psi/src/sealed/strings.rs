//! The string of one key in a closed list: length of the rest ‖ s_o ‖ its rows.

use xor_base::wiped::Wiped;

use super::encoded::Encoded;
use super::layout::{CellShape, SECRET_BYTES};
use super::secrets::Secret;
use crate::PsiError;

/// Room for the length, which is only known when the rows are written.
const LENGTH_BYTES: usize = 10;

/// A buffer for one string after the other, wiped when dropped.
#[derive(Default)]
pub(crate) struct GroupString(Option<Wiped<u8>>);

impl GroupString {
    /// The string of the key with these rows.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn encode(
        &mut self,
        rows: &impl Encoded,
        members: &[u32],
        secret: Option<&Secret>,
    ) -> Result<&[u8], PsiError> {
        let longest = match members {
            [_] => rows.longest(),
            _ => rows_len(rows, members),
        };
        let space = self.room_for(LENGTH_BYTES + SECRET_BYTES + longest)?;
        let (_, mut rest) = space.split_at_mut(LENGTH_BYTES);
        let mut written = 0;
        if let Some(secret) = secret {
            let (held, following) = rest.split_at_mut(SECRET_BYTES);
            held.copy_from_slice(secret);
            (rest, written) = (following, SECRET_BYTES);
        }
        for row in members {
            let length = rows.encode(*row as usize, rest);
            let (_, following) = rest.split_at_mut(length);
            (rest, written) = (following, written + length);
        }
        let start = LENGTH_BYTES - leb128_len(written);
        if let Some(length) = space.get_mut(start..LENGTH_BYTES) {
            write_leb128(written, length);
        }
        Ok(space.get(start..LENGTH_BYTES + written).unwrap_or_default())
    }

    fn room_for(&mut self, length: usize) -> Result<&mut [u8], PsiError> {
        let fits = self.0.as_ref().is_some_and(|space| space.len() >= length);
        if !fits {
            self.0 = Some(Wiped::try_zeros(length.next_power_of_two())?);
        }
        Ok(self.0.as_deref_mut().unwrap_or_default())
    }
}

/// The bytes of the string of the key with these rows.
pub(crate) fn string_len(rows: &impl Encoded, members: &[u32], shape: CellShape) -> usize {
    let rest = shape.secret_bytes() + rows_len(rows, members);
    leb128_len(rest) + rest
}

fn rows_len(rows: &impl Encoded, members: &[u32]) -> usize {
    members.iter().map(|row| rows.encoded_len(*row as usize)).sum()
}

/// The bytes of an unsigned LEB128 number.
pub(crate) fn leb128_len(value: usize) -> usize {
    let bits = usize::BITS - value.max(1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn write_leb128(mut value: usize, out: &mut [u8]) {
    let last = out.len().saturating_sub(1);
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = (value & 0x7f) as u8 | if index < last { 0x80 } else { 0 };
        value >>= 7;
    }
}

/// Reads a number in its shortest form: (bytes read, value).
pub(crate) fn read_leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = usize::try_from(value).ok()?;
            let read = index + 1;
            return (leb128_len(value) == read).then_some((read, value));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_their_shortest_form_only() {
        assert_eq!(read_leb128(&[0x7f, 9]), Some((1, 127)));
        assert_eq!(read_leb128(&[0x80, 1]), Some((2, 128)));
        for bytes in [&[0x80_u8, 0][..], &[0x80], &[], &[0xff; 9]] {
            assert_eq!(read_leb128(bytes), None);
        }
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 1 << 36] {
            let mut bytes = vec![0; leb128_len(value)];
            write_leb128(value, &mut bytes);
            assert_eq!(read_leb128(&bytes), Some((bytes.len(), value)));
        }
    }
}
