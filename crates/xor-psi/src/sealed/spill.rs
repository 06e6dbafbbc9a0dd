//! Bytes that do not fit into memory, in a file of which only this process has the key.
//!
//! Whoever writes cuts its bytes into parts, each read back as a whole or block by block. The file has no name:
//! it is gone with the process, however that ends.

use std::fs::{File, OpenOptions, remove_file};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use xor_base::random;
use xor_base::wiped::Wiped;
use zeroize::Zeroizing;

use super::hex;
use crate::PsiError;

/// Plaintext bytes of a block: large enough to be written at the speed of the disk.
pub(super) const BLOCK_BYTES: usize = 1 << 17;
const TAG_BYTES: usize = 16;

/// A spill file that is being written.
///
/// # Security
/// AES-256-GCM under a fresh key that never leaves memory; a block's nonce is its number in the file, and no
/// number is used twice. A block that was changed, or cut off, does not open. How much each part holds shows in
/// the length of the file and the order of its blocks, to the operator of this machine only.
///
/// # Cost
/// Memory: a block for each part.
pub(super) struct Spill {
    file: File,
    key: LessSafeKey,
    parts: Vec<Part>,
    /// The number of the next block.
    next: u64,
}

#[derive(Default)]
struct Part {
    /// Not yet written.
    open: Option<Wiped<u8>>,
    used: usize,
    blocks: Vec<Block>,
}

#[derive(Clone, Copy)]
struct Block {
    number: u64,
    length: usize,
}

impl Spill {
    /// Makes a file in `directory`.
    ///
    /// # Errors
    /// `Write` if the directory takes no file; `Table(Randomness)`.
    pub fn new(directory: &Path, parts: usize) -> Result<Self, PsiError> {
        let path = directory.join(format!("spill-{}", hex::encode(&random::array::<16>()?)));
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(PsiError::Write)?;
        remove_file(&path).map_err(PsiError::Write)?;
        let secret = Zeroizing::new(random::array::<32>()?);
        let key = UnboundKey::new(&AES_256_GCM, secret.as_slice()).map_err(|_| PsiError::OutOfMemory)?;
        Ok(Self {
            file,
            key: LessSafeKey::new(key),
            parts: (0..parts).map(|_| Part::default()).collect(),
            next: 0,
        })
    }

    /// Appends bytes to a part; a part that does not exist takes none.
    ///
    /// # Errors
    /// `Write` on a full disk; `OutOfMemory`.
    pub fn push(&mut self, part: usize, mut bytes: &[u8]) -> Result<(), PsiError> {
        while !bytes.is_empty() {
            let Some(to) = self.parts.get_mut(part) else {
                return Ok(());
            };
            let open = match &mut to.open {
                Some(open) => open,
                None => to.open.insert(Wiped::try_zeros(BLOCK_BYTES + TAG_BYTES)?),
            };
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - to.used));
            if let Some(room) = open.get_mut(to.used..to.used + now.len()) {
                room.copy_from_slice(now);
            }
            to.used += now.len();
            bytes = later;
            if to.used == BLOCK_BYTES {
                self.write_block(part)?;
            }
        }
        Ok(())
    }

    /// Writes what is still in memory.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(mut self) -> Result<Spilled, PsiError> {
        for part in 0..self.parts.len() {
            self.write_block(part)?;
        }
        Ok(Spilled {
            file: self.file,
            key: self.key,
            parts: self.parts.into_iter().map(|part| part.blocks).collect(),
        })
    }

    fn write_block(&mut self, part: usize) -> Result<(), PsiError> {
        let Some(part) = self.parts.get_mut(part).filter(|part| part.used > 0) else {
            return Ok(());
        };
        let Some(open) = &mut part.open else {
            return Ok(());
        };
        let (plain, rest) = open.split_at_mut(part.used);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(self.next), Aad::empty(), plain)
            .map_err(|_| PsiError::OutOfMemory)?;
        rest.iter_mut()
            .zip(tag.as_ref())
            .for_each(|(to, from)| *to = *from);
        let sealed = open.get(..part.used + TAG_BYTES).unwrap_or_default();
        self.file
            .write_all_at(sealed, offset(self.next))
            .map_err(PsiError::Write)?;
        part.blocks.push(Block {
            number: self.next,
            length: part.used,
        });
        part.used = 0;
        self.next += 1;
        Ok(())
    }
}

/// A spill file that is complete.
pub(super) struct Spilled {
    file: File,
    key: LessSafeKey,
    parts: Vec<Vec<Block>>,
}

impl Spilled {
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Bytes of one part.
    pub fn bytes(&self, part: usize) -> usize {
        self.blocks(part).iter().map(|block| block.length).sum()
    }

    /// A whole part, in the order in which it was written.
    ///
    /// # Errors
    /// `Read` for a file that was cut or changed; `OutOfMemory`.
    pub fn read(&self, part: usize) -> Result<Wiped<u8>, PsiError> {
        let mut bytes = Wiped::try_zeros(self.bytes(part) + TAG_BYTES)?;
        let mut at = 0;
        for block in self.blocks(part) {
            self.read_block(*block, bytes.get_mut(at..).unwrap_or_default())?;
            at += block.length;
        }
        bytes.truncate(at);
        Ok(bytes)
    }

    /// The blocks of a part one after the other, each into the same memory.
    ///
    /// # Errors
    /// As [`Self::read`], or what `each` returns.
    pub fn for_each_block(
        &self,
        part: usize,
        mut each: impl FnMut(&[u8]) -> Result<(), PsiError>,
    ) -> Result<(), PsiError> {
        let mut bytes = Wiped::try_zeros(BLOCK_BYTES + TAG_BYTES)?;
        for block in self.blocks(part) {
            self.read_block(*block, &mut bytes)?;
            each(bytes.get(..block.length).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Block `index` of a part, at the front of `out`: its length, or nothing behind the last one. All blocks of
    /// a part but the last have [`BLOCK_BYTES`].
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_one(
        &self,
        part: usize,
        index: usize,
        out: &mut Wiped<u8>,
    ) -> Result<Option<usize>, PsiError> {
        let Some(block) = self.blocks(part).get(index) else {
            return Ok(None);
        };
        if out.is_empty() {
            *out = Wiped::try_zeros(BLOCK_BYTES + TAG_BYTES)?;
        }
        self.read_block(*block, out)?;
        Ok(Some(block.length))
    }

    #[cfg(test)]
    pub fn cut(&self) {
        self.file.set_len(BLOCK_BYTES as u64).unwrap();
    }

    fn blocks(&self, part: usize) -> &[Block] {
        self.parts.get(part).map_or(&[], Vec::as_slice)
    }

    /// Into the front of `out`, which has room for the tag too; what is behind is overwritten later.
    fn read_block(&self, block: Block, out: &mut [u8]) -> Result<(), PsiError> {
        let sealed = out
            .get_mut(..block.length + TAG_BYTES)
            .ok_or(PsiError::OutOfMemory)?;
        self.file
            .read_exact_at(sealed, offset(block.number))
            .map_err(PsiError::Read)?;
        self.key
            .open_in_place(nonce(block.number), Aad::empty(), sealed)
            .map_err(|_| PsiError::Read(io::ErrorKind::InvalidData.into()))?;
        Ok(())
    }
}

fn offset(number: u64) -> u64 {
    number * (BLOCK_BYTES + TAG_BYTES) as u64
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    let (front, _) = bytes.split_at_mut(size_of::<u64>());
    front.copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> std::path::PathBuf {
        let name = hex::encode(&random::array::<8>().unwrap());
        let path = std::env::temp_dir().join(format!("xor-spill-{name}"));
        std::fs::create_dir(&path).unwrap();
        path
    }

    fn filled(directory: &Path) -> (Spilled, Vec<Vec<u8>>) {
        let mut spill = Spill::new(directory, 3).unwrap();
        let mut expected = vec![Vec::new(); 3];
        for (number, length) in [0, 1, 500, 70_000, 200_000, BLOCK_BYTES, 3]
            .into_iter()
            .enumerate()
        {
            let bytes = vec![b'a' + number as u8; length];
            let part = number % 2;
            spill.push(part, &bytes).unwrap();
            expected[part].extend(bytes);
        }
        (spill.finish().unwrap(), expected)
    }

    #[test]
    fn parts_come_back_as_they_were_written() {
        let directory = directory();
        let (spilled, expected) = filled(&directory);
        assert_eq!(spilled.parts(), 3);
        for (part, expected) in expected.iter().enumerate() {
            assert_eq!(spilled.bytes(part), expected.len());
            assert_eq!(spilled.read(part).unwrap()[..], expected[..]);
            let mut blocks = Vec::new();
            let read = spilled.for_each_block(part, |block| {
                blocks.extend_from_slice(block);
                Ok(())
            });
            read.unwrap();
            assert!(blocks == *expected);
        }
        std::fs::remove_dir(directory).unwrap();
    }

    #[test]
    fn the_file_has_no_name_and_holds_nothing_readable() {
        let directory = directory();
        let (spilled, _) = filled(&directory);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        let mut raw = vec![0; spilled.file.metadata().unwrap().len() as usize];
        spilled.file.read_exact_at(&mut raw, 0).unwrap();
        assert!(
            !raw.windows(8)
                .any(|window| window.iter().all(|byte| *byte == window[0] && *byte != 0))
        );
        std::fs::remove_dir(directory).unwrap();
    }

    #[test]
    fn a_file_that_was_cut_or_changed_is_not_read() {
        let directory = directory();
        let (spilled, _) = filled(&directory);
        spilled.file.write_all_at(&[1], 77).unwrap();
        assert_eq!(
            spilled.read(0).err().map(|error| error.code()),
            Some("resource.unreadable")
        );
        let (spilled, _) = filled(&directory);
        spilled.file.set_len(1000).unwrap();
        assert!(spilled.read(0).is_err() && spilled.read(1).is_err());
        assert!(spilled.for_each_block(1, |_| Ok(())).is_err());
        std::fs::remove_dir(directory).unwrap();
    }

    #[test]
    fn a_directory_that_takes_no_file_is_a_lack_of_disk() {
        let refused = Spill::new(Path::new("/proc/none"), 1);
        assert_eq!(refused.err().map(|error| error.code()), Some("resource.disk"));
    }
}
