//! The normal form of keys, version 1: two rows match exactly if these bytes are equal.
//!
//! Per part: kind (1 byte) ‖ length (u32) ‖ value. The rule in words stands in
//! `docs/protocols/keys-and-rows.md`.

use arrow_array::ArrayRef;
use rayon::prelude::*;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::BaseError;
use crate::columns::{Column, Value, check_lengths};
use crate::derive::{Derive, Purpose};
use crate::types::Type;

const ROWS_PER_TASK: usize = 1 << 10;

/// What may be compared with what. Both sides of a join name the same kind for each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Bool,
    /// `int64` and decimals of scale 0.
    Int,
    /// Decimals with a fraction, whatever their scale.
    Decimal,
    Text,
    Date,
    Timestamp,
    /// A timestamp with a zone: an instant.
    Instant,
}

impl KeyKind {
    /// The kind under which a column of this type is compared.
    ///
    /// # Errors
    /// `FloatKey`: equality of floats is no equality of what they stand for.
    pub fn of(kind: &Type) -> Result<Self, BaseError> {
        match kind {
            Type::Bool => Ok(Self::Bool),
            Type::Int64 | Type::Decimal { scale: 0, .. } => Ok(Self::Int),
            Type::Decimal { .. } => Ok(Self::Decimal),
            Type::Text => Ok(Self::Text),
            Type::Date => Ok(Self::Date),
            Type::Timestamp => Ok(Self::Timestamp),
            Type::TimestampIn(_) => Ok(Self::Instant),
            Type::Float64 => Err(BaseError::FloatKey),
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Bool => 1,
            Self::Int => 2,
            Self::Decimal => 3,
            Self::Text => 4,
            Self::Date => 5,
            Self::Timestamp => 6,
            Self::Instant => 7,
        }
    }
}

/// The key columns of one table.
#[derive(Debug)]
pub struct Keys<'a> {
    parts: Vec<Part<'a>>,
    rows: usize,
}

#[derive(Debug)]
struct Part<'a> {
    kind: KeyKind,
    scale: u8,
    column: Column<'a>,
}

/// What each row feeds to the OPRF, or nothing where a part is NULL.
#[derive(Clone, PartialEq, Eq)]
pub struct Inputs {
    /// [rows]; zeros where `is_null`.
    pub values: Vec<[u8; 32]>,
    /// [rows]
    pub is_null: Vec<bool>,
}

impl<'a> Keys<'a> {
    /// Checks the columns against the declared types of the parts.
    ///
    /// # Errors
    /// `ColumnCount`, `ColumnType`, `Ragged`, `FloatKey`.
    pub fn new(types: &[Type], columns: &'a [ArrayRef], rows: usize) -> Result<Self, BaseError> {
        if types.len() != columns.len() {
            return Err(BaseError::ColumnCount {
                expected: types.len(),
                found: columns.len(),
            });
        }
        let mut parts = Vec::with_capacity(types.len());
        for (number, (kind, array)) in types.iter().zip(columns).enumerate() {
            let column = Column::new(&format!("key {}", number + 1), kind, array)?;
            check_lengths(std::slice::from_ref(&column), rows)?;
            let scale = match kind {
                Type::Decimal { scale, .. } => *scale,
                _ => 0,
            };
            parts.push(Part {
                kind: KeyKind::of(kind)?,
                scale,
                column,
            });
        }
        Ok(Self { parts, rows })
    }

    /// Replaces `out` by the normal form of a row below the row count; `false` if any part is NULL.
    pub fn normal_form(&self, row: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        self.parts.iter().all(|part| part.write(row, out))
    }

    /// `D("key", normal form)` of every row.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        let derive = Derive::new(Purpose::Key);
        let mut values = vec![[0; 32]; self.rows];
        let mut is_null = vec![false; self.rows];
        values
            .par_chunks_mut(ROWS_PER_TASK)
            .zip(is_null.par_chunks_mut(ROWS_PER_TASK))
            .enumerate()
            .for_each_init(Forms::default, |forms, (task, (values, is_null))| {
                self.fill_inputs(task * ROWS_PER_TASK, &derive, forms, values, is_null);
            });
        Inputs { values, is_null }
    }

    /// The inputs of the rows from `first` on, as many as `values` has room for.
    fn fill_inputs(
        &self,
        first: usize,
        derive: &Derive,
        forms: &mut Forms,
        values: &mut [[u8; 32]],
        is_null: &mut [bool],
    ) {
        forms.bytes.clear();
        forms.ends.clear();
        for (row, is_null) in (first..).zip(is_null.iter_mut()) {
            let start = forms.bytes.len();
            if !self.parts.iter().all(|part| part.write(row, &mut forms.bytes)) {
                forms.bytes.truncate(start);
                *is_null = true;
            }
            forms.ends.push(forms.bytes.len());
        }
        let starts = std::iter::once(0).chain(forms.ends.iter().copied());
        let forms = starts
            .zip(&forms.ends)
            .map(|(start, end)| forms.bytes.get(start..*end).unwrap_or_default());
        derive.fill_many(forms, values.as_flattened_mut(), 32);
        let nulls = values.iter_mut().zip(is_null).filter(|(_, is_null)| **is_null);
        nulls.for_each(|(value, _)| *value = [0; 32]);
    }
}

/// The normal forms of the rows of one task, one after the other; empty where a part is NULL.
#[derive(Default)]
struct Forms {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Part<'_> {
    /// Appends the part; `false` at NULL.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        let Some(value) = self.column.value(row) else {
            return false;
        };
        match (self.kind, value) {
            (_, Value::Text(text)) => self.append_text(text, out),
            (KeyKind::Decimal, Value::Decimal(unscaled)) => {
                let (digits, scale) = strip_zeros(unscaled, self.scale);
                let mut bytes = [0; 17];
                let (head, tail) = bytes.split_at_mut(16);
                head.copy_from_slice(&digits.to_le_bytes());
                tail.fill(scale);
                self.append(&bytes, out);
            }
            (_, Value::Decimal(whole)) => self.append(&whole.to_le_bytes(), out),
            (_, Value::Int64(value)) => self.append(&i128::from(value).to_le_bytes(), out),
            (_, Value::Bool(value)) => self.append(&[u8::from(value)], out),
            (_, Value::Date(days)) => self.append(&days.to_le_bytes(), out),
            (_, Value::Micros(micros)) => self.append(&micros.to_le_bytes(), out),
            // No key kind exists for floats: refused in `Keys::new`.
            (_, Value::Float64(_)) => return false,
        }
        true
    }

    fn append(&self, value: &[u8], out: &mut Vec<u8>) {
        // Arrow limits a text to i32 or the declared bound; 4 GiB in one value is out of reach.
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        out.push(self.kind.byte());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(value);
    }

    fn append_text(&self, text: &str, out: &mut Vec<u8>) {
        if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
            self.append(text.as_bytes(), out);
        } else {
            self.append(text.nfc().collect::<String>().as_bytes(), out);
        }
    }
}

/// 5.00 and 5.0 are one key: the shortest way to write the same number.
fn strip_zeros(mut digits: i128, mut scale: u8) -> (i128, u8) {
    while scale > 0 && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    (digits, scale)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        Decimal128Array, Int64Array, LargeStringArray, StringArray, TimestampMicrosecondArray,
    };

    use super::*;

    fn forms(kind: &str, column: ArrayRef) -> Vec<Option<Vec<u8>>> {
        let types = [Type::parse(kind).unwrap()];
        let rows = column.len();
        let columns = [column];
        let keys = Keys::new(&types, &columns, rows).unwrap();
        let mut out = Vec::new();
        (0..rows)
            .map(|row| keys.normal_form(row, &mut out).then(|| out.clone()))
            .collect()
    }

    fn decimals(values: Vec<Option<i128>>, precision: u8, scale: i8) -> ArrayRef {
        let array = Decimal128Array::from(values).with_precision_and_scale(precision, scale);
        Arc::new(array.unwrap())
    }

    #[test]
    fn the_form_is_kind_length_value() {
        let text = forms("text", Arc::new(StringArray::from(vec!["ab"])));
        assert_eq!(text, [Some(vec![4, 2, 0, 0, 0, b'a', b'b'])]);
    }

    #[test]
    fn equal_numbers_of_different_scale_are_one_key() {
        let short = forms(
            "decimal(18,1)",
            decimals(vec![Some(50), Some(0), Some(-15)], 18, 1),
        );
        let long = forms(
            "decimal(38,3)",
            decimals(vec![Some(5000), Some(0), Some(-1500)], 38, 3),
        );
        assert_eq!(short, long);
    }

    #[test]
    fn integers_match_whole_decimals_and_nothing_else() {
        let integers = forms("int64", Arc::new(Int64Array::from(vec![5])));
        assert_eq!(integers, forms("decimal(38,0)", decimals(vec![Some(5)], 38, 0)));
        assert_ne!(integers, forms("decimal(18,2)", decimals(vec![Some(500)], 18, 2)));
        assert_ne!(integers, forms("text", Arc::new(StringArray::from(vec!["5"]))));
    }

    #[test]
    fn texts_match_in_normal_form_c_and_any_layout() {
        let composed = forms("text", Arc::new(StringArray::from(vec!["Z\u{fc}rich"])));
        let decomposed = forms("text", Arc::new(LargeStringArray::from(vec!["Zu\u{308}rich"])));
        assert_eq!(composed, decomposed);
    }

    #[test]
    fn naive_and_aware_timestamps_never_match() {
        let naive = forms("timestamp", Arc::new(TimestampMicrosecondArray::from(vec![7])));
        let aware = TimestampMicrosecondArray::from(vec![7]).with_timezone("UTC");
        assert_ne!(naive, forms("timestamp[Europe/Zurich]", Arc::new(aware)));
    }

    #[test]
    fn a_null_part_is_no_key() {
        let types = [Type::Int64, Type::Text];
        let columns: [ArrayRef; 2] = [
            Arc::new(Int64Array::from(vec![Some(1), None, Some(1)])),
            Arc::new(StringArray::from(vec![Some("a"), Some("a"), None])),
        ];
        let inputs = Keys::new(&types, &columns, 3).unwrap().inputs();
        assert_eq!(inputs.is_null, [false, true, true]);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let types = [Type::Text, Type::Text];
        let columns: [ArrayRef; 2] = [
            Arc::new(StringArray::from(vec!["ab", "a"])),
            Arc::new(StringArray::from(vec!["c", "bc"])),
        ];
        let inputs = Keys::new(&types, &columns, 2).unwrap().inputs();
        assert_ne!(inputs.values[0], inputs.values[1]);
    }

    #[test]
    fn floats_are_never_keys() {
        let columns: [ArrayRef; 1] = [Arc::new(arrow_array::Float64Array::from(vec![1.0]))];
        assert_eq!(
            Keys::new(&[Type::Float64], &columns, 1).unwrap_err(),
            BaseError::FloatKey
        );
    }
}
