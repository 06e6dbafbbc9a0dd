//! Rust errors become the classes of `xor.errors`, grouped by who can fix them.

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use xor_psi::PsiError;

/// Builds the Python exception of an error of a protocol.
pub(crate) fn to_python(py: Python<'_>, error: &PsiError) -> PyErr {
    let code = error.code();
    if code == "usage.cancelled" {
        return PyKeyboardInterrupt::new_err("cancelled");
    }
    raise(py, code, &error.to_string(), error.hint())
}

/// Builds the exception whose class the code's first word names.
pub(crate) fn raise(py: Python<'_>, code: &str, message: &str, hint: Option<&str>) -> PyErr {
    build(py, code, message, hint).unwrap_or_else(|error| error)
}

fn build(py: Python<'_>, code: &str, message: &str, hint: Option<&str>) -> PyResult<PyErr> {
    let area = code.split_once('.').map_or(code, |(area, _)| area);
    let class = match area {
        "peer" => "PeerError",
        "protocol" => "ProtocolAbort",
        "resource" => "ResourceError",
        "schema" => "SchemaError",
        "usage" => "UsageError",
        _ => "InternalError",
    };
    let arguments = PyDict::new(py);
    arguments.set_item("code", code)?;
    arguments.set_item("hint", hint)?;
    let class = py.import("xor.errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((message,), Some(&arguments))?))
}
