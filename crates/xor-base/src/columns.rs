//! Arrow arrays behind their declared types, read value by value.

use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, LargeStringArray,
    StringArray, StringViewArray, TimestampMicrosecondArray,
};

use crate::BaseError;
use crate::types::Type;

/// One value, as both codecs read it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Bool(bool),
    Int64(i64),
    Float64(f64),
    Date(i32),
    Decimal(i128),
    Text(&'a str),
    Micros(i64),
}

/// A column whose Arrow type has been checked against its declared one.
#[derive(Debug)]
pub(crate) enum Column<'a> {
    Bool(&'a BooleanArray),
    Int64(&'a Int64Array),
    Float64(&'a Float64Array),
    Date(&'a Date32Array),
    Decimal(&'a Decimal128Array),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    TextView(&'a StringViewArray),
    Micros(&'a TimestampMicrosecondArray),
}

impl<'a> Column<'a> {
    /// Checks that `array` holds exactly `kind`.
    pub(crate) fn new(name: &str, kind: &Type, array: &'a ArrayRef) -> Result<Self, BaseError> {
        let column = if kind.accepts(array.data_type()) {
            Self::downcast(array)
        } else {
            None
        };
        column.ok_or_else(|| BaseError::ColumnType {
            column: name.to_owned(),
            expected: kind.to_string(),
            found: array.data_type().to_string(),
        })
    }

    fn downcast(array: &'a ArrayRef) -> Option<Self> {
        fn cast<T: 'static>(array: &ArrayRef) -> Option<&T> {
            array.as_any().downcast_ref()
        }
        cast(array)
            .map(Self::Bool)
            .or_else(|| cast(array).map(Self::Int64))
            .or_else(|| cast(array).map(Self::Float64))
            .or_else(|| cast(array).map(Self::Date))
            .or_else(|| cast(array).map(Self::Decimal))
            .or_else(|| cast(array).map(Self::Text))
            .or_else(|| cast(array).map(Self::LargeText))
            .or_else(|| cast(array).map(Self::TextView))
            .or_else(|| cast(array).map(Self::Micros))
    }

    pub(crate) fn len(&self) -> usize {
        self.array().len()
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Bool(array) => *array,
            Self::Int64(array) => *array,
            Self::Float64(array) => *array,
            Self::Date(array) => *array,
            Self::Decimal(array) => *array,
            Self::Text(array) => *array,
            Self::LargeText(array) => *array,
            Self::TextView(array) => *array,
            Self::Micros(array) => *array,
        }
    }

    /// The value in `row`, which must be below `len()`; `None` is NULL.
    #[inline]
    pub(crate) fn value(&self, row: usize) -> Option<Value<'a>> {
        match self {
            Self::Bool(array) => array.is_valid(row).then(|| Value::Bool(array.value(row))),
            Self::Int64(array) => array.is_valid(row).then(|| Value::Int64(array.value(row))),
            Self::Float64(array) => array.is_valid(row).then(|| Value::Float64(array.value(row))),
            Self::Date(array) => array.is_valid(row).then(|| Value::Date(array.value(row))),
            Self::Decimal(array) => array.is_valid(row).then(|| Value::Decimal(array.value(row))),
            Self::Text(array) => array.is_valid(row).then(|| Value::Text(array.value(row))),
            Self::LargeText(array) => array.is_valid(row).then(|| Value::Text(array.value(row))),
            Self::TextView(array) => array.is_valid(row).then(|| Value::Text(array.value(row))),
            Self::Micros(array) => array.is_valid(row).then(|| Value::Micros(array.value(row))),
        }
    }
}

/// Checks that all columns have `rows` rows.
pub(crate) fn check_lengths(columns: &[Column<'_>], rows: usize) -> Result<(), BaseError> {
    if columns.iter().all(|column| column.len() == rows) {
        Ok(())
    } else {
        Err(BaseError::Ragged)
    }
}
