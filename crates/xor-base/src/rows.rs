//! The row codec: exact types in, the same exact types out.
//!
//! A row is a NULL bitmap of at least one byte and then its values in column order. It tells its own
//! length, and no row is longer than [`RowCodec::longest`], which follows from the schema alone.

use arrow_array::ArrayRef;

use crate::BaseError;
use crate::columns::{Column, ColumnBuilder, Value, check_lengths};
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

    /// Checks one row at the start of `bytes` and returns its length.
    ///
    /// # Errors
    /// `MalformedRow` whenever encoding what was read would not give the same bytes.
    pub fn measure(&self, bytes: &[u8]) -> Result<usize, BaseError> {
        self.parse(bytes, |_, _| Ok(()))
    }

    /// Turns rows into columns; `None` is a row of NULLs. What follows a row in its slice is not looked at.
    ///
    /// # Errors
    /// `MalformedRow`.
    pub fn decode<'b>(
        &self,
        rows: impl ExactSizeIterator<Item = Option<&'b [u8]>>,
    ) -> Result<Vec<ArrayRef>, BaseError> {
        let count = rows.len();
        let mut builders: Vec<_> = self
            .fields
            .iter()
            .map(|field| ColumnBuilder::new(&field.kind, count))
            .collect();
        for row in rows {
            let Some(bytes) = row else {
                builders.iter_mut().for_each(ColumnBuilder::append_null);
                continue;
            };
            self.parse(bytes, |index, value| {
                let builder = builders.get_mut(index).ok_or(BaseError::MalformedRow)?;
                match value {
                    Some(value) => builder.append(value),
                    None => {
                        builder.append_null();
                        Ok(())
                    }
                }
            })?;
        }
        Ok(builders.iter_mut().map(ColumnBuilder::finish).collect())
    }

    fn parse<'b>(
        &self,
        bytes: &'b [u8],
        mut each: impl FnMut(usize, Option<Value<'b>>) -> Result<(), BaseError>,
    ) -> Result<usize, BaseError> {
        let mut reader = Reader(bytes);
        let bitmap = reader.take(self.bitmap_bytes())?;
        let is_null = |index: usize| {
            bitmap
                .get(index / 8)
                .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
        };
        if (self.fields.len()..bitmap.len() * 8).any(is_null) {
            return Err(BaseError::MalformedRow);
        }
        for (index, field) in self.fields.iter().enumerate() {
            let value = if is_null(index) {
                None
            } else {
                Some(reader.value(field)?)
            };
            each(index, value)?;
        }
        Ok(bytes.len() - reader.0.len())
    }
}

impl Rows<'_> {
    /// The number of rows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
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

/// Reads what an unknown peer wrote: nothing here can fail other than with `MalformedRow`.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BaseError> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(BaseError::MalformedRow)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BaseError> {
        self.take(N)?.try_into().map_err(|_| BaseError::MalformedRow)
    }

    /// An unsigned integer of at most 4 bytes.
    fn length(&mut self, bytes: usize) -> Result<usize, BaseError> {
        let little_endian = self.take(bytes)?;
        Ok(little_endian
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | usize::from(*byte)))
    }

    fn value(&mut self, field: &Field) -> Result<Value<'a>, BaseError> {
        match &field.kind {
            Type::Bool => match self.array::<1>()? {
                [0] => Ok(Value::Bool(false)),
                [1] => Ok(Value::Bool(true)),
                _ => Err(BaseError::MalformedRow),
            },
            Type::Int64 => Ok(Value::Int64(i64::from_le_bytes(self.array()?))),
            Type::Float64 => Ok(Value::Float64(f64::from_bits(u64::from_le_bytes(self.array()?)))),
            Type::Date => Ok(Value::Date(i32::from_le_bytes(self.array()?))),
            Type::Decimal { precision, .. } => self.decimal(*precision),
            Type::Text => self.text(field.max_bytes),
            Type::Timestamp | Type::TimestampIn(_) => Ok(Value::Micros(i64::from_le_bytes(self.array()?))),
        }
    }

    fn decimal(&mut self, precision: u8) -> Result<Value<'a>, BaseError> {
        let bytes = self.take(decimal_bytes(precision))?;
        let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) {
            0xff
        } else {
            0
        };
        let mut wide = [sign; 16];
        wide.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let value = i128::from_le_bytes(wide);
        if value.unsigned_abs() < decimal_limit(precision).unsigned_abs() {
            Ok(Value::Decimal(value))
        } else {
            Err(BaseError::MalformedRow)
        }
    }

    fn text(&mut self, max_bytes: usize) -> Result<Value<'a>, BaseError> {
        let length = self.length(length_bytes(max_bytes))?;
        if length > max_bytes {
            return Err(BaseError::MalformedRow);
        }
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| BaseError::MalformedRow)?;
        Ok(Value::Text(text))
    }
}
