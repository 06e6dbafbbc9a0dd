use serde_json::{Value, json};

use super::*;

fn document(kind: &str) -> Value {
    let opener = usize::from(matches!(kind, "right" | "semi"));
    let right = if kind == "semi" {
        json!([])
    } else {
        json!([{"name": "r", "type": "int64"}])
    };
    json!({
        "version": 1, "plan_hash": "0f".repeat(32), "node": 3, "kind": kind, "opener": opener,
        "rows": [5, 7],
        "keys": [{"left": {"type": "int64"}, "right": {"type": "decimal(9,0)"}}],
        "payload": [[{"name": "l", "type": "text", "max_bytes": 9}], right],
        "oprf": "dh",
        "recipients": [{"name": "desk", "seal_key": "00".repeat(SEAL_KEY_BYTES)}],
    })
}

fn parse(document: &Value) -> Result<JoinSpec, PsiError> {
    JoinSpec::parse(&serde_json::to_vec(document).unwrap())
}

pub fn join_spec(kind: &str) -> JoinSpec {
    parse(&document(kind)).unwrap()
}

pub fn join_spec_of(kind: &str, rows: [usize; 2]) -> JoinSpec {
    let mut document = document(kind);
    document["rows"] = json!(rows);
    parse(&document).unwrap()
}

#[test]
fn every_kind_is_read() {
    for kind in ["inner", "semi", "left", "right", "outer"] {
        assert_eq!(join_spec(kind).bound(Side::Right), 7, "{kind}");
    }
}

#[test]
fn whatever_is_out_of_its_limits_is_refused() {
    let field = |max: u64| json!([[{"name": "l", "type": "text", "max_bytes": max}], []]);
    let wrong = [
        ("/version", json!(2)),
        ("/plan_hash", json!("0f")),
        ("/plan_hash", json!("0F".repeat(32))),
        ("/node", json!(-1)),
        ("/node", json!(1_u64 << 32)),
        ("/kind", json!("anti")),
        ("/opener", json!(1)),
        ("/opener", json!(2)),
        ("/rows", json!([5])),
        ("/rows/1", json!((1 << 27) + 1)),
        ("/rows/0", json!(1.5)),
        ("/keys", json!([])),
        (
            "/keys",
            Value::Array(vec![document("inner")["keys"][0].clone(); MAX_KEY_PARTS + 1]),
        ),
        ("/keys/0/left/type", json!("float64")),
        ("/keys/0/left/type", json!("text")),
        ("/keys/0/left/type", json!("decimal(9,2)")),
        ("/payload/0/0/name", json!("")),
        ("/payload/0/0/name", json!("x".repeat(MAX_NAME_BYTES + 1))),
        ("/payload/0/0/type", json!("int64")),
        ("/payload/0/0/max_bytes", Value::Null),
        ("/payload", field(MAX_TEXT_BYTES as u64 + 1)),
        ("/payload/1/0/type", json!("text")),
        ("/oprf", json!("ideal")),
        ("/recipients", json!([])),
        ("/recipients/0/name", json!("")),
        ("/recipients/0/seal_key", json!("00")),
        ("/recipients/0/seal_key", json!("zz".repeat(SEAL_KEY_BYTES))),
    ];
    for (pointer, value) in wrong {
        let mut document = document("inner");
        *document.pointer_mut(pointer).unwrap() = value;
        assert!(parse(&document).is_err(), "{pointer}");
    }
}

#[test]
fn what_multiplies_to_too_much_is_refused() {
    let mut wide = document("inner");
    wide["rows"] = json!([1 << 21, 1 << 21]);
    wide["payload"][0] = json!(vec![
        json!({"name": "l", "type": "text", "max_bytes": 1 << 20});
        3
    ]);
    assert_eq!(parse(&wide).unwrap_err().code(), "protocol.bad-parameters");
    wide["rows"] = json!([1 << 10, 1 << 21]);
    wide["payload"][0] = json!(vec![json!({"name": "l", "type": "int64"}); MAX_COLUMNS + 1]);
    assert!(parse(&wide).is_err());
}

#[test]
fn a_bound_above_the_back_end_is_refused_here() {
    let mut large = document("inner");
    large["rows"] = json!([5, dh::MAX_BOUND]);
    assert!(parse(&large).is_ok());
    large["rows"] = json!([5, dh::MAX_BOUND + 1]);
    assert_eq!(parse(&large).unwrap_err().code(), "resource.bound-too-large");
}

#[test]
fn unknown_repeated_and_missing_members_are_refused() {
    let mut more = document("inner");
    more["extra"] = json!(1);
    assert!(parse(&more).is_err());
    let mut less = document("inner");
    less.as_object_mut().unwrap().remove("node");
    assert!(parse(&less).is_err());
    let twice = serde_json::to_string(&document("inner"))
        .unwrap()
        .replacen('{', "{\"version\":1,", 1);
    assert!(JoinSpec::parse(twice.as_bytes()).is_err());
    let mut twins = document("inner");
    let desk = twins["recipients"][0].clone();
    twins["recipients"] = json!([desk, desk]);
    assert!(parse(&twins).is_err());
}

#[test]
fn a_semi_join_has_no_columns_of_the_other_side() {
    let mut semi = document("semi");
    semi["payload"][1] = json!([{"name": "r", "type": "int64"}]);
    assert!(parse(&semi).is_err());
}
