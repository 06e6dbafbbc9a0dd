//! The types of the platform, as they are written in a specification.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};

use crate::BaseError;

/// The type of a column. Every column is nullable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    Bool,
    Int64,
    Float64,
    Date,
    Text,
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// Microseconds since the epoch, in no zone.
    Timestamp,
    /// An instant in microseconds; the zone is only how it is shown.
    TimestampIn(Arc<str>),
}

const MAX_ZONE_BYTES: usize = 64;

impl Type {
    /// Reads `bool`, `int64`, `float64`, `date`, `text`, `decimal(p,s)`, `timestamp` or `timestamp[ZONE]`.
    ///
    /// # Errors
    /// `UnknownType` for anything else.
    pub fn parse(text: &str) -> Result<Self, BaseError> {
        match text {
            "bool" => Ok(Self::Bool),
            "int64" => Ok(Self::Int64),
            "float64" => Ok(Self::Float64),
            "date" => Ok(Self::Date),
            "text" => Ok(Self::Text),
            "timestamp" => Ok(Self::Timestamp),
            _ => parse_decimal(text)
                .or_else(|| parse_zone(text))
                .ok_or_else(|| BaseError::UnknownType {
                    name: text.chars().take(MAX_ZONE_BYTES).collect(),
                }),
        }
    }

    /// The Arrow type of a column that this library makes.
    #[must_use]
    pub fn arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Text => DataType::Utf8,
            Self::Decimal { precision, scale } => {
                // A scale is at most 38: checked where the type was read.
                DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(0))
            }
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampIn(zone) => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone))),
        }
    }

    /// Whether a column that Arrow calls `other` has exactly this type; texts come in three layouts,
    /// and a zone is only how an instant is shown.
    #[must_use]
    pub fn accepts(&self, other: &DataType) -> bool {
        match (self, other) {
            (Self::Text, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => true,
            (Self::TimestampIn(_), DataType::Timestamp(TimeUnit::Microsecond, Some(_))) => true,
            _ => self.arrow() == *other,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => formatter.write_str("bool"),
            Self::Int64 => formatter.write_str("int64"),
            Self::Float64 => formatter.write_str("float64"),
            Self::Date => formatter.write_str("date"),
            Self::Text => formatter.write_str("text"),
            Self::Decimal { precision, scale } => write!(formatter, "decimal({precision},{scale})"),
            Self::Timestamp => formatter.write_str("timestamp"),
            Self::TimestampIn(zone) => write!(formatter, "timestamp[{zone}]"),
        }
    }
}

fn parse_decimal(text: &str) -> Option<Type> {
    let (precision, scale) = text
        .strip_prefix("decimal(")?
        .strip_suffix(')')?
        .split_once(',')?;
    let (precision, scale): (u8, u8) = (precision.parse().ok()?, scale.parse().ok()?);
    let is_written_once = text == format!("decimal({precision},{scale})");
    (is_written_once && (1..=38).contains(&precision) && scale <= precision)
        .then_some(Type::Decimal { precision, scale })
}

fn parse_zone(text: &str) -> Option<Type> {
    let zone = text.strip_prefix("timestamp[")?.strip_suffix(']')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-:".contains(&byte);
    (!zone.is_empty() && zone.len() <= MAX_ZONE_BYTES && zone.bytes().all(is_name))
        .then(|| Type::TimestampIn(Arc::from(zone)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_they_are_read() {
        for text in [
            "bool",
            "int64",
            "float64",
            "date",
            "text",
            "decimal(38,0)",
            "decimal(18,2)",
            "timestamp",
            "timestamp[Europe/Zurich]",
            "timestamp[+01:00]",
        ] {
            assert_eq!(
                Type::parse(text).map(|read| read.to_string()),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn anything_else_is_no_type() {
        for text in [
            "",
            "int32",
            "decimal",
            "decimal(0,0)",
            "decimal(39,0)",
            "decimal(2,3)",
            "decimal(+5,2)",
            "decimal(5, 2)",
            "decimal(5,-1)",
            "timestamp[]",
            "timestamp[a b]",
            "timestamp[Z",
            "TEXT",
        ] {
            assert!(Type::parse(text).is_err(), "{text}");
        }
    }
}
