//! BLAKE3 in derive-key mode of many short messages at once: keys, labels and streams of cells.

#[cfg(target_arch = "x86_64")]
mod x86;

use blake3::hazmat::{ContextKey, HasherExt};

use super::memory;

/// Messages up to this length are hashed side by side: one block, hence one call of the compression.
pub const SHORT_BYTES: usize = 64;

/// Messages hashed side by side.
pub const LANES: usize = 16;

/// Up to so many are faster one after the other.
const FEW: usize = 2;

/// A message, filled up with zeros.
pub type Padded = [u8; SHORT_BYTES];

/// Derives up to [`LANES`] messages of the given lengths, as many as the output has room for.
pub type Batch = fn(&ContextKey, &[Padded; LANES], &[u32; LANES], out: &mut [u8], length: usize);

/// Messages filled up, or blocks of output.
struct Scratch<const N: usize>([Padded; N]);

impl<const N: usize> Scratch<N> {
    const fn zeros() -> Self {
        Self([[0; SHORT_BYTES]; N])
    }
}

impl<const N: usize> Drop for Scratch<N> {
    fn drop(&mut self) {
        memory::wipe(&mut self.0);
    }
}

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
    let mut padded = Scratch::<LANES>::zeros();
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
        let mut lengths = [0; LANES];
        for ((padded, message), length) in padded.0.iter_mut().zip(batch).zip(&mut lengths) {
            let (start, rest) = padded.split_at_mut(message.len());
            start.copy_from_slice(message);
            rest.fill(0);
            *length = message.len() as u32;
        }
        derive_batch(context, &padded.0, &lengths, outs, length);
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
    let mut padded = Scratch::<LANES>::zeros();
    for (messages, outs) in messages.chunks(LANES).zip(out.chunks_mut(LANES * length)) {
        match messages.first_chunk() {
            Some(messages) => derive_batch(context, messages, &lengths, outs, length),
            None => {
                let (used, _) = padded.0.split_at_mut(messages.len());
                used.copy_from_slice(messages);
                derive_batch(context, &padded.0, &lengths, outs, length);
            }
        }
    }
}

fn derive_batch(
    context: &ContextKey,
    messages: &[Padded; LANES],
    lengths: &[u32; LANES],
    out: &mut [u8],
    length: usize,
) {
    if out.len() <= FEW * length {
        return portable_batch(context, messages, lengths, out, length);
    }
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            // SAFETY: the instructions were just detected.
            return unsafe { x86::avx512::derive_short(context, messages, lengths, out, length) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the instructions were just detected.
            return unsafe { x86::avx2::derive_short(context, messages, lengths, out, length) };
        }
    }
    portable_batch(context, messages, lengths, out, length);
}

fn portable_batch(
    context: &ContextKey,
    messages: &[Padded; LANES],
    lengths: &[u32; LANES],
    out: &mut [u8],
    length: usize,
) {
    let messages = messages.iter().zip(lengths);
    let messages = messages.map(|(message, length)| message.get(..*length as usize).unwrap_or_default());
    portable(context, messages, out, length);
}

/// Every path that this processor can run, the portable one first: for tests and measurements.
#[must_use]
pub fn paths() -> Vec<(&'static str, Batch)> {
    #[allow(unused_mut)]
    let mut paths: Vec<(&str, Batch)> = vec![("portable", portable_batch)];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") {
            paths.push(("AVX2", |context, messages, lengths, out, length| {
                // SAFETY: this path is taken only where the instructions were detected.
                unsafe { x86::avx2::derive_short(context, messages, lengths, out, length) }
            }));
        }
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            paths.push(("AVX-512", |context, messages, lengths, out, length| {
                // SAFETY: this path is taken only where the instructions were detected.
                unsafe { x86::avx512::derive_short(context, messages, lengths, out, length) }
            }));
        }
    }
    paths
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
        for count in 0..2 * LANES + 3 {
            for length in [1, 4, 10, 12, 16, 32, 33, 63, 64, 65, 130, 200] {
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

    #[test]
    fn every_path_agrees_at_every_length_and_count() {
        let context = hash_derive_key_context("xor sealed-join v1 cell");
        let blocks = Prg::new(Block(2)).blocks(4 * LANES + 1);
        let bytes = as_bytes(&blocks);
        for size in 0..=SHORT_BYTES {
            // Another length in each lane.
            let lengths: [u32; LANES] = std::array::from_fn(|lane| ((size + lane * 7) % 65) as u32);
            let messages: [Padded; LANES] =
                std::array::from_fn(|lane| padded(&bytes[lane * 64..][..lengths[lane] as usize]));
            for count in 0..=LANES {
                for length in [1, 4, 10, 16, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200] {
                    let mut expected = vec![0; count * length];
                    portable_batch(&context, &messages, &lengths, &mut expected, length);
                    for (name, path) in paths() {
                        // At any alignment, and nothing is written around it.
                        let mut out = vec![0xa5; count * length + 2 * 70];
                        let start = 64 + count % 6;
                        path(
                            &context,
                            &messages,
                            &lengths,
                            &mut out[start..][..count * length],
                            length,
                        );
                        assert_eq!(out[start..][..count * length], expected, "{name}");
                        assert!(out[..start].iter().all(|byte| *byte == 0xa5), "{name}");
                        assert!(out[start + count * length..].iter().all(|byte| *byte == 0xa5));
                    }
                }
            }
        }
    }
}
