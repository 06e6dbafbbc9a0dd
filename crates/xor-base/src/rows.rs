//! The row codec: exact types in, the same exact types out.
//!
//! A row is a NULL bitmap of at least one byte and then its values in column order. It tells its own
//! length, and no row is longer than [`RowCodec::longest`], which follows from the schema alone.

mod decode;

use arrow_array::ArrayRef;

use crate::BaseError;
use crate::columns::{Column, Value, check_lengths};
use crate::types::Type;

/// A payload column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub kind: Type,
    /// The longest text in bytes of UTF-8; 0 for other types.
    pub max_bytes: usize,
}

/// Encodes and decodes the rows of one schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowCodec {
    fields: Vec<Field>,
}

/// A table whose columns were checked against a codec.
#[derive(Debug)]
pub struct Rows<'a> {
    codec: &'a RowCodec,
    columns: Vec<Column<'a>>,
    count: usize,
}

impl RowCodec {
    #[must_use]
    pub fn new(fields: Vec<Field>) -> Self {
        Self { fields }
    }

    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The largest encoded row of this schema, in bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.bitmap_bytes() + self.fields.iter().map(longest_value).sum::<usize>()
    }

    // At least one byte: a row without columns still has to be counted.
    fn bitmap_bytes(&self) -> usize {
        self.fields.len().div_ceil(8).max(1)
    }

    /// Checks a table before anything of it is sent.
    ///
    /// # Errors
    /// `ColumnCount`, `ColumnType`, `Ragged`; `TextTooLong` and `DecimalTooLong` name the column only.
    pub fn read<'a>(&'a self, columns: &'a [ArrayRef], rows: usize) -> Result<Rows<'a>, BaseError> {
        if self.fields.len() != columns.len() {
            return Err(BaseError::ColumnCount {
                expected: self.fields.len(),
                found: columns.len(),
            });
        }
        let mut typed = Vec::with_capacity(columns.len());
        for (field, array) in self.fields.iter().zip(columns) {
            let column = Column::new(&field.name, &field.kind, array)?;
            check_lengths(std::slice::from_ref(&column), rows)?;
            check_values(field, &column, rows)?;
            typed.push(column);
        }
        Ok(Rows {
            codec: self,
            columns: typed,
            count: rows,
        })
    }
}

impl Rows<'_> {
    /// The number of rows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// No row takes more bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.codec.longest()
    }

    /// The encoded length of a row below `count()`.
    #[must_use]
    pub fn encoded_len(&self, row: usize) -> usize {
        let values = self.codec.fields.iter().zip(&self.columns);
        let length = values.map(|(field, column)| match column.value(row) {
            None => 0,
            Some(Value::Text(text)) => length_bytes(field.max_bytes) + text.len(),
            Some(_) => longest_value(field),
        });
        self.codec.bitmap_bytes() + length.sum::<usize>()
    }

    /// Writes a row at the start of `out`, which has at least `encoded_len(row)` bytes, and returns its length.
    pub fn encode(&self, row: usize, out: &mut [u8]) -> usize {
        let total = out.len();
        let (bitmap, values) = out.split_at_mut(self.codec.bitmap_bytes());
        bitmap.fill(0);
        let mut writer = Writer(values);
        for (index, (field, column)) in self.codec.fields.iter().zip(&self.columns).enumerate() {
            match column.value(row) {
                Some(value) => writer.value(field, value),
                None => {
                    if let Some(byte) = bitmap.get_mut(index / 8) {
                        *byte |= 1 << (index % 8);
                    }
                }
            }
        }
        total - writer.0.len()
    }
}

fn longest_value(field: &Field) -> usize {
    match field.kind {
        Type::Bool => 1,
        Type::Date => 4,
        Type::Int64 | Type::Float64 | Type::Timestamp | Type::TimestampIn(_) => 8,
        Type::Decimal { precision, .. } => decimal_bytes(precision),
        Type::Text => length_bytes(field.max_bytes) + field.max_bytes,
    }
}

/// The bytes of two's complement that hold every decimal of `precision` digits.
fn decimal_bytes(precision: u8) -> usize {
    let largest = decimal_limit(precision) - 1;
    let bits = 129 - largest.leading_zeros() as usize;
    bits.div_ceil(8)
}

/// 10^precision, for a precision of at most 38.
fn decimal_limit(precision: u8) -> i128 {
    10_i128.saturating_pow(u32::from(precision))
}

fn length_bytes(max_bytes: usize) -> usize {
    match max_bytes {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    }
}

fn check_values(field: &Field, column: &Column<'_>, rows: usize) -> Result<(), BaseError> {
    match (&field.kind, column) {
        (Type::Text, _) => {
            let is_long =
                |row| matches!(column.value(row), Some(Value::Text(text)) if text.len() > field.max_bytes);
            if (0..rows).any(is_long) {
                return Err(BaseError::TextTooLong {
                    column: field.name.clone(),
                });
            }
        }
        (Type::Decimal { precision, .. }, _) => {
            let limit = decimal_limit(*precision);
            let is_long = |row| {
                matches!(column.value(row),
                    Some(Value::Decimal(value)) if value.unsigned_abs() >= limit.unsigned_abs())
            };
            if (0..rows).any(is_long) {
                return Err(BaseError::DecimalTooLong {
                    column: field.name.clone(),
                });
            }
        }
        _ => {}
    }
    Ok(())
}

/// Writes into a slice of which the right length was reserved beforehand.
struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (head, tail) = std::mem::take(&mut self.0).split_at_mut(bytes.len());
        head.copy_from_slice(bytes);
        self.0 = tail;
    }

    fn put_prefix(&mut self, bytes: &[u8], length: usize) {
        let (prefix, _) = bytes.split_at(length);
        self.put(prefix);
    }

    fn value(&mut self, field: &Field, value: Value<'_>) {
        match value {
            Value::Bool(value) => self.put(&[u8::from(value)]),
            Value::Int64(value) | Value::Micros(value) => self.put(&value.to_le_bytes()),
            Value::Float64(value) => self.put(&value.to_bits().to_le_bytes()),
            Value::Date(value) => self.put(&value.to_le_bytes()),
            Value::Decimal(value) => self.put_prefix(&value.to_le_bytes(), longest_value(field)),
            Value::Text(text) => {
                self.put_prefix(&text.len().to_le_bytes(), length_bytes(field.max_bytes));
                self.put(text.as_bytes());
            }
        }
    }
}
