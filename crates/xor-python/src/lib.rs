//! The border to Python: whole steps, never a share or a key of a protocol.

#![deny(unsafe_code)]

mod errors;
mod keys;
mod sandbox;

use pyo3::prelude::*;

/// The compiled part of `xor._core`.
#[pymodule]
fn _rust(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(keys::job_key, module)?)?;
    module.add_function(wrap_pyfunction!(keys::seal_public_key, module)?)?;
    module.add_function(wrap_pyfunction!(sandbox::restrict_filesystem, module)?)?;
    Ok(())
}
