//! Rows come back exactly as they went in, and no byte string that is no row is taken for one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, LargeStringArray,
    StringArray, StringViewArray, TimestampMicrosecondArray,
};
use proptest::prelude::*;
use xor_base::BaseError;
use xor_base::rows::{Field, RowCodec};
use xor_base::types::Type;

const TYPES: [(&str, usize); 9] = [
    ("bool", 0),
    ("int64", 0),
    ("float64", 0),
    ("date", 0),
    ("decimal(5,2)", 0),
    ("decimal(38,10)", 0),
    ("text", 40),
    ("timestamp", 0),
    ("timestamp[Europe/Zurich]", 0),
];

fn codec(types: &[(&str, usize)]) -> RowCodec {
    let field = |(kind, max_bytes): &(&str, usize)| Field {
        name: (*kind).to_owned(),
        kind: Type::parse(kind).unwrap(),
        max_bytes: *max_bytes,
    };
    RowCodec::new(types.iter().map(field).collect())
}

fn decimals(values: Vec<Option<i128>>, precision: u8, scale: i8) -> ArrayRef {
    let array = Decimal128Array::from(values);
    Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
}

type Row = (
    Option<bool>,
    Option<i64>,
    Option<u64>,
    Option<i32>,
    Option<i128>,
    Option<i128>,
    Option<String>,
    Option<i64>,
);

fn row() -> impl Strategy<Value = Row> {
    let wide = 10_i128.pow(38) - 1;
    (
        any::<Option<bool>>(),
        any::<Option<i64>>(),
        // Every bit pattern: NaNs keep their payload, zero its sign.
        any::<Option<u64>>(),
        any::<Option<i32>>(),
        prop::option::of(-99_999..=99_999_i128),
        prop::option::of(-wide..=wide),
        prop::option::of("[a-z\u{fc}\u{1f600}]{0,10}"),
        any::<Option<i64>>(),
    )
}

fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    let micros = || {
        rows.iter()
            .map(|row| row.7)
            .collect::<TimestampMicrosecondArray>()
    };
    vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
        Arc::new(
            rows.iter()
                .map(|row| row.2.map(f64::from_bits))
                .collect::<Float64Array>(),
        ),
        Arc::new(rows.iter().map(|row| row.3).collect::<Date32Array>()),
        decimals(rows.iter().map(|row| row.4).collect(), 5, 2),
        decimals(rows.iter().map(|row| row.5).collect(), 38, 10),
        Arc::new(rows.iter().map(|row| row.6.as_deref()).collect::<StringArray>()),
        Arc::new(micros()),
        Arc::new(micros().with_timezone("Europe/Zurich")),
    ]
}

fn encode(codec: &RowCodec, columns: &[ArrayRef], count: usize) -> Vec<Vec<u8>> {
    let rows = codec.read(columns, count).unwrap();
    (0..count)
        .map(|row| {
            let mut bytes = vec![0xaa; rows.encoded_len(row)];
            assert_eq!(rows.encode(row, &mut bytes), bytes.len());
            bytes
        })
        .collect()
}

proptest! {
    #[test]
    fn every_type_comes_back_exactly(rows in prop::collection::vec(row(), 0..20)) {
        let (codec, columns) = (codec(&TYPES), columns(&rows));
        let encoded = encode(&codec, &columns, rows.len());
        for bytes in &encoded {
            prop_assert!(bytes.len() <= codec.longest());
            prop_assert_eq!(codec.measure(bytes), Ok(bytes.len()));
            let followed = [bytes.as_slice(), &[7; 9]].concat();
            prop_assert_eq!(codec.measure(&followed), Ok(bytes.len()));
            prop_assert_eq!(codec.measure(&bytes[..bytes.len() - 1]), Err(BaseError::MalformedRow));
        }
        let decoded = codec.decode(&encoded.iter().map(|bytes| Some(bytes.as_slice())).collect::<Vec<_>>()).unwrap();
        for (before, after) in columns.iter().zip(&decoded) {
            prop_assert_eq!(before.to_data(), after.to_data());
        }
    }

    #[test]
    fn what_is_read_as_a_row_is_written_alike(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let codec = codec(&TYPES);
        if let Ok(length) = codec.measure(&bytes) {
            let columns = codec.decode(&[Some(bytes.as_slice())]).unwrap();
            prop_assert_eq!(&encode(&codec, &columns, 1)[0], &bytes[..length]);
        }
    }
}

#[test]
fn the_largest_row_follows_from_the_schema() {
    assert_eq!(codec(&[]).longest(), 1);
    assert_eq!(
        codec(&TYPES).longest(),
        2 + 1 + 8 + 8 + 4 + 3 + 16 + (1 + 40) + 8 + 8
    );
    assert_eq!(codec(&[("text", 255)]).longest(), 1 + 1 + 255);
    assert_eq!(codec(&[("text", 256)]).longest(), 1 + 2 + 256);
    assert_eq!(codec(&[("text", 65_536)]).longest(), 1 + 4 + 65_536);
    assert_eq!(codec(&[("decimal(2,0)", 0); 9]).longest(), 2 + 9);
}

#[test]
fn rows_without_columns_are_still_rows() {
    let codec = codec(&[]);
    assert_eq!(encode(&codec, &[], 2), [[0], [0]]);
    assert_eq!(codec.measure(&[1]), Err(BaseError::MalformedRow));
}

#[test]
fn texts_are_read_in_every_layout() {
    let codec = codec(&[("text", 40)]);
    let values = vec![Some("a"), None, Some("a text longer than a view holds inline")];
    let layouts: [ArrayRef; 3] = [
        Arc::new(StringArray::from(values.clone())),
        Arc::new(LargeStringArray::from(values.clone())),
        Arc::new(StringViewArray::from(values)),
    ];
    let [first, second, third] = layouts.map(|layout| encode(&codec, &[layout], 3));
    assert_eq!(first, second);
    assert_eq!(first, third);
}

#[test]
fn tables_that_break_their_declaration_are_refused_by_column() {
    let long: ArrayRef = Arc::new(StringArray::from(vec!["12345"]));
    assert_eq!(
        codec(&[("text", 4)]).read(&[long], 1).unwrap_err(),
        BaseError::TextTooLong {
            column: "text".into()
        }
    );
    let wide = Arc::new(
        Decimal128Array::from(vec![100_000])
            .with_precision_and_scale(5, 2)
            .unwrap(),
    );
    assert_eq!(
        codec(&[("decimal(5,2)", 0)])
            .read(&[wide as ArrayRef], 1)
            .unwrap_err(),
        BaseError::DecimalTooLong {
            column: "decimal(5,2)".into()
        }
    );
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    assert!(matches!(
        codec(&[("date", 0)]).read(std::slice::from_ref(&number), 1),
        Err(BaseError::ColumnType { .. })
    ));
    assert_eq!(
        codec(&[("int64", 0)])
            .read(std::slice::from_ref(&number), 2)
            .unwrap_err(),
        BaseError::Ragged
    );
    assert!(matches!(
        codec(&[]).read(&[number], 1),
        Err(BaseError::ColumnCount { .. })
    ));
}

#[test]
fn a_row_of_nulls_decodes_to_nulls() {
    let decoded = codec(&TYPES).decode(&[None]).unwrap();
    assert!(decoded.iter().all(|column| column.is_null(0)));
}
