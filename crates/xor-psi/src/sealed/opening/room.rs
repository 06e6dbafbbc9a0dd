//! How much memory an opening may take, and where it puts what does not fit.

use std::path::{Path, PathBuf};

use super::super::outer::CHUNK_BYTES;

/// Streams that are longer than this together are not held in memory.
pub const DEFAULT_MEMORY_BYTES: u64 = 1 << 28;

/// Parts of a spill file; each takes a block of memory while it is written.
const MAX_PARTS: u64 = 1 << 8;
const MAX_CHUNKS_AT_ONCE: u64 = 8;
/// Of the memory, what one part of a spill file may take when it is read back. Its order, blocks of both streams
/// and what is found in them need the rest.
const PART_OF_MEMORY: u64 = 8;

/// Memory and disk of one opening.
#[derive(Clone, Debug)]
pub struct Room {
    /// Streams up to this length together are opened in memory, others in parts that follow from it.
    pub memory_bytes: u64,
    /// Takes spill files: encrypted, without names, gone with the process.
    pub directory: PathBuf,
}

impl Room {
    /// Everything in memory, whatever its length.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            memory_bytes: u64::MAX,
            directory: PathBuf::new(),
        }
    }

    /// The default amount of memory, and a directory.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            memory_bytes: DEFAULT_MEMORY_BYTES,
            directory: directory.to_owned(),
        }
    }

    pub(super) fn part_bytes(&self) -> u64 {
        (self.memory_bytes / PART_OF_MEMORY).max(1)
    }

    /// Parts into which that many bytes are cut.
    pub(super) fn parts(&self, bytes: u64) -> usize {
        bytes.div_ceil(self.part_bytes()).clamp(1, MAX_PARTS) as usize
    }

    /// Chunks of a stream that are decrypted at once.
    pub(super) fn chunks_at_once(&self) -> u64 {
        let share = self.part_bytes() / (2 * CHUNK_BYTES as u64);
        share.clamp(1, MAX_CHUNKS_AT_ONCE)
    }
}
