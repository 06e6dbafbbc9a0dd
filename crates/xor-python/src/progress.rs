//! Progress goes to a Python callable; Ctrl-C and its exceptions come back as a cancelled step.

use std::ops::ControlFlow;

use pyo3::prelude::*;
use xor_psi::PsiError;
use xor_psi::oprf::{OnProgress, Progress};

use crate::errors::to_python;

/// Runs `work` without the interpreter's lock and hands its progress to `callback`.
pub(crate) fn with_progress<T: Send>(
    py: Python<'_>,
    callback: Py<PyAny>,
    work: impl FnOnce(OnProgress<'_>) -> Result<T, PsiError> + Send,
) -> PyResult<T> {
    let mut raised = None;
    let result = py.detach(|| {
        let mut tell = |event: Progress| match Python::attach(|py| call(py, &callback, event)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                raised = Some(error);
                ControlFlow::Break(())
            }
        };
        work(&mut tell)
    });
    match (raised, result) {
        (Some(error), _) => Err(error),
        (None, result) => result.map_err(|error| to_python(py, &error)),
    }
}

fn call(py: Python<'_>, callback: &Py<PyAny>, event: Progress) -> PyResult<()> {
    py.check_signals()?;
    callback
        .call1(py, (event.step, event.done, event.total))
        .map(drop)
}
