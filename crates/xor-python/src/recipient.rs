//! What an analyst calls: verify, then open.

use std::fs::File;

use pyo3::prelude::*;
use xor_psi::sealed::spec::{JoinSpec, ReleaseSpec};
use xor_psi::sealed::{Stream, hex, receive_join, receive_release};
use xor_psi::{OuterError, PsiError};

use crate::errors::{raise, to_python};
use crate::keys::seal_seed;
use crate::progress::with_progress;
use crate::table::ArrowStream;

/// (header, SHA-256 in hex, path of the ciphertext), as the machine's manifest names them.
type WrittenStream = (Vec<u8>, String, String);

/// Opens a join: both streams are complete and verified before anything is opened.
#[pyfunction]
pub(crate) fn open_sealed(
    py: Python<'_>,
    spec: &[u8],
    streams: Vec<WrittenStream>,
    seal_private: &[u8],
    progress: Py<PyAny>,
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
        receive_join(&spec, streams, &seed, progress)
    })?;
    Ok(ArrowStream::new(joined))
}

/// Opens a release.
#[pyfunction]
pub(crate) fn open_release(
    py: Python<'_>,
    spec: &[u8],
    stream: WrittenStream,
    seal_private: &[u8],
    progress: Py<PyAny>,
) -> PyResult<ArrowStream> {
    let spec = ReleaseSpec::parse(spec).map_err(|error| to_python(py, &error))?;
    let seed = seal_seed(py, seal_private)?;
    let joined = with_progress(py, progress, move |progress| {
        let mut file = open(&stream)?;
        receive_release(&spec, self::stream(&stream, &mut file)?, &seed, progress)
    })?;
    Ok(ArrowStream::new(joined))
}

fn open((_, _, path): &WrittenStream) -> Result<File, PsiError> {
    File::open(path).map_err(PsiError::Read)
}

fn stream<'a>((header, sha256, _): &'a WrittenStream, file: &'a mut File) -> Result<Stream<'a>, PsiError> {
    Ok(Stream {
        header,
        sha256: hex::decode(sha256).ok_or(OuterError::WrongDigest)?,
        source: file,
    })
}
