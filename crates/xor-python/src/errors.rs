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
    raise(py, code, &error.to_string(), hint(error))
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

fn hint(error: &PsiError) -> Option<&'static str> {
    let area = error.code().split_once('.').map(|(area, _)| area)?;
    match (area, error.code()) {
        ("peer", _) => Some("start the job again; it counts as a new attempt against the policy's guesses"),
        ("resource", "resource.above-bound") => {
            Some("raise the bound that the owner declares for this dataset, and agree on it again")
        }
        ("resource", "resource.disk") => {
            Some("free space where the job keeps its files, then start it again")
        }
        ("protocol", _) => Some("do not retry: ask both owners which software and plan their machines ran"),
        ("schema", _) => Some("cast the column to the type that the catalogue declares"),
        _ => None,
    }
}
