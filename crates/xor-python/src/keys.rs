//! Keys that Python keeps or hands on, and nothing else.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use xor_psi::sealed::outer;

use crate::errors::{raise, to_python};

/// A fresh Ed25519 seed and its public key, for the TLS of one job.
#[pyfunction]
pub(crate) fn job_key(py: Python<'_>) -> PyResult<(Bound<'_, PyBytes>, Bound<'_, PyBytes>)> {
    let seed = xor_base::random::array::<32>().map_err(|error| to_python(py, &error.into()))?;
    let public = xor_channel::tls::public_key(&seed).map_err(|error| to_python(py, &error.into()))?;
    Ok((PyBytes::new(py, &seed), PyBytes::new(py, &public)))
}

/// The X-Wing public key that belongs to a seed of 32 bytes.
#[pyfunction]
pub(crate) fn seal_public_key<'py>(py: Python<'py>, seed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let seed = seal_seed(py, seed)?;
    let key = outer::public_key(&seed).map_err(|error| to_python(py, &error.into()))?;
    Ok(PyBytes::new(py, &key))
}

/// Checks the length of a seal seed.
pub(crate) fn seal_seed(py: Python<'_>, seed: &[u8]) -> PyResult<zeroize::Zeroizing<[u8; 32]>> {
    let seed: [u8; 32] = seed
        .try_into()
        .map_err(|_| raise(py, "usage.seal-seed", "a seal key's seed has 32 bytes", None))?;
    Ok(zeroize::Zeroizing::new(seed))
}
