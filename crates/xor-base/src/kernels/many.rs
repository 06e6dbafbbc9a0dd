//! BLAKE3 in derive-key mode of many short messages at once: keys, labels and streams of cells.

#[cfg(target_arch = "x86_64")]
mod x86;

use blake3::hazmat::{ContextKey, HasherExt};
use zeroize::{Zeroize, Zeroizing};

/// Messages up to this length are hashed side by side: one block, hence one call of the compression.
pub const SHORT_BYTES: usize = 64;

/// Messages hashed side by side.
const LANES: usize = 8;

/// Messages filled up to a block, and blocks of output.
struct Buffers {
    padded: [[u8; SHORT_BYTES]; LANES],
    bytes: [[u8; SHORT_BYTES]; LANES],
}

impl Zeroize for Buffers {
    // As slices of bytes: value by value that takes longer than hashing a batch.
    fn zeroize(&mut self) {
        self.padded.as_flattened_mut().zeroize();
        self.bytes.as_flattened_mut().zeroize();
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            padded: [[0; SHORT_BYTES]; LANES],
            bytes: [[0; SHORT_BYTES]; LANES],
        }
    }
}

/// A message, filled up with zeros.
pub type Padded = [u8; SHORT_BYTES];

/// For each message the first `length` bytes of its derivation, one after the other.
///
/// The bytes are those of [`crate::derive::Derive::fill`] on each message alone.
///
/// # Shapes
/// `messages`: [n], of any lengths; `out`: [n · length].
///
/// # Panics
/// If `length` is zero or there are fewer messages than `out` has room for; more are not read.
///
/// # Security
/// As `Derive::fill`. Time depends on the lengths of the messages and on nothing else of them.
///
/// # Source
/// BLAKE3 specification, sections 2.2, 2.3 and 2.6.
pub fn derive<'m>(
    context: &ContextKey,
    messages: impl IntoIterator<Item = &'m [u8]>,
    out: &mut [u8],
    length: usize,
) {
    assert_ne!(length, 0);
    let mut messages = messages.into_iter();
    let mut buffers = Zeroizing::new(Buffers::default());
    for outs in out.chunks_mut(LANES * length) {
        let count = outs.len() / length;
        let mut batch: [&[u8]; LANES] = [&[]; LANES];
        let mut read = 0;
        for (message, from) in batch.iter_mut().take(count).zip(&mut messages) {
            *message = from;
            read += 1;
        }
        assert_eq!(read, count);
        if batch.iter().any(|message| message.len() > SHORT_BYTES) {
            portable(context, batch, outs, length);
            continue;
        }
        let Buffers { padded, bytes } = &mut *buffers;
        let mut lengths = [0; LANES];
        for ((padded, message), length) in padded.iter_mut().zip(batch).zip(&mut lengths) {
            let (start, rest) = padded.split_at_mut(message.len());
            start.copy_from_slice(message);
            rest.fill(0);
            *length = message.len() as u32;
        }
        derive_batch(context, padded, &lengths, outs, length, bytes);
    }
}

/// As [`derive`], of messages of the same length, each filled up with zeros to a block.
///
/// # Panics
/// If `length` is zero, a message longer than a block, or there are fewer messages than `out` has room for.
pub fn derive_padded(
    context: &ContextKey,
    messages: &[Padded],
    message_bytes: usize,
    out: &mut [u8],
    length: usize,
) {
    assert!(length != 0 && message_bytes <= SHORT_BYTES);
    assert!(messages.len() >= out.len() / length);
    let lengths = [message_bytes as u32; LANES];
    let mut buffers = Zeroizing::new(Buffers::default());
    let Buffers { padded, bytes } = &mut *buffers;
    for (messages, outs) in messages.chunks(LANES).zip(out.chunks_mut(LANES * length)) {
        match messages.first_chunk() {
            Some(messages) => derive_batch(context, messages, &lengths, outs, length, bytes),
            None => {
                let (used, _) = padded.split_at_mut(messages.len());
                used.copy_from_slice(messages);
                derive_batch(context, padded, &lengths, outs, length, bytes);
            }
        }
    }
}

/// Up to eight messages, as many as `outs` has room for.
fn derive_batch(
    context: &ContextKey,
    messages: &[Padded; LANES],
    lengths: &[u32; LANES],
    outs: &mut [u8],
    length: usize,
    bytes: &mut [Padded; LANES],
) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the instructions were just detected.
        return unsafe { x86::derive_short(context, messages, lengths, outs, length, bytes) };
    }
    let _ = bytes;
    let messages = messages.iter().zip(lengths);
    let messages = messages.map(|(message, length)| message.get(..*length as usize).unwrap_or_default());
    portable(context, messages, outs, length);
}

/// One message after the other.
pub fn portable<'m>(
    context: &ContextKey,
    messages: impl IntoIterator<Item = &'m [u8]>,
    outs: &mut [u8],
    length: usize,
) {
    for (message, out) in messages.into_iter().zip(outs.chunks_exact_mut(length)) {
        let mut hasher = blake3::Hasher::new_from_context_key(context);
        hasher.update(message);
        hasher.finalize_xof().fill(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Block;
    use crate::kernels::block::as_bytes;
    use crate::kernels::prg::Prg;
    use blake3::hazmat::hash_derive_key_context;

    fn padded(message: &[u8]) -> Padded {
        let mut padded = [0; SHORT_BYTES];
        padded[..message.len()].copy_from_slice(message);
        padded
    }

    #[test]
    fn agrees_with_the_crate_at_every_length_and_alignment() {
        let context = hash_derive_key_context("xor sealed-join v1 cell");
        let blocks = Prg::new(Block(1)).blocks(100);
        let bytes = as_bytes(&blocks);
        for count in 0..20 {
            for length in [1, 12, 16, 63, 64, 65, 130, 200] {
                // Lengths from 0 to 79 pass through every lane; starts take every alignment.
                let messages: Vec<&[u8]> = (0..count)
                    .map(|i| &bytes[i * 5..][..(i * 7 + length) % 80])
                    .collect();
                let mut many = vec![0; count * length];
                derive(&context, messages.iter().copied(), &mut many, length);
                let mut alone = vec![0; count * length];
                portable(&context, messages, &mut alone, length);
                assert_eq!(many, alone);
                let padded: Vec<Padded> = (0..count).map(|i| padded(&bytes[i..][..41])).collect();
                derive_padded(&context, &padded, 41, &mut many, length);
                let messages = (0..count).map(|i| &bytes[i..][..41]);
                portable(&context, messages, &mut alone, length);
                assert_eq!(many, alone);
            }
        }
        for size in 0..=SHORT_BYTES + 1 {
            let messages: Vec<&[u8]> = (0..8).map(|i| &bytes[i..i + size]).collect();
            let mut many = vec![0; 8 * 32];
            derive(&context, messages.iter().copied(), &mut many, 32);
            for (message, many) in messages.iter().zip(many.chunks(32)) {
                assert_eq!(many, blake3::derive_key("xor sealed-join v1 cell", message));
            }
        }
    }
}
