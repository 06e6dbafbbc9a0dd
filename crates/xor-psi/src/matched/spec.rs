//! The public parameters of a matched join, read once and checked completely.

use serde::Deserialize;
use xor_base::rows::RowCodec;
use xor_base::types::Type;

use super::cells::Layout;
use crate::PsiError;
use crate::oprf::{OprfError, Side, dh, vole};
use crate::sealed::hex;
use crate::sealed::spec::{
    Backend, OfSide, WrittenField, WrittenKey, check_version, codec, is_small_enough, read, read_keys,
    row_bound,
};

/// The largest bound of a side: cells are in memory together.
pub const MAX_ROWS: usize = 1 << 24;

/// The parameters of a matched join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedSpec {
    pub plan_hash: [u8; 32],
    pub node: u32,
    /// Who learns what matches.
    pub receiver: Side,
    /// Padded row bounds.
    rows: [usize; 2],
    /// Rows of the sender that the receiver takes, and of one key.
    pub most_rows: usize,
    pub most_per_key: usize,
    keys: [Vec<Type>; 2],
    /// The sender's columns.
    pub payload: RowCodec,
    pub backend: Backend,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    plan_hash: String,
    node: u32,
    receiver: u8,
    rows: [u64; 2],
    most_rows: u64,
    is_unique: bool,
    keys: Vec<WrittenKey>,
    payload: Vec<WrittenField>,
    oprf: Backend,
}

impl MatchedSpec {
    /// Reads the JSON that the planner writes.
    ///
    /// # Errors
    /// `Spec` names the first parameter that is missing, unknown, out of its limits or inconsistent;
    /// `BoundTooLarge` above what a matched join or the OPRF's back end runs.
    pub fn parse(json: &[u8]) -> Result<Self, PsiError> {
        let written: Written = read(json)?;
        check_version(written.version)?;
        let most_rows = row_bound(written.most_rows)?;
        let spec = Self {
            plan_hash: hex::decode(&written.plan_hash).ok_or(PsiError::Spec("plan hash"))?,
            node: written.node,
            receiver: Side::from_byte(written.receiver).ok_or(PsiError::Spec("receiver"))?,
            rows: [row_bound(written.rows[0])?, row_bound(written.rows[1])?],
            most_rows,
            most_per_key: if written.is_unique { 1 } else { most_rows },
            keys: read_keys(&written.keys)?,
            payload: codec(written.payload)?,
            backend: written.oprf,
        };
        spec.check_sizes()?;
        Ok(spec)
    }

    fn check_sizes(&self) -> Result<(), PsiError> {
        let limit = match self.backend {
            Backend::Dh => dh::MAX_BOUND,
            Backend::Vole => vole::MAX_BOUND,
        };
        let limit = limit.min(MAX_ROWS);
        if let Some(bound) = self.rows.into_iter().find(|bound| *bound > limit) {
            return Err(OprfError::BoundTooLarge { bound, limit }.into());
        }
        if self.most_rows > self.bound(self.receiver.other()) {
            return Err(PsiError::Spec("most_rows"));
        }
        match is_small_enough(self.layout().list) {
            true => Ok(()),
            false => Err(PsiError::Spec("rows times the largest row")),
        }
    }

    /// The padded row bound of one side.
    #[must_use]
    pub fn bound(&self, side: Side) -> usize {
        *side.of(&self.rows)
    }

    /// The types of one side's key.
    #[must_use]
    pub fn key_types(&self, side: Side) -> &[Type] {
        side.of::<Vec<Type>>(&self.keys)
    }

    /// What the sender sends.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let (sender, receiver) = (self.bound(self.receiver.other()), self.bound(self.receiver));
        Layout::new(sender, receiver, self.payload.longest())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written() -> Value {
        json!({
            "version": 1, "plan_hash": "ab".repeat(32), "node": 3, "receiver": 1, "rows": [8, 10],
            "most_rows": 7, "is_unique": false,
            "keys": [{"left": {"type": "text"}, "right": {"type": "text"}}],
            "payload": [{"name": "n", "type": "int64"}], "oprf": "vole",
        })
    }

    fn parse(document: &Value) -> Result<MatchedSpec, PsiError> {
        MatchedSpec::parse(&serde_json::to_vec(document).unwrap())
    }

    #[test]
    fn what_the_planner_writes_is_read() {
        let spec = parse(&written()).unwrap();
        assert_eq!(
            (spec.receiver, spec.bound(Side::Left), spec.most_per_key),
            (Side::Right, 8, 7)
        );
        let mut unique = written();
        unique["is_unique"] = true.into();
        assert_eq!(parse(&unique).unwrap().most_per_key, 1);
    }

    #[test]
    fn anything_else_is_refused() {
        let changes = [
            ("version", json!(2)),
            ("plan_hash", json!("ab")),
            ("receiver", json!(2)),
            ("rows", json!([8, (1 << 24) + 1])),
            ("most_rows", json!(9)),
            ("keys", json!([])),
            ("payload", json!([{"name": "n", "type": "text"}])),
            ("oprf", json!("ideal")),
            ("recipients", json!([])),
        ];
        for (name, value) in changes {
            let mut document = written();
            document[name] = value;
            assert!(parse(&document).is_err(), "{name}");
        }
        for name in written().as_object().unwrap().keys() {
            let mut document = written();
            document.as_object_mut().unwrap().remove(name);
            assert!(parse(&document).is_err(), "{name}");
        }
        let mut large = written();
        large["rows"] = json!([8, (1 << 21) + 1]);
        assert!(parse(&large).is_ok());
        large["oprf"] = "dh".into();
        assert_eq!(parse(&large).unwrap_err().code(), "resource.bound-too-large");
    }
}
