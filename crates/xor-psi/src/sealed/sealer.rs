//! Encrypts one stream, several chunks at a time, while those before are hashed and written.

use std::io::Write;

use aws_lc_rs::aead::{Aad, LessSafeKey};
use aws_lc_rs::digest;
use rayon::prelude::*;
use xor_base::random;
use xor_base::wiped::Wiped;
use zeroize::Zeroizing;

use super::header::{Core, Header};
use super::layout::{chunk_count, stream_bytes};
use super::lists::List;
use super::outer::{CHUNK_BYTES, SealedStream, StreamSecret, TAG_BYTES, chunk_key, info, nonce, seal_key};
use super::spec::Recipient;
use crate::{OuterError, PsiError};

/// Chunks that are filled and encrypted at once.
const CHUNKS_AT_ONCE: usize = 4;

/// Encrypts one stream chunk by chunk.
pub(super) struct Sealer<'a> {
    key: LessSafeKey,
    header: Header,
    /// Plaintext of a chunk that is not full yet.
    carried: Wiped<u8>,
    carried_bytes: usize,
    /// Chunks sealed so far.
    index: u64,
    filling: Vec<Chunk>,
    /// Sealed, on their way out.
    sealed: Vec<Chunk>,
    out: Out<'a>,
}

/// Where ciphertext goes.
struct Out<'a> {
    sink: &'a mut (dyn Write + Send),
    hash: digest::Context,
    written: u64,
}

/// A buffer for one chunk and its tag, wiped when dropped: it held plaintext.
struct Chunk {
    bytes: Wiped<u8>,
    /// Of ciphertext and tag; zero before it is sealed.
    length: usize,
}

impl<'a> Sealer<'a> {
    /// Draws the stream's key and seals it to every recipient of `core`.
    ///
    /// # Errors
    /// `BadSealKey`, `Randomness`.
    ///
    /// # Security
    /// HPKE base mode: confidentiality and binding only. Who sent a stream is proved by the machine's
    /// signature over its header and digest.
    ///
    /// # Source
    /// RFC 9180, section 5.1.1; draft-connolly-cfrg-xwing-kem.
    pub fn new(
        sink: &'a mut (dyn Write + Send),
        mut core: Core,
        recipients: &[Recipient],
    ) -> Result<Self, PsiError> {
        let key: Zeroizing<StreamSecret> = Zeroizing::new(random::array()?);
        core.commit_to(&key);
        let info = info(&core);
        let sealed_keys = recipients
            .iter()
            .map(|recipient| seal_key(&recipient.seal_key, &info, key.as_slice()))
            .collect::<Result<_, _>>()?;
        let (longest, total) = (longest_chunk(&core), chunk_count(core.plain_bytes));
        let buffers = || {
            let chunks = (0..total).take(CHUNKS_AT_ONCE);
            chunks.map(|_| Chunk::new(longest)).collect::<Result<_, _>>()
        };
        Ok(Self {
            key: chunk_key(key.as_slice())?,
            header: Header { core, sealed_keys },
            carried: Wiped::try_zeros(longest)?,
            carried_bytes: 0,
            index: 0,
            filling: buffers()?,
            sealed: buffers()?,
            out: Out {
                sink,
                hash: digest::Context::new(&digest::SHA256),
                written: 0,
            },
        })
    }

    /// Appends all records of a list.
    ///
    /// # Errors
    /// `Write` when the sink takes no more.
    pub fn append(&mut self, list: &List) -> Result<(), PsiError> {
        let chunks = (self.carried_bytes + list.len()) / CHUNK_BYTES;
        for first in (0..chunks).step_by(CHUNKS_AT_ONCE) {
            let count = CHUNKS_AT_ONCE.min(chunks - first);
            let (key, index, total) = (&self.key, self.index, self.total());
            let carried = self.carried.get(..self.carried_bytes).unwrap_or_default();
            let fill = || {
                let chunks = self.filling.par_iter_mut().take(count).enumerate();
                chunks.try_for_each(|(number, chunk)| {
                    let (plain, _) = chunk.bytes.split_at_mut(CHUNK_BYTES);
                    read_joint(carried, list, (first + number) * CHUNK_BYTES, plain);
                    chunk.seal(CHUNK_BYTES, key, index + number as u64, total)
                })
            };
            let (written, filled) = rayon::join(|| self.out.write(&mut self.sealed), fill);
            written.and(filled)?;
            std::mem::swap(&mut self.filling, &mut self.sealed);
            self.index += count as u64;
        }
        self.carry(list, chunks * CHUNK_BYTES);
        Ok(())
    }

    /// Keeps what follows the first `used` bytes of the carried ones and the list's: less than a chunk.
    fn carry(&mut self, list: &List, used: usize) {
        let kept = if used == 0 { self.carried_bytes } else { 0 };
        let start = (used + kept) - self.carried_bytes;
        let end = kept + list.len() - start;
        list.read_at(start, self.carried.get_mut(kept..end).unwrap_or_default());
        self.carried_bytes = end;
    }

    fn total(&self) -> u64 {
        chunk_count(self.header.core.plain_bytes)
    }

    /// Seals the last chunk.
    ///
    /// # Errors
    /// `Write`; `WrongLength` if the plaintext has another length than the header says.
    pub fn finish(mut self) -> Result<SealedStream, PsiError> {
        self.out.write(&mut self.sealed)?;
        // An empty stream still has its last chunk; a full last chunk has gone.
        if let (true, Some(last)) = (self.index < self.total(), self.filling.first_mut()) {
            let plain = self.carried.get(..self.carried_bytes).unwrap_or_default();
            let (to, _) = last.bytes.split_at_mut(plain.len());
            to.copy_from_slice(plain);
            let total = chunk_count(self.header.core.plain_bytes);
            last.seal(plain.len(), &self.key, self.index, total)?;
            self.out.write(&mut self.filling)?;
        }
        self.out.sink.flush().map_err(PsiError::Write)?;
        if self.out.written != stream_bytes(self.header.core.plain_bytes) {
            return Err(OuterError::WrongLength.into());
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.out.hash.finish().as_ref());
        Ok(SealedStream {
            attempt: self.header.core.attempt()?,
            header: self.header.to_bytes(),
            sha256,
            bytes: self.out.written,
        })
    }
}

impl Out<'_> {
    /// Hashes and writes what is sealed, and empties the buffers.
    fn write(&mut self, chunks: &mut [Chunk]) -> Result<(), PsiError> {
        for chunk in chunks {
            let bytes = chunk.bytes.get(..chunk.length).unwrap_or_default();
            self.hash.update(bytes);
            self.sink.write_all(bytes).map_err(PsiError::Write)?;
            self.written += bytes.len() as u64;
            chunk.length = 0;
        }
        Ok(())
    }
}

impl Chunk {
    fn new(plain_bytes: usize) -> Result<Self, PsiError> {
        Ok(Self {
            bytes: Wiped::try_zeros(plain_bytes + TAG_BYTES)?,
            length: 0,
        })
    }

    /// Seals the first `plain_bytes`, as chunk `index` of `total`.
    fn seal(
        &mut self,
        plain_bytes: usize,
        key: &LessSafeKey,
        index: u64,
        total: u64,
    ) -> Result<(), PsiError> {
        let (plain, rest) = self.bytes.split_at_mut(plain_bytes);
        let tag = key
            .seal_in_place_separate_tag(nonce(index, index + 1 == total), Aad::empty(), plain)
            .map_err(|_| OuterError::BadChunk)?;
        let (to, _) = rest.split_at_mut(TAG_BYTES);
        to.copy_from_slice(tag.as_ref());
        self.length = plain_bytes + TAG_BYTES;
        Ok(())
    }
}

// A short stream has no need of a whole chunk.
fn longest_chunk(core: &Core) -> usize {
    usize::try_from(core.plain_bytes).map_or(CHUNK_BYTES, |bytes| bytes.min(CHUNK_BYTES))
}

/// Fills `out` from byte `offset` on of `carried` and the list after it.
fn read_joint(carried: &[u8], list: &List, offset: usize, out: &mut [u8]) {
    let before = carried.get(offset..).unwrap_or_default();
    let (head, rest) = out.split_at_mut(before.len());
    head.copy_from_slice(before);
    list.read_at((offset + before.len()) - carried.len(), rest);
}
