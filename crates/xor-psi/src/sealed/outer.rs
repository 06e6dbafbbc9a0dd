//! The outer seal: one chunked AEAD stream per player, its key sealed to every recipient.
//!
//! Chunks are AES-256-GCM with nonce = index (u64) ‖ 0 0 0 ‖ last flag, so a chunk that is repeated,
//! dropped or moved does not open, and a stream that was cut has no last one. The 32-byte key is fresh
//! and goes to each recipient by HPKE (X-Wing, HKDF-SHA256, AES-256-GCM) under an info string that
//! holds plan hash, node, attempt, side and the hash of the header, which commits to the key.

use std::io::{ErrorKind, Read};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use xor_base::kernels::memory;
use zeroize::Zeroizing;

use super::header::{Core, Header};
use super::hex;
use super::layout::chunk_count;
use super::spec::Recipient;
use crate::{OuterError, PsiError};

/// Plaintext bytes of every chunk but the last.
pub const CHUNK_BYTES: usize = 1 << 20;
/// What sealing adds to a chunk.
pub const TAG_BYTES: usize = 16;
/// An X-Wing public key.
pub const SEAL_KEY_BYTES: usize = 1216;
/// An X-Wing seed, which is the whole private key.
pub const SEAL_SEED_BYTES: usize = 32;

const ENCAPSULATED_BYTES: usize = 1120;
const STREAM_KEY_BYTES: usize = 32;
const INFO_PREFIX: &[u8] = b"xor sealed-join v1";

pub(super) type StreamSecret = [u8; STREAM_KEY_BYTES];
type Seed = <XWing as Kem>::PrivateKey;

/// A finished stream: its ciphertext went to the sink that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedStream {
    pub attempt: [u8; 16],
    pub header: Vec<u8>,
    pub sha256: [u8; 32],
    /// Units: bytes of ciphertext.
    pub bytes: u64,
}

/// The public half of a seal key.
///
/// # Errors
/// `BadSealKey`.
pub fn public_key(seed: &[u8; SEAL_SEED_BYTES]) -> Result<Vec<u8>, OuterError> {
    let private = Seed::from_bytes(seed).map_err(|_| OuterError::BadSealKey)?;
    Ok(XWing::sk_to_pk(&private).to_bytes().to_vec())
}

/// Reads a whole ciphertext and compares it with what the machine signed. Nothing is decrypted.
///
/// # Errors
/// `WrongLength` for a stream that is cut or too long, `WrongDigest` for another one, `Read`.
pub fn verify(stream: &mut dyn Read, expected_bytes: u64, sha256: &[u8; 32]) -> Result<(), PsiError> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        let count = stream.read(&mut buffer).map_err(PsiError::Read)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        total += count as u64;
        if total > expected_bytes {
            return Err(OuterError::WrongLength.into());
        }
        hash.update(read);
    }
    if total != expected_bytes {
        return Err(OuterError::WrongLength.into());
    }
    if hash.finish().as_ref() != sha256 {
        return Err(OuterError::WrongDigest.into());
    }
    Ok(())
}

/// Opens the stream's key with a recipient's seed.
///
/// # Errors
/// `NotARecipient`; `WrongKey` when what was sealed is bound to something else, or is not the key that the
/// header commits to: two recipients never open one stream under two keys.
pub fn open_key(
    header: &Header,
    recipients: &[Recipient],
    seed: &[u8; SEAL_SEED_BYTES],
) -> Result<StreamKey, PsiError> {
    let own = public_key(seed)?;
    let position = recipients.iter().position(|recipient| recipient.seal_key == own);
    let sealed = position.and_then(|position| header.sealed_keys.get(position));
    let sealed =
        hex::decode_vec(sealed.ok_or(OuterError::NotARecipient)?).ok_or(OuterError::MalformedHeader)?;
    let (encapsulated, ciphertext) = sealed
        .split_at_checked(ENCAPSULATED_BYTES)
        .ok_or(OuterError::WrongKey)?;
    let private = Seed::from_bytes(seed).map_err(|_| OuterError::BadSealKey)?;
    let encapsulated =
        <XWing as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| OuterError::WrongKey)?;
    let info = info(&header.core);
    let key = hpke::single_shot_open::<AesGcm256, HkdfSha256, XWing>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        &info,
        ciphertext,
        &[],
    );
    let key = Zeroizing::new(key.map_err(|_| OuterError::WrongKey)?);
    let key: &StreamSecret = key.as_slice().try_into().map_err(|_| OuterError::WrongKey)?;
    if !header.core.is_committed_to(key) {
        return Err(OuterError::WrongKey.into());
    }
    Ok(StreamKey(chunk_key(key)?))
}

/// The opened key of one stream.
pub struct StreamKey(LessSafeKey);

impl std::fmt::Debug for StreamKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("StreamKey(..)")
    }
}

impl StreamKey {
    /// Decrypts a whole stream.
    ///
    /// # Errors
    /// `BadChunk` for chunks that are forged, repeated, missing or moved; `Read`.
    pub fn open(&self, stream: &mut dyn Read, plain_bytes: u64) -> Result<Vec<u8>, PsiError> {
        let chunks = chunk_count(plain_bytes);
        let total = usize::try_from(plain_bytes).map_err(|_| PsiError::OutOfMemory)?;
        let mut plain = memory::zeros(total).ok_or(PsiError::OutOfMemory)?;
        let mut sealed = vec![0; CHUNK_BYTES + TAG_BYTES];
        let mut rest = plain.as_mut_slice();
        for index in 0..chunks {
            let (out, following) = rest.split_at_mut(rest.len().min(CHUNK_BYTES));
            let (sealed, _) = sealed.split_at_mut(out.len() + TAG_BYTES);
            read_exactly(stream, sealed)?;
            self.open_chunk(index, index + 1 == chunks, sealed, out)?;
            rest = following;
        }
        Ok(plain)
    }

    /// Decrypts one chunk and its tag into `out`, which is as long as its plaintext.
    pub(super) fn open_chunk(
        &self,
        index: u64,
        is_last: bool,
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<(), OuterError> {
        let parts = sealed.split_at_checked(out.len());
        let (ciphertext, tag) = parts.ok_or(OuterError::BadChunk)?;
        self.0
            .open_separate_gather(nonce(index, is_last), Aad::empty(), ciphertext, tag, out)
            .map_err(|_| OuterError::BadChunk)
    }
}

pub(super) fn read_exactly(stream: &mut dyn Read, buffer: &mut [u8]) -> Result<(), PsiError> {
    stream.read_exact(buffer).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => OuterError::WrongLength.into(),
        _ => PsiError::Read(error),
    })
}

pub(super) fn seal_key(recipient: &[u8], info: &[u8], key: &[u8]) -> Result<String, OuterError> {
    let public = <XWing as Kem>::PublicKey::from_bytes(recipient).map_err(|_| OuterError::BadSealKey)?;
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal::<AesGcm256, HkdfSha256, XWing>(&OpModeS::Base, &public, info, key, &[])
            .map_err(|_| OuterError::BadSealKey)?;
    Ok(hex::encode(&encapsulated.to_bytes()) + &hex::encode(&ciphertext))
}

pub(super) fn chunk_key(key: &[u8]) -> Result<LessSafeKey, OuterError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| OuterError::WrongKey)?;
    Ok(LessSafeKey::new(key))
}

pub(super) fn nonce(index: u64, is_last: bool) -> Nonce {
    let mut bytes = [0; 12];
    let (head, tail) = bytes.split_at_mut(8);
    head.copy_from_slice(&index.to_le_bytes());
    if let Some(flag) = tail.last_mut() {
        *flag = u8::from(is_last);
    }
    Nonce::assume_unique_for_key(bytes)
}

pub(super) fn info(core: &Core) -> Vec<u8> {
    let mut info = INFO_PREFIX.to_vec();
    info.extend_from_slice(&core.binding_bytes());
    info.extend_from_slice(digest::digest(&digest::SHA256, &core.to_bytes()).as_ref());
    info
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oprf::Side;
    use crate::sealed::spec::tests::join_spec;

    /// A header under `info` of its own that commits to one key and gives another.
    fn header(committed: &StreamSecret, given: &StreamSecret) -> Result<StreamKey, PsiError> {
        let seed = [5; SEAL_SEED_BYTES];
        let recipients = [Recipient {
            name: "desk".into(),
            seal_key: public_key(&seed).unwrap(),
        }];
        let mut core = Core::of_join(&join_spec("inner"), Side::Left, &[1; 16]);
        core.commit_to(committed);
        let sealed_keys = vec![seal_key(&recipients[0].seal_key, &info(&core), given).unwrap()];
        open_key(&Header { core, sealed_keys }, &recipients, &seed)
    }

    #[test]
    fn a_key_that_the_header_does_not_commit_to_is_refused() {
        assert!(header(&[1; 32], &[1; 32]).is_ok());
        let error = header(&[1; 32], &[2; 32]).unwrap_err();
        assert_eq!(error.code(), "protocol.wrong-key");
    }
}
