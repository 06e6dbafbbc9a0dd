//! Every decoder on a million broken inputs: an error or a value, never a panic.
//!
//! `XOR_FUZZ_INPUTS=100000000 cargo test --release -p xor-psi --test decoders` for more; a failure names its seed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::*;
use rayon::prelude::*;
use xor_base::kernels::{Block, prg::Prg};
use xor_psi::matched::{Layout, MatchedSpec};
use xor_psi::oprf::Side;
use xor_psi::sealed::header::Header;
use xor_psi::sealed::outer::SealedStream;
use xor_psi::sealed::spec::{JoinSpec, ReleaseSpec};
use xor_psi::sealed::{open, outer};

const SEED_BASE: u64 = 0x0078_6f72;

fn inputs() -> u64 {
    let wanted = std::env::var("XOR_FUZZ_INPUTS").ok();
    wanted.and_then(|word| word.parse().ok()).unwrap_or(1_000_000)
}

/// Runs `decode` on mutations of `valid`; tells how many were still accepted.
fn fuzz(valid: &[u8], decode: impl Fn(&[u8]) -> bool + Sync) -> u64 {
    fuzz_times(inputs(), valid, decode)
}

fn fuzz_times(times: u64, valid: &[u8], decode: impl Fn(&[u8]) -> bool + Sync) -> u64 {
    assert!(decode(valid), "the input that is broken must be whole at first");
    (0..usize::try_from(times).unwrap())
        .into_par_iter()
        .with_min_len(1 << 12)
        .map_init(Vec::new, |input, number| {
            input.clear();
            input.extend_from_slice(valid);
            let mut draw = Draw::new(number as u64);
            for _ in 0..=draw.below(3) {
                draw.mutate(input);
            }
            let decoded = catch_unwind(AssertUnwindSafe(|| decode(input)));
            u64::from(decoded.unwrap_or_else(|_| panic!("input {number} panics")))
        })
        .sum()
}

struct Draw(Prg);

impl Draw {
    fn new(number: u64) -> Self {
        Self(Prg::stream(Block(u128::from(SEED_BASE)), number))
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.0.block().halves().0 % limit.max(1) as u64) as usize
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let length = self.below(40);
        match self.below(8) {
            0 => input.truncate(at),
            1 => input.extend((0..length).map(|i| (i * 37 + at) as u8)),
            2 => drop(input.drain(at..(at + length).min(input.len()))),
            3 => {
                let copied = input[at..(at + length).min(input.len())].to_vec();
                input.splice(at..at, copied);
            }
            4 => {
                let number = self.0.block().to_bytes();
                input
                    .iter_mut()
                    .skip(at)
                    .zip(number)
                    .for_each(|(to, from)| *to = from);
            }
            5 => {
                let fill = [0, 0xff, b'9', b'"'][self.below(4)];
                input.iter_mut().skip(at).take(length).for_each(|to| *to = fill);
            }
            _ => {
                let bit = self.below(8);
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
        }
    }
}

#[test]
fn parameters_of_a_join() {
    let accepted = fuzz(spec_json("outer", [5, 9]).as_bytes(), |json| {
        JoinSpec::parse(json).is_ok()
    });
    // Hashes and names may be others.
    assert!(accepted < inputs() / 2, "{accepted}");
}

#[test]
fn parameters_of_a_release() {
    let key = xor_psi::sealed::hex::encode(&outer::public_key(&SEED).unwrap());
    let json = format!(
        r#"{{"version":1,"plan_hash":"{}","node":3,"rows":7,
        "payload":[{{"name":"l","type":"text","max_bytes":20}},{{"name":"n","type":"decimal(18,2)"}}],
        "recipients":[{{"name":"desk","seal_key":"{key}"}}]}}"#,
        "ab".repeat(32)
    );
    fuzz(json.as_bytes(), |json| ReleaseSpec::parse(json).is_ok());
}

#[test]
fn parameters_of_a_matched_join() {
    let json = format!(
        r#"{{"version":1,"plan_hash":"{}","node":3,"receiver":1,"rows":[8,10],"most_rows":7,"is_unique":false,
        "keys":[{{"left":{{"type":"text"}},"right":{{"type":"text"}}}}],
        "payload":[{{"name":"n","type":"decimal(18,2)"}}],"oprf":"vole"}}"#,
        "ab".repeat(32)
    );
    fuzz(json.as_bytes(), |json| MatchedSpec::parse(json).is_ok());
}

#[test]
fn cells_of_a_matched_join() {
    let layout = Layout::new(300, 20, 3);
    // One label under each value of the first byte, and the rest under the last: a 1 for each, a 0 after each value.
    let mut bitmap = vec![0_u8; (300 + 256_usize).div_ceil(8)];
    let cells_at = (0..255).map(|value| 2 * value).chain(510..555);
    cells_at.for_each(|bit: usize| bitmap[bit / 8] |= 1 << (bit % 8));
    let cells = vec![7; 300 * (layout.list.width - 1)];
    fuzz(&[bitmap, cells].concat(), |bytes| {
        layout
            .decode(bytes)
            .is_ok_and(|cells| cells.len() == layout.list.bytes())
    });
}

fn rows(numbers: std::ops::Range<i64>) -> Vec<Row> {
    // Two rows of each key, and one without.
    let keyed = numbers.flat_map(|number| [number, number]);
    let mut rows: Vec<Row> = keyed
        .map(|number| (Some(number), Some("a".into()), Some(format!("row {number}"))))
        .collect();
    rows.push((None, Some("a".into()), Some("alone".into())));
    rows
}

/// Attempt, a header and the plaintext of both sides of a small join.
fn streams(kind: &str) -> (JoinSpec, [u8; 16], Vec<u8>, [Vec<u8>; 2]) {
    let (left, right) = (rows(0..4), rows(2..5));
    let spec = spec(kind, [left.len() + 1, right.len()]);
    let sent = run(&spec, &tables(kind, &left, &right));
    let [SealedStream { attempt, header, .. }, _] = sent.clone().map(|sent| sent.join.stream);
    let plain = sent.map(|sent| {
        let header = Header::parse(&sent.join.stream.header).unwrap();
        let key = outer::open_key(&header, &spec.binding.recipients, &SEED).unwrap();
        // One chunk.
        let plain_bytes = (sent.bytes.len() - outer::TAG_BYTES) as u64;
        key.open(&mut sent.bytes.as_slice(), plain_bytes).unwrap()
    });
    (spec, attempt, header, plain)
}

#[test]
fn headers_of_sealed_streams() {
    let (_, _, header, _) = streams("inner");
    fuzz(&header, |bytes| Header::parse(bytes).is_ok());
}

#[test]
fn lists_of_every_kind() {
    for kind in KINDS {
        let (spec, attempt, _, plain) = streams(kind);
        // What opens must also decode: one side is broken, then the other.
        for side in [Side::Left, Side::Right] {
            fuzz_lists(&spec, attempt, &plain, side);
        }
    }
}

/// Five kinds, two sides: one decoder.
const LISTS: u64 = 10;

fn fuzz_lists(spec: &JoinSpec, attempt: [u8; 16], plain: &[Vec<u8>; 2], side: Side) {
    let [left, right] = plain;
    fuzz_times(inputs() / LISTS, &plain[side.index()], |broken| {
        let streams = match side {
            Side::Left => [broken, right],
            Side::Right => [left, broken],
        };
        open(spec, attempt, streams)
            .is_ok_and(|joined| joined.fold(0, |rows, batch| rows + batch.unwrap().num_rows()) < 1 << 20)
    });
}
