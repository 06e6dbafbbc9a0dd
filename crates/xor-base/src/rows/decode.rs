//! From bytes that an unknown peer wrote to rows: nothing here can fail other than with `MalformedRow`.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};

use super::{Field, RowCodec, decimal_bytes, decimal_limit, length_bytes};
use crate::BaseError;
use crate::types::Type;

impl RowCodec {
    /// Checks one row at the start of `bytes` and returns its length.
    ///
    /// # Errors
    /// `MalformedRow` whenever encoding what was read would not give the same bytes.
    pub fn measure(&self, bytes: &[u8]) -> Result<usize, BaseError> {
        let mut reader = Reader(bytes);
        let bitmap = self.bitmap(&mut reader)?;
        for (index, field) in self.fields.iter().enumerate() {
            if !is_null(bitmap, index) {
                reader.skip(field)?;
            }
        }
        Ok(bytes.len() - reader.0.len())
    }

    /// Turns rows into columns; `None` is a row of NULLs. What follows a row in its slice is not looked at.
    ///
    /// # Errors
    /// `MalformedRow`.
    pub fn decode(&self, rows: &[Option<&[u8]>]) -> Result<Vec<ArrayRef>, BaseError> {
        let mut columns = Rests::new(self, rows)?;
        self.fields
            .iter()
            .enumerate()
            .map(|(index, field)| columns.next(index, field))
            .collect()
    }

    fn bitmap<'b>(&self, reader: &mut Reader<'b>) -> Result<&'b [u8], BaseError> {
        let bitmap = reader.take(self.bitmap_bytes())?;
        // Bits without a column: one written form only.
        if (self.fields.len()..bitmap.len() * 8).any(|index| is_null(bitmap, index)) {
            return Err(BaseError::MalformedRow);
        }
        Ok(bitmap)
    }
}

fn is_null(bitmap: &[u8], index: usize) -> bool {
    bitmap
        .get(index / 8)
        .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// Of each row its bitmap, and what of it was not read yet: columns are decoded one after the other.
struct Rests<'b>(Vec<Option<(&'b [u8], Reader<'b>)>>);

impl<'b> Rests<'b> {
    fn new(codec: &RowCodec, rows: &[Option<&'b [u8]>]) -> Result<Self, BaseError> {
        let rest = |row: &Option<&'b [u8]>| {
            let Some(bytes) = row else { return Ok(None) };
            let mut reader = Reader(bytes);
            Ok(Some((codec.bitmap(&mut reader)?, reader)))
        };
        rows.iter().map(rest).collect::<Result<_, _>>().map(Self)
    }

    /// Reads column `index` of all rows; columns before it have been read.
    fn next(&mut self, index: usize, field: &Field) -> Result<ArrayRef, BaseError> {
        let rows = self.0.len();
        match &field.kind {
            Type::Bool => {
                let mut builder = BooleanBuilder::with_capacity(rows);
                self.each(index, Reader::bool, |value| builder.append_option(value))?;
                Ok(Arc::new(builder.finish()))
            }
            Type::Text => {
                let mut builder = StringBuilder::with_capacity(rows, rows * field.max_bytes.min(16));
                let read = |reader: &mut Reader<'b>| reader.text(field.max_bytes);
                self.each(index, read, |value| builder.append_option(value))?;
                Ok(Arc::new(builder.finish()))
            }
            Type::Int64 => {
                self.plain::<Int64Type>(index, field, |reader| reader.array().map(i64::from_le_bytes))
            }
            Type::Float64 => {
                let read =
                    |reader: &mut Reader<'b>| reader.array().map(u64::from_le_bytes).map(f64::from_bits);
                self.plain::<Float64Type>(index, field, read)
            }
            Type::Date => {
                self.plain::<Date32Type>(index, field, |reader| reader.array().map(i32::from_le_bytes))
            }
            Type::Decimal { precision, .. } => {
                self.plain::<Decimal128Type>(index, field, |reader| reader.decimal(*precision))
            }
            Type::Timestamp | Type::TimestampIn(_) => {
                let read = |reader: &mut Reader<'b>| reader.array().map(i64::from_le_bytes);
                self.plain::<TimestampMicrosecondType>(index, field, read)
            }
        }
    }

    fn plain<T: ArrowPrimitiveType>(
        &mut self,
        index: usize,
        field: &Field,
        read: impl Fn(&mut Reader<'b>) -> Result<T::Native, BaseError>,
    ) -> Result<ArrayRef, BaseError> {
        let builder = PrimitiveBuilder::<T>::with_capacity(self.0.len());
        let mut builder = builder.with_data_type(field.kind.arrow());
        self.each(index, read, |value| builder.append_option(value))?;
        Ok(Arc::new(builder.finish()))
    }

    #[inline]
    fn each<V>(
        &mut self,
        index: usize,
        read: impl Fn(&mut Reader<'b>) -> Result<V, BaseError>,
        mut append: impl FnMut(Option<V>),
    ) -> Result<(), BaseError> {
        for rest in &mut self.0 {
            match rest {
                Some((bitmap, reader)) if !is_null(bitmap, index) => append(Some(read(reader)?)),
                _ => append(None),
            }
        }
        Ok(())
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    #[inline]
    fn take(&mut self, count: usize) -> Result<&'b [u8], BaseError> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(BaseError::MalformedRow)?;
        self.0 = tail;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], BaseError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(BaseError::MalformedRow)?;
        self.0 = tail;
        Ok(*head)
    }

    /// Checks a value without keeping it.
    #[inline]
    fn skip(&mut self, field: &Field) -> Result<(), BaseError> {
        match &field.kind {
            Type::Bool => self.bool().map(drop),
            Type::Date => self.array::<4>().map(drop),
            Type::Decimal { precision, .. } => self.decimal(*precision).map(drop),
            Type::Text => self.text(field.max_bytes).map(drop),
            Type::Int64 | Type::Float64 | Type::Timestamp | Type::TimestampIn(_) => {
                self.array::<8>().map(drop)
            }
        }
    }

    #[inline]
    fn bool(&mut self) -> Result<bool, BaseError> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(BaseError::MalformedRow),
        }
    }

    fn decimal(&mut self, precision: u8) -> Result<i128, BaseError> {
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
            Ok(value)
        } else {
            Err(BaseError::MalformedRow)
        }
    }

    /// An unsigned integer of 1, 2 or 4 bytes.
    #[inline]
    fn length(&mut self, bytes: usize) -> Result<usize, BaseError> {
        Ok(match bytes {
            1 => usize::from(u8::from_le_bytes(self.array()?)),
            2 => usize::from(u16::from_le_bytes(self.array()?)),
            _ => u32::from_le_bytes(self.array()?) as usize,
        })
    }

    #[inline]
    fn text(&mut self, max_bytes: usize) -> Result<&'b str, BaseError> {
        let length = self.length(length_bytes(max_bytes))?;
        if length > max_bytes {
            return Err(BaseError::MalformedRow);
        }
        std::str::from_utf8(self.take(length)?).map_err(|_| BaseError::MalformedRow)
    }
}
