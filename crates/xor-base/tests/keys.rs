//! The published vectors of the normal form of keys.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use serde_json::Value;
use xor_base::keys::Keys;
use xor_base::types::Type;

const VECTORS: &str = include_str!("../../../tests/vectors/core/keys.json");

fn column(kind: &Type, value: &Value) -> ArrayRef {
    let number = value.as_i64();
    match kind {
        Type::Bool => Arc::new(BooleanArray::from(vec![value.as_bool()])),
        Type::Int64 => Arc::new(Int64Array::from(vec![number])),
        Type::Text => Arc::new(StringArray::from(vec![value.as_str()])),
        Type::Date => Arc::new(Date32Array::from(vec![number.map(|days| days as i32)])),
        Type::Timestamp => Arc::new(TimestampMicrosecondArray::from(vec![number])),
        Type::TimestampIn(zone) => {
            Arc::new(TimestampMicrosecondArray::from(vec![number]).with_timezone(zone.as_ref()))
        }
        Type::Decimal { precision, scale } => {
            let unscaled = Decimal128Array::from(vec![number.map(i128::from)]);
            Arc::new(
                unscaled
                    .with_precision_and_scale(*precision, *scale as i8)
                    .unwrap(),
            )
        }
        Type::Float64 => panic!("no key"),
    }
}

#[test]
fn keys_have_the_published_form() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let kind = Type::parse(case["type"].as_str().unwrap()).unwrap();
        let columns = [column(&kind, &case["value"])];
        let mut form = Vec::new();
        let has_key = Keys::new(&[kind], &columns, 1).unwrap().normal_form(0, &mut form);
        let hex = form.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(has_key.then_some(hex.as_str()), case["form"].as_str(), "{case}");
    }
}
