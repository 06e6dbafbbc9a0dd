//! The border to Python: whole steps, never a share or a key of a protocol.

#![deny(unsafe_code)]

mod errors;
mod keys;
mod local;
mod memory;
mod player;
mod progress;
mod recipient;
mod sandbox;
mod table;

use pyo3::prelude::*;

/// The compiled part of `xor._core`.
#[pymodule]
fn _rust(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(keys::job_key, module)?)?;
    module.add_function(wrap_pyfunction!(keys::seal_public_key, module)?)?;
    module.add_function(wrap_pyfunction!(memory::keep_freed_memory, module)?)?;
    module.add_function(wrap_pyfunction!(sandbox::restrict_filesystem, module)?)?;
    module.add_function(wrap_pyfunction!(player::sealed_join, module)?)?;
    module.add_function(wrap_pyfunction!(player::matched_join, module)?)?;
    module.add_function(wrap_pyfunction!(player::spill_table, module)?)?;
    module.add_function(wrap_pyfunction!(player::release_table, module)?)?;
    module.add_function(wrap_pyfunction!(recipient::open_sealed, module)?)?;
    module.add_function(wrap_pyfunction!(recipient::open_release, module)?)?;
    module.add_function(wrap_pyfunction!(local::run_locally, module)?)?;
    module.add_function(wrap_pyfunction!(local::run_matched_locally, module)?)?;
    module.add_class::<table::ArrowStream>()?;
    module.add_class::<player::SpilledTable>()?;
    // A benchmark of a build with assertions would measure the assertions.
    module.add("PROFILE", if cfg!(debug_assertions) { "dev" } else { "release" })?;
    Ok(())
}
