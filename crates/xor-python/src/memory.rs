//! Memory of a process that ends with its job.

use pyo3::prelude::*;
use xor_base::kernels::memory;

/// Keeps freed memory in this process until it ends.
#[pyfunction]
pub(crate) fn keep_freed_memory() {
    memory::keep_freed();
}
