//! The recipient's order of work: both streams complete and verified, then both opened, then the join.

use std::io::{Read, Seek, SeekFrom};

use super::header::{Core, Header};
use super::join::notify;
use super::joined::Joined;
use super::layout::stream_bytes;
use super::opening::{self, Room, Sealed};
use super::outer::{self, SEAL_SEED_BYTES};
use super::spec::{Binding, JoinSpec, ReleaseSpec};
use crate::oprf::{OnProgress, Side};
use crate::{OuterError, PsiError};

/// Anything a ciphertext can be read from twice: once to verify, once to open.
pub trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// One player's stream, with what its machine signed.
pub struct Stream<'a> {
    pub header: &'a [u8],
    pub sha256: [u8; 32],
    pub source: &'a mut dyn Source,
}

/// As [`receive_join_within`], in memory.
///
/// # Errors
/// As [`receive_join_within`].
pub fn receive_join(
    spec: &JoinSpec,
    streams: [Stream<'_>; 2],
    seed: &[u8; SEAL_SEED_BYTES],
    progress: OnProgress<'_>,
) -> Result<Joined, PsiError> {
    receive_join_within(spec, streams, seed, &Room::unlimited(), progress)
}

/// Verifies and opens both streams of a join, the left side's first; in memory if they fit into the room.
///
/// # Errors
/// `Outer` before anything is opened; `Opening` for what a player did wrong inside.
///
/// # Security
/// Headers and digests must come from manifests whose signatures were checked. Errors are for the
/// recipient alone.
pub fn receive_join_within(
    spec: &JoinSpec,
    streams: [Stream<'_>; 2],
    seed: &[u8; SEAL_SEED_BYTES],
    room: &Room,
    progress: OnProgress<'_>,
) -> Result<Joined, PsiError> {
    let [mut left, mut right] = streams;
    let headers = [Header::parse(left.header)?, Header::parse(right.header)?];
    let [left_header, right_header] = &headers;
    if [left_header.core.side(), right_header.core.side()] != [Side::Left.byte(), Side::Right.byte()] {
        return Err(OuterError::WrongSide.into());
    }
    let attempt = left_header.core.attempt()?;
    if right_header.core.attempt()? != attempt {
        return Err(OuterError::AttemptsDiffer.into());
    }
    left_header.check(Core::of_join(spec, Side::Left, &attempt))?;
    right_header.check(Core::of_join(spec, Side::Right, &attempt))?;
    let (left_verified, right_verified) =
        rayon::join(|| left.verify(left_header), || right.verify(right_header));
    left_verified.and(right_verified)?;
    let total = spec.bound(Side::Left) + spec.bound(Side::Right);
    notify(progress, "verify", total)?;
    let bytes = left_header.core.plain_bytes + right_header.core.plain_bytes;
    if bytes > room.memory_bytes {
        let left = left.into_sealed(left_header, &spec.binding, seed)?;
        let right = right.into_sealed(right_header, &spec.binding, seed)?;
        notify(progress, "open", total)?;
        return opening::open_streamed(spec, attempt, [left, right], room, progress);
    }
    let (left_plain, right_plain) = rayon::join(
        || left.open(left_header, &spec.binding, seed),
        || right.open(right_header, &spec.binding, seed),
    );
    let (left_plain, right_plain) = (left_plain?, right_plain?);
    notify(progress, "open", total)?;
    let joined = opening::open(spec, attempt, [&left_plain, &right_plain])?;
    notify(progress, "match", total)?;
    Ok(joined)
}

/// Verifies and opens a release.
///
/// # Errors
/// As [`receive_join_within`].
pub fn receive_release(
    spec: &ReleaseSpec,
    mut stream: Stream<'_>,
    seed: &[u8; SEAL_SEED_BYTES],
    room: &Room,
    progress: OnProgress<'_>,
) -> Result<Joined, PsiError> {
    let header = Header::parse(stream.header)?;
    header.check(Core::of_release(spec, &header.core.attempt()?))?;
    stream.verify(&header)?;
    notify(progress, "verify", spec.rows)?;
    let mut sealed = stream.into_sealed(&header, &spec.binding, seed)?;
    opening::open_release(spec, &mut sealed, room, progress)
}

impl Stream<'_> {
    fn verify(&mut self, header: &Header) -> Result<(), PsiError> {
        self.rewind()?;
        outer::verify(
            &mut self.source,
            stream_bytes(header.core.plain_bytes),
            &self.sha256,
        )
    }

    fn open(
        &mut self,
        header: &Header,
        binding: &Binding,
        seed: &[u8; SEAL_SEED_BYTES],
    ) -> Result<Vec<u8>, PsiError> {
        let key = outer::open_key(header, &binding.recipients, seed)?;
        self.rewind()?;
        key.open(&mut self.source, header.core.plain_bytes)
    }

    fn into_sealed<'s>(
        self,
        header: &Header,
        binding: &Binding,
        seed: &[u8; SEAL_SEED_BYTES],
    ) -> Result<Sealed<'s>, PsiError>
    where
        Self: 's,
    {
        let key = outer::open_key(header, &binding.recipients, seed)?;
        Sealed::new(self.source, key, header.core.plain_bytes)
    }

    fn rewind(&mut self) -> Result<(), PsiError> {
        self.source.seek(SeekFrom::Start(0)).map_err(PsiError::Read)?;
        Ok(())
    }
}
