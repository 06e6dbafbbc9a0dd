//! Arrow tables in and out, without a Python loop over rows.

use std::sync::{Arc, Mutex};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchReader, StructArray};
use arrow_schema::{ArrowError, Field, SchemaRef};
use arrow_select::concat::concat_batches;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use pyo3_arrow::PyRecordBatchReader;
use pyo3_arrow::error::PyArrowResult;
use pyo3_arrow::ffi::{ArrayIterator, to_stream_pycapsule};
use xor_psi::sealed::{Joined, Table};
use xor_psi::{BaseError, PsiError};

/// Rows of one batch that are looked at together: a caller's batches may be of any size.
const SLICE_ROWS: usize = 1 << 16;

pub(crate) type Reader = Box<dyn RecordBatchReader + Send>;

/// Reads a whole table from any exporter of an Arrow stream.
pub(crate) fn read(table: PyRecordBatchReader) -> PyResult<Result<RecordBatch, PsiError>> {
    Ok(read_all(table.into_reader()?))
}

/// Reads a whole table.
pub(crate) fn read_all(reader: Reader) -> Result<RecordBatch, PsiError> {
    let schema = reader.schema();
    let mut batches = reader.collect::<Result<Vec<_>, _>>().map_err(broken)?;
    match (batches.pop(), batches.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            batches.push(last);
            concat_batches(&schema, &batches).map_err(broken)
        }
        (None, _) => Ok(RecordBatch::new_empty(schema)),
    }
}

// Arrow's own messages, and those of whoever produces the stream, may quote a cell.
fn broken(_: ArrowError) -> PsiError {
    PsiError::Table(BaseError::Column("its stream cannot be read"))
}

/// A table as it is read, a few rows at a time. One without rows gives its columns once, to be checked.
pub(crate) fn slices(reader: Reader) -> impl Iterator<Item = Result<RecordBatch, PsiError>> {
    let empty = RecordBatch::new_empty(reader.schema());
    let slices = reader.flat_map(|batch| {
        let batch = batch.map_err(broken);
        let rows = batch.as_ref().map_or(1, RecordBatch::num_rows);
        (0..rows).step_by(SLICE_ROWS).map(move |first| match &batch {
            Ok(batch) => Ok(batch.slice(first, SLICE_ROWS.min(rows - first))),
            Err(_) => Err(PsiError::Table(BaseError::Column("its stream cannot be read"))),
        })
    });
    std::iter::once(Ok(empty)).chain(slices)
}

/// As [`slices`], each as [`split`] gives it.
pub(crate) fn tables(reader: Reader, key_parts: usize) -> impl Iterator<Item = Result<Table, PsiError>> {
    slices(reader).map(move |batch| split(&batch?, key_parts))
}

/// The first `key_parts` columns are the key, the others the payload.
pub(crate) fn split(batch: &RecordBatch, key_parts: usize) -> Result<Table, PsiError> {
    let (keys, payload) = batch
        .columns()
        .split_at_checked(key_parts)
        .ok_or(BaseError::ColumnCount {
            expected: key_parts,
            found: batch.num_columns(),
        })?;
    Ok(Table {
        keys: keys.to_vec(),
        payload: payload.to_vec(),
        rows: batch.num_rows(),
    })
}

/// Rows that are decoded as they are read: an Arrow stream that can be consumed once.
#[pyclass(frozen, module = "xor._core")]
pub(crate) struct ArrowStream {
    /// The number of rows; a join may multiply to more than memory holds.
    #[pyo3(get)]
    rows: u64,
    schema: SchemaRef,
    batches: Mutex<Option<Batches>>,
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, PsiError>> + Send>;

impl ArrowStream {
    pub(crate) fn new(joined: Joined) -> Self {
        Self {
            rows: joined.rows(),
            schema: joined.schema(),
            batches: Mutex::new(Some(Box::new(joined))),
        }
    }

    /// One batch.
    pub(crate) fn of(batch: RecordBatch) -> Self {
        Self {
            rows: batch.num_rows() as u64,
            schema: batch.schema(),
            batches: Mutex::new(Some(Box::new(std::iter::once(Ok(batch))))),
        }
    }
}

#[pymethods]
impl ArrowStream {
    /// The Arrow PyCapsule interface.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyArrowResult<Bound<'py, PyCapsule>> {
        let batches = self
            .batches
            .lock()
            .map(|mut batches| batches.take())
            .unwrap_or_default();
        let batches = batches.ok_or_else(|| {
            crate::errors::raise(py, "usage.stream-consumed", "this stream was already read", None)
        })?;
        let field = Arc::new(Field::new_struct("", self.schema.fields().clone(), false));
        let batches = batches.map(|batch| {
            let batch = batch.map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
            Ok(Arc::new(StructArray::from(batch)) as ArrayRef)
        });
        to_stream_pycapsule(py, Box::new(ArrayIterator::new(batches, field)), requested_schema)
    }
}
