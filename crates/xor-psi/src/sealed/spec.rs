//! The public parameters of one step, read once and checked completely.
//!
//! Both players and the analyst derive the same bytes from the approved plan. Nothing in them is secret
//! and nothing is trusted: whoever writes them chooses sizes, so every size has a limit here.

use std::collections::HashSet;

use serde::Deserialize;
use xor_base::constants::{
    MAX_COLUMNS, MAX_KEY_PARTS, MAX_LIST_BYTES, MAX_RECIPIENTS, MAX_ROW_BYTES, MAX_ROWS, MAX_TEXT_BYTES,
};
use xor_base::keys::KeyKind;
use xor_base::rows::{Field, RowCodec};
use xor_base::types::Type;

use super::hex;
use super::layout::{ListShape, Shapes};
use super::outer::SEAL_KEY_BYTES;
use crate::PsiError;
use crate::oprf::{OprfError, Side, dh, vole};

const VERSION: u32 = 1;
const MAX_SPEC_BYTES: usize = 1 << 22;
const MAX_NAME_BYTES: usize = 1 << 10;

/// How unmatched rows are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinKind {
    Inner,
    /// The rows of the left input that have a match, without the right input.
    Semi,
    Left,
    Right,
    Outer,
}

/// Which OPRF two machines run. The ideal one exists in tests only and has no name here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    Dh,
    Vole,
}

/// One member to whom the result is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    pub name: String,
    pub seal_key: Vec<u8>,
}

/// What every sealed stream is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub plan_hash: [u8; 32],
    pub node: u32,
    pub recipients: Vec<Recipient>,
}

/// The parameters of a sealed join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinSpec {
    pub binding: Binding,
    pub kind: JoinKind,
    pub opener: Side,
    /// Padded row bounds.
    pub(super) rows: [usize; 2],
    /// Types of the key's parts, per side.
    keys: [Vec<Type>; 2],
    payload: [RowCodec; 2],
    pub backend: Backend,
}

/// The parameters of a release: one player's plaintext table, sealed without a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseSpec {
    pub binding: Binding,
    pub rows: usize,
    pub payload: RowCodec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenJoin {
    version: u32,
    plan_hash: String,
    node: u32,
    kind: JoinKind,
    opener: u8,
    rows: [u64; 2],
    keys: Vec<WrittenKey>,
    payload: [Vec<WrittenField>; 2],
    oprf: Backend,
    recipients: Vec<WrittenRecipient>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRelease {
    version: u32,
    plan_hash: String,
    node: u32,
    rows: u64,
    payload: Vec<WrittenField>,
    recipients: Vec<WrittenRecipient>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenKey {
    left: WrittenType,
    right: WrittenType,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenType {
    r#type: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenField {
    name: String,
    r#type: String,
    max_bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRecipient {
    name: String,
    seal_key: String,
}

pub(crate) trait OfSide {
    fn of<'a, T>(&self, pair: &'a [T; 2]) -> &'a T;
}

impl OfSide for Side {
    fn of<'a, T>(&self, [left, right]: &'a [T; 2]) -> &'a T {
        match self {
            Self::Left => left,
            Self::Right => right,
        }
    }
}

impl JoinSpec {
    /// Reads the JSON that the planner writes.
    ///
    /// # Errors
    /// `Spec` names the first parameter that is missing, unknown, out of its limits or inconsistent;
    /// `BoundTooLarge` above what the OPRF's back end runs.
    pub fn parse(json: &[u8]) -> Result<Self, PsiError> {
        let written: WrittenJoin = read(json)?;
        check_version(written.version)?;
        let rows = [row_bound(written.rows[0])?, row_bound(written.rows[1])?];
        let [left, right] = written.payload;
        let spec = Self {
            binding: binding(&written.plan_hash, written.node, written.recipients)?,
            kind: written.kind,
            opener: Side::from_byte(written.opener).ok_or(PsiError::Spec("opener"))?,
            rows,
            keys: read_keys(&written.keys)?,
            payload: [codec(left)?, codec(right)?],
            backend: written.oprf,
        };
        spec.check_opener()?;
        spec.check_bounds()?;
        if spec.kind == JoinKind::Semi && !spec.payload[1].fields().is_empty() {
            return Err(PsiError::Spec("a semi join has columns of the left input only"));
        }
        spec.check_sizes()?;
        Ok(spec)
    }

    /// The sides whose rows all appear in the result.
    #[must_use]
    pub fn preserves(&self, side: Side) -> bool {
        match self.kind {
            JoinKind::Inner | JoinKind::Semi => false,
            JoinKind::Left => side == Side::Left,
            JoinKind::Right => side == Side::Right,
            JoinKind::Outer => true,
        }
    }

    /// The side that is not the opener.
    #[must_use]
    pub fn carrier(&self) -> Side {
        self.opener.other()
    }

    /// The padded row bound of one side.
    #[must_use]
    pub fn bound(&self, side: Side) -> usize {
        *side.of(&self.rows)
    }

    /// The columns that one side gives to the result.
    #[must_use]
    pub fn payload(&self, side: Side) -> &RowCodec {
        side.of(&self.payload)
    }

    /// Both payloads, the left one first.
    pub(super) fn codecs(&self) -> [RowCodec; 2] {
        self.payload.clone()
    }

    /// The types of one side's key.
    #[must_use]
    pub fn key_types(&self, side: Side) -> &[Type] {
        side.of::<Vec<Type>>(&self.keys)
    }

    /// The lists that a side's stream holds.
    #[must_use]
    pub fn shapes(&self, side: Side) -> Shapes {
        Shapes::new(self, side)
    }

    // The opener is written in the plan, but not free: what is preserved or kept decides it.
    fn check_opener(&self) -> Result<(), PsiError> {
        let smaller = if self.rows[0] <= self.rows[1] {
            Side::Left
        } else {
            Side::Right
        };
        let expected = match self.kind {
            JoinKind::Inner | JoinKind::Outer => smaller,
            JoinKind::Left => Side::Left,
            JoinKind::Right | JoinKind::Semi => Side::Right,
        };
        if self.opener == expected {
            Ok(())
        } else {
            Err(PsiError::Spec("opener"))
        }
    }

    // Here and not in the exchange: a bound that cannot be run is found before the peer is contacted.
    fn check_bounds(&self) -> Result<(), PsiError> {
        let limit = match self.backend {
            Backend::Dh => dh::MAX_BOUND,
            Backend::Vole => vole::MAX_BOUND,
        };
        match self.rows.into_iter().find(|bound| *bound > limit) {
            Some(bound) => Err(OprfError::BoundTooLarge { bound, limit }.into()),
            None => Ok(()),
        }
    }

    fn check_sizes(&self) -> Result<(), PsiError> {
        for side in [Side::Left, Side::Right] {
            let shapes = self.shapes(side);
            if shapes.cells.is_some_and(|shape| !is_small_enough(shape)) {
                return Err(PsiError::Spec("rows times the largest row"));
            }
        }
        Ok(())
    }
}

impl ReleaseSpec {
    /// Reads the JSON that the planner writes.
    ///
    /// # Errors
    /// As [`JoinSpec::parse`].
    pub fn parse(json: &[u8]) -> Result<Self, PsiError> {
        let written: WrittenRelease = read(json)?;
        check_version(written.version)?;
        let spec = Self {
            binding: binding(&written.plan_hash, written.node, written.recipients)?,
            rows: row_bound(written.rows)?,
            payload: codec(written.payload)?,
        };
        if is_small_enough(spec.shape()) {
            Ok(spec)
        } else {
            Err(PsiError::Spec("rows times the largest row"))
        }
    }

    /// One validity byte and one zero-filled row per row of the bound.
    #[must_use]
    pub fn shape(&self) -> ListShape {
        ListShape {
            count: self.rows,
            width: 1 + self.payload.longest(),
        }
    }
}

pub(crate) fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, PsiError> {
    if json.len() > MAX_SPEC_BYTES {
        return Err(PsiError::Spec("length"));
    }
    // serde's message would quote the document.
    serde_json::from_slice(json).map_err(|_| PsiError::Spec("not the expected JSON"))
}

pub(crate) fn check_version(version: u32) -> Result<(), PsiError> {
    if version == VERSION {
        Ok(())
    } else {
        Err(PsiError::Spec("version"))
    }
}

pub(crate) fn row_bound(rows: u64) -> Result<usize, PsiError> {
    match usize::try_from(rows) {
        Ok(rows) if rows <= MAX_ROWS => Ok(rows),
        _ => Err(PsiError::Spec("rows")),
    }
}

pub(crate) fn is_small_enough(shape: ListShape) -> bool {
    shape.bytes() <= MAX_LIST_BYTES
}

fn binding(plan_hash: &str, node: u32, written: Vec<WrittenRecipient>) -> Result<Binding, PsiError> {
    if written.is_empty() || written.len() > MAX_RECIPIENTS {
        return Err(PsiError::Spec("number of recipients"));
    }
    let mut recipients = Vec::with_capacity(written.len());
    let mut names = HashSet::new();
    for recipient in written {
        let seal_key = hex::decode_vec(&recipient.seal_key);
        let seal_key = seal_key
            .filter(|key| key.len() == SEAL_KEY_BYTES)
            .ok_or(PsiError::Spec("seal key"))?;
        if !is_name(&recipient.name) || !names.insert(recipient.name.clone()) {
            return Err(PsiError::Spec("name of a recipient"));
        }
        recipients.push(Recipient {
            name: recipient.name,
            seal_key,
        });
    }
    Ok(Binding {
        plan_hash: hex::decode(plan_hash).ok_or(PsiError::Spec("plan hash"))?,
        node,
        recipients,
    })
}

pub(crate) fn read_keys(written: &[WrittenKey]) -> Result<[Vec<Type>; 2], PsiError> {
    if written.is_empty() || written.len() > MAX_KEY_PARTS {
        return Err(PsiError::Spec("number of key parts"));
    }
    let mut keys = [Vec::new(), Vec::new()];
    let [left_keys, right_keys] = &mut keys;
    for part in written {
        let (left, right) = (Type::parse(&part.left.r#type)?, Type::parse(&part.right.r#type)?);
        if KeyKind::of(&left)? != KeyKind::of(&right)? {
            return Err(PsiError::Spec("key parts of different kinds"));
        }
        left_keys.push(left);
        right_keys.push(right);
    }
    Ok(keys)
}

pub(crate) fn codec(written: Vec<WrittenField>) -> Result<RowCodec, PsiError> {
    if written.len() > MAX_COLUMNS {
        return Err(PsiError::Spec("number of columns"));
    }
    let fields = written.into_iter().map(field).collect::<Result<_, _>>()?;
    let codec = RowCodec::new(fields);
    if codec.longest() > MAX_ROW_BYTES {
        return Err(PsiError::Spec("largest row"));
    }
    Ok(codec)
}

fn field(written: WrittenField) -> Result<Field, PsiError> {
    let kind = Type::parse(&written.r#type)?;
    if !is_name(&written.name) {
        return Err(PsiError::Spec("name of a column"));
    }
    let max_bytes = match (&kind, written.max_bytes) {
        (Type::Text, Some(bytes)) => usize::try_from(bytes)
            .ok()
            .filter(|bytes| *bytes <= MAX_TEXT_BYTES),
        (Type::Text, None) | (_, Some(_)) => None,
        (_, None) => Some(0),
    };
    Ok(Field {
        name: written.name,
        kind,
        max_bytes: max_bytes.ok_or(PsiError::Spec("max_bytes"))?,
    })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_BYTES
}

#[cfg(test)]
pub(super) mod tests;
