//! Two players in two threads over an in-process channel, and the analyst.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use arrow_array::{Array, ArrayRef, Decimal128Array, Int64Array, StringArray};
use proptest::prelude::*;
use xor_base::derive::{Derive, Purpose};
use xor_channel::{Channel, Meter, memory};
use xor_psi::PsiError;
use xor_psi::oprf::{Oprf, Side, ideal::IdealOprf};
use xor_psi::sealed::spec::JoinSpec;
use xor_psi::sealed::{
    Joined, Prepared, Room, SealedJoin, Stream, Table, hex, ideal, outer, receive_join_within,
};

pub const SEED: [u8; 32] = [7; 32];
pub const KINDS: [&str; 5] = ["inner", "semi", "left", "right", "outer"];

/// (int part, text part) of the key, and a value.
pub type Row = (Option<i64>, Option<String>, Option<String>);

/// Rows with few keys, NULLs among them.
pub fn rows() -> impl Strategy<Value = Vec<Row>> {
    let number = prop_oneof![1 => Just(None), 6 => (0..3_i64).prop_map(Some)];
    let text = prop_oneof![1 => Just(None), 6 => "[ab]{0,1}".prop_map(Some)];
    let value = prop_oneof![1 => Just(None), 4 => "[a-z\u{e9}]{0,10}".prop_map(Some)];
    prop::collection::vec((number, text, value), 0..25)
}

#[derive(Clone)]
pub struct Sent {
    pub join: SealedJoin,
    pub bytes: Vec<u8>,
    pub meter: Meter,
}

pub fn opener(kind: &str, rows: [usize; 2]) -> u8 {
    match kind {
        "inner" | "outer" => u8::from(rows[0] > rows[1]),
        "left" => 0,
        _ => 1,
    }
}

pub fn spec_json(kind: &str, rows: [usize; 2]) -> String {
    let key = hex::encode(&outer::public_key(&SEED).unwrap());
    let right = if kind == "semi" {
        ""
    } else {
        r#"{"name":"r","type":"text","max_bytes":300}"#
    };
    format!(
        r#"{{"version":1,"plan_hash":"{}","node":3,"kind":"{kind}","opener":{},"rows":[{},{}],
        "keys":[{{"left":{{"type":"int64"}},"right":{{"type":"decimal(12,0)"}}}},
                {{"left":{{"type":"text"}},"right":{{"type":"text"}}}}],
        "payload":[[{{"name":"l","type":"text","max_bytes":20}}],[{right}]],
        "oprf":"dh","recipients":[{{"name":"desk","seal_key":"{key}"}}]}}"#,
        "ab".repeat(32),
        opener(kind, rows),
        rows[0],
        rows[1],
    )
}

pub fn spec(kind: &str, rows: [usize; 2]) -> JoinSpec {
    JoinSpec::parse(spec_json(kind, rows).as_bytes()).unwrap()
}

pub fn table(side: Side, rows: &[Row], has_payload: bool) -> Table {
    let first: ArrayRef = match side {
        Side::Left => Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Side::Right => Arc::new(
            rows.iter()
                .map(|row| row.0.map(i128::from))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(12, 0)
                .unwrap(),
        ),
    };
    let second: ArrayRef = Arc::new(rows.iter().map(|row| row.1.as_deref()).collect::<StringArray>());
    let payload: ArrayRef = Arc::new(rows.iter().map(|row| row.2.as_deref()).collect::<StringArray>());
    Table {
        keys: vec![first, second],
        payload: if has_payload { vec![payload] } else { vec![] },
        rows: rows.len(),
    }
}

pub fn tables(kind: &str, left: &[Row], right: &[Row]) -> [Table; 2] {
    [
        table(Side::Left, left, true),
        table(Side::Right, right, kind != "semi"),
    ]
}

pub fn player(
    spec: &JoinSpec,
    side: Side,
    table: &Table,
    oprf: &mut dyn Oprf,
    channel: &mut dyn Channel,
) -> Result<Sent, PsiError> {
    let prepared = Prepared::new(spec, side, table)?;
    let mut bytes = Vec::new();
    let mut progress = |_| ControlFlow::Continue(());
    let exchanged = prepared.exchange(oprf, channel, &mut progress)?;
    let join = exchanged.seal(&mut bytes, &mut progress)?;
    let meter = channel.meter();
    Ok(Sent { join, bytes, meter })
}

pub fn run(spec: &JoinSpec, tables: &[Table; 2]) -> [Sent; 2] {
    let (mut left_channel, mut right_channel) = memory::pair();
    let (mut left_oprf, mut right_oprf) = IdealOprf::pair().unwrap();
    thread::scope(|scope| {
        let left =
            scope.spawn(|| player(spec, Side::Left, &tables[0], &mut left_oprf, &mut left_channel).unwrap());
        let right = player(spec, Side::Right, &tables[1], &mut right_oprf, &mut right_channel).unwrap();
        [left.join().unwrap(), right]
    })
}

pub fn receive(spec: &JoinSpec, sent: &[Sent; 2]) -> Result<Joined, PsiError> {
    receive_within(spec, sent, &Room::unlimited())
}

/// So little memory that everything is cut into parts.
pub fn no_room() -> Room {
    Room {
        memory_bytes: 0,
        directory: std::env::temp_dir(),
    }
}

pub fn receive_within(spec: &JoinSpec, sent: &[Sent; 2], room: &Room) -> Result<Joined, PsiError> {
    let [left, right] = sent;
    let (mut left_bytes, mut right_bytes) = (Cursor::new(&left.bytes), Cursor::new(&right.bytes));
    let left = Stream {
        header: &left.join.stream.header,
        sha256: left.join.stream.sha256,
        source: &mut left_bytes,
    };
    let right = Stream {
        header: &right.join.stream.header,
        sha256: right.join.stream.sha256,
        source: &mut right_bytes,
    };
    let mut progress = |_| ControlFlow::Continue(());
    receive_join_within(spec, [left, right], &SEED, room, &mut progress)
}

/// A stream with other plaintext of the same length, sealed as a player that forges it would.
pub fn resealed(spec: &JoinSpec, side: Side, sent: &Sent, plain: &[u8]) -> Sent {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let key = [9; 32];
    let chunk_key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
    let mut chunks: Vec<&[u8]> = plain.chunks(1 << 20).collect();
    chunks.resize(chunks.len().max(1), &[]);
    let mut bytes = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&(index as u64).to_le_bytes());
        nonce[11] = u8::from(index + 1 == chunks.len());
        let mut sealed = chunk.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        chunk_key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed)
            .unwrap();
        bytes.extend(sealed);
    }
    let mut header: serde_json::Value = serde_json::from_slice(&sent.join.stream.header).unwrap();
    let commitment: [u8; 32] = Derive::new(Purpose::Stream).array(&[&key]);
    header["core"]["key_commitment"] = hex::encode(&commitment).into();
    let core = serde_json::to_vec(&header["core"]).unwrap();
    let binding = [
        b"xor sealed-join v1".as_slice(),
        &spec.binding.plan_hash,
        &spec.binding.node.to_le_bytes(),
        &sent.join.stream.attempt,
        &[side.byte()],
        &sha256(&core),
    ];
    header["sealed_keys"][0] = sealed_key(&binding.concat(), &key).into();
    let mut sent = sent.clone();
    sent.join.stream.header = serde_json::to_vec(&header).unwrap();
    sent.join.stream.sha256 = sha256(&bytes);
    sent.bytes = bytes;
    sent
}

fn sealed_key(info: &[u8], key: &[u8]) -> String {
    use hpke::{Deserializable, Kem, OpModeS, Serializable, kem::XWing};
    let public = outer::public_key(&SEED).unwrap();
    let public = <XWing as Kem>::PublicKey::from_bytes(&public).unwrap();
    let (encapsulated, sealed) =
        hpke::single_shot_seal::<hpke::aead::AesGcm256, hpke::kdf::HkdfSha256, XWing>(
            &OpModeS::Base,
            &public,
            info,
            key,
            &[],
        )
        .unwrap();
    hex::encode(&encapsulated.to_bytes()) + &hex::encode(&sealed)
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)
        .as_ref()
        .try_into()
        .unwrap()
}

/// All rows of a result as sorted texts.
pub fn rows_of(joined: Joined) -> Vec<Vec<Option<String>>> {
    let mut rows = Vec::new();
    for batch in joined {
        let batch = batch.unwrap();
        for row in 0..batch.num_rows() {
            let texts = batch.columns().iter().map(|column| {
                let column = column.as_any().downcast_ref::<StringArray>().unwrap();
                column.is_valid(row).then(|| column.value(row).to_owned())
            });
            rows.push(texts.collect());
        }
    }
    rows.sort();
    rows
}

/// SQL semantics, as a nested loop.
pub fn oracle(kind: &str, left: &[Row], right: &[Row]) -> Vec<Vec<Option<String>>> {
    let matches = |l: &Row, r: &Row| l.0.is_some() && l.0 == r.0 && l.1.is_some() && l.1 == r.1;
    let mut rows = Vec::new();
    if kind == "semi" {
        let kept = left.iter().filter(|l| right.iter().any(|r| matches(l, r)));
        rows.extend(kept.map(|l| vec![l.2.clone()]));
    } else {
        for l in left {
            rows.extend(
                right
                    .iter()
                    .filter(|r| matches(l, r))
                    .map(|r| vec![l.2.clone(), r.2.clone()]),
            );
        }
        if kind == "left" || kind == "outer" {
            let alone = left.iter().filter(|l| !right.iter().any(|r| matches(l, r)));
            rows.extend(alone.map(|l| vec![l.2.clone(), None]));
        }
        if kind == "right" || kind == "outer" {
            let alone = right.iter().filter(|r| !left.iter().any(|l| matches(l, r)));
            rows.extend(alone.map(|r| vec![None, r.2.clone()]));
        }
    }
    rows.sort();
    rows
}

pub fn ideal_rows(spec: &JoinSpec, tables: &[Table; 2]) -> Vec<Vec<Option<String>>> {
    rows_of(ideal::join(spec, [&tables[0], &tables[1]]).unwrap())
}
