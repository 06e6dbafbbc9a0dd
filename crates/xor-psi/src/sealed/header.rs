//! The header of a sealed stream: everything public about it, in one written form.
//!
//! Canonical JSON (RFC 8785: no white space, members in order). A recipient rebuilds it from its own
//! parameters, so nothing in it is believed.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use xor_base::derive::{Derive, Purpose};

use super::hex;
use super::layout::{ListShape, Shapes, chunk_count};
use super::outer::{CHUNK_BYTES, StreamSecret};
use super::spec::{Binding, JoinKind, JoinSpec, ReleaseSpec};
use crate::OuterError;
use crate::oprf::Side;

const VERSION: u32 = 1;
const MAX_HEADER_BYTES: usize = 1 << 20;

/// The header without the sealed keys, which are bound to its hash. Members in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Core {
    attempt: String,
    bounds: Vec<u64>,
    chunk_bytes: u64,
    chunks: u64,
    /// D("stream", key): AES-GCM alone would let one ciphertext open under two keys.
    key_commitment: String,
    kind: String,
    lists: Vec<List>,
    node: u32,
    pub(super) plain_bytes: u64,
    plan_hash: String,
    recipients: Vec<String>,
    side: u8,
    version: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    count: u64,
    label_bytes: u64,
    name: String,
    width: u64,
}

/// What a machine signs together with the digest of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub(super) core: Core,
    /// Per recipient, in the order of `core.recipients`: encapsulated key ‖ sealed stream key.
    pub(super) sealed_keys: Vec<String>,
}

impl Core {
    /// The header of one side's stream of a join, without its key.
    #[must_use]
    pub fn of_join(spec: &JoinSpec, side: Side, attempt: &[u8; 16]) -> Self {
        let shapes = spec.shapes(side);
        let openers = shapes.openers.map(|shape| list("openers", shape, 0));
        let cells = shapes.cells.map(|shape| list("cells", shape, shapes.cell.label));
        let lists = openers.into_iter().chain(cells).collect();
        let bounds = spec.rows.map(|rows| rows as u64).to_vec();
        Self::new(
            &spec.binding,
            kind_name(spec.kind),
            bounds,
            side,
            lists,
            attempt,
            plain_bytes(&shapes),
        )
    }

    /// The header of a release, without its key.
    #[must_use]
    pub fn of_release(spec: &ReleaseSpec, attempt: &[u8; 16]) -> Self {
        let shape = spec.shape();
        let lists = vec![list("rows", shape, 0)];
        let bounds = vec![spec.rows as u64];
        Self::new(
            &spec.binding,
            "release",
            bounds,
            Side::Left,
            lists,
            attempt,
            shape.bytes() as u64,
        )
    }

    fn new(
        binding: &Binding,
        kind: &str,
        bounds: Vec<u64>,
        side: Side,
        lists: Vec<List>,
        attempt: &[u8; 16],
        plain_bytes: u64,
    ) -> Self {
        Self {
            attempt: hex::encode(attempt),
            bounds,
            chunk_bytes: CHUNK_BYTES as u64,
            chunks: chunk_count(plain_bytes),
            key_commitment: String::new(),
            kind: kind.to_owned(),
            lists,
            node: binding.node,
            plan_hash: hex::encode(&binding.plan_hash),
            plain_bytes,
            recipients: binding
                .recipients
                .iter()
                .map(|recipient| recipient.name.clone())
                .collect(),
            side: side.byte(),
            version: VERSION,
        }
    }

    /// # Errors
    /// `MalformedHeader`.
    pub fn attempt(&self) -> Result<[u8; 16], OuterError> {
        hex::decode(&self.attempt).ok_or(OuterError::MalformedHeader)
    }

    pub(super) fn commit_to(&mut self, key: &StreamSecret) {
        self.key_commitment = hex::encode(&key_commitment(key));
    }

    pub(super) fn is_committed_to(&self, key: &StreamSecret) -> bool {
        let stated: Option<[u8; 32]> = hex::decode(&self.key_commitment);
        stated.is_some_and(|stated| stated.ct_eq(&key_commitment(key)).into())
    }

    pub(super) fn side(&self) -> u8 {
        self.side
    }

    /// Plan hash ‖ node ‖ attempt ‖ side.
    pub(super) fn binding_bytes(&self) -> Vec<u8> {
        let mut bytes = hex::decode_vec(&self.plan_hash).unwrap_or_default();
        bytes.extend_from_slice(&self.node.to_le_bytes());
        bytes.extend(hex::decode_vec(&self.attempt).unwrap_or_default());
        bytes.push(self.side);
        bytes
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Strings and integers always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Header {
    /// Reads a header in its one written form.
    ///
    /// # Errors
    /// `MalformedHeader`.
    pub fn parse(bytes: &[u8]) -> Result<Self, OuterError> {
        if bytes.len() > MAX_HEADER_BYTES {
            return Err(OuterError::MalformedHeader);
        }
        let header: Self = serde_json::from_slice(bytes).map_err(|_| OuterError::MalformedHeader)?;
        if header.to_bytes() == bytes {
            Ok(header)
        } else {
            Err(OuterError::MalformedHeader)
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Compares with what this recipient's own parameters say. Only the key's commitment is the sender's: the
    /// key must meet it.
    pub(super) fn check(&self, mut expected: Core) -> Result<(), OuterError> {
        expected.key_commitment.clone_from(&self.core.key_commitment);
        if self.core == expected && self.sealed_keys.len() == expected.recipients.len() {
            Ok(())
        } else {
            Err(OuterError::WrongHeader)
        }
    }
}

/// `D("stream", key)`.
pub(super) fn key_commitment(key: &StreamSecret) -> [u8; 32] {
    Derive::new(Purpose::Stream).array(&[key])
}

fn list(name: &str, shape: ListShape, label: usize) -> List {
    List {
        count: shape.count as u64,
        label_bytes: label as u64,
        name: name.to_owned(),
        width: shape.width as u64,
    }
}

fn plain_bytes(shapes: &Shapes) -> u64 {
    shapes.plain_bytes()
}

fn kind_name(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "inner",
        JoinKind::Semi => "semi",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Outer => "outer",
    }
}
