//! What an analyst calls: verify, then open.

use std::fs::File;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use xor_psi::sealed::spec::{JoinSpec, ReleaseSpec};
use xor_psi::sealed::{Room, Stream, hex, receive_join_within, receive_release};
use xor_psi::{OuterError, PsiError};

use crate::errors::{raise, to_python};
use crate::keys::seal_seed;
use crate::progress::with_progress;
use crate::table::ArrowStream;

/// (header, SHA-256 in hex, path of the ciphertext), as the machine's manifest names them.
type WrittenStream = (Vec<u8>, String, String);

/// Opens a join: both streams are complete and verified before anything is opened.
#[pyfunction]
#[pyo3(signature = (spec, streams, seal_private, progress, memory_bytes = None, directory = None))]
pub(crate) fn open_sealed(
    py: Python<'_>,
    spec: &[u8],
    streams: Vec<WrittenStream>,
    seal_private: &[u8],
    progress: Py<PyAny>,
    memory_bytes: Option<u64>,
    directory: Option<PathBuf>,
) -> PyResult<ArrowStream> {
    let spec = JoinSpec::parse(spec).map_err(|error| to_python(py, &error))?;
    let seed = seal_seed(py, seal_private)?;
    let streams: [WrittenStream; 2] = streams.try_into().map_err(|_| {
        raise(
            py,
            "usage.streams",
            "a sealed join has two streams, the left side's first",
            None,
        )
    })?;
    let joined = with_progress(py, progress, move |progress| {
        let [left, right] = &streams;
        let (mut left_file, mut right_file) = (open(left)?, open(right)?);
        let streams = [stream(left, &mut left_file)?, stream(right, &mut right_file)?];
        receive_join_within(
            &spec,
            streams,
            &seed,
            &room(left, memory_bytes, directory),
            progress,
        )
    })?;
    Ok(ArrowStream::new(joined))
}

/// Opens a release.
#[pyfunction]
#[pyo3(signature = (spec, stream, seal_private, progress, memory_bytes = None, directory = None))]
pub(crate) fn open_release(
    py: Python<'_>,
    spec: &[u8],
    stream: WrittenStream,
    seal_private: &[u8],
    progress: Py<PyAny>,
    memory_bytes: Option<u64>,
    directory: Option<PathBuf>,
) -> PyResult<ArrowStream> {
    let spec = ReleaseSpec::parse(spec).map_err(|error| to_python(py, &error))?;
    let seed = seal_seed(py, seal_private)?;
    let joined = with_progress(py, progress, move |progress| {
        let mut file = open(&stream)?;
        let room = room(&stream, memory_bytes, directory);
        receive_release(&spec, self::stream(&stream, &mut file)?, &seed, &room, progress)
    })?;
    Ok(ArrowStream::new(joined))
}

fn open((_, _, path): &WrittenStream) -> Result<File, PsiError> {
    File::open(path).map_err(PsiError::Read)
}

/// What does not fit goes where the streams lie, unless somebody says otherwise.
fn room((_, _, path): &WrittenStream, memory_bytes: Option<u64>, directory: Option<PathBuf>) -> Room {
    let beside = || Path::new(path).parent().map(Path::to_owned);
    let mut room = Room::new(&directory.or_else(beside).unwrap_or_default());
    room.memory_bytes = memory_bytes.unwrap_or(room.memory_bytes);
    room
}

fn stream<'a>((header, sha256, _): &'a WrittenStream, file: &'a mut File) -> Result<Stream<'a>, PsiError> {
    Ok(Stream {
        header,
        sha256: hex::decode(sha256).ok_or(OuterError::WrongDigest)?,
        source: file,
    })
}
