//! What the analyst gets from streams that were changed on their way, or written by a player that cheats.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};

use common::*;
use proptest::prelude::*;
use xor_base::derive::{Derive, Purpose};
use xor_psi::PsiError;
use xor_psi::oprf::Side;
use xor_psi::sealed::header::Header;
use xor_psi::sealed::spec::JoinSpec;
use xor_psi::sealed::{Stream, hex, open, outer, receive_join};

const CHUNK: usize = (1 << 20) + 16;

fn keyed(count: i64) -> Vec<Row> {
    (0..count)
        .map(|n| (Some(n / 2), Some("k".into()), Some(n.to_string())))
        .collect()
}

/// Two streams of several chunks, in which every row has a match and every cell is used.
fn full(kind: &str) -> (JoinSpec, [Sent; 2]) {
    let spec = spec(kind, [4, 4]);
    let sent = run(&spec, &tables(kind, &keyed(4), &keyed(4)));
    (spec, sent)
}

fn code<T>(result: Result<T, PsiError>) -> &'static str {
    result.err().expect("must be refused").code()
}

fn plain(spec: &JoinSpec, sent: &Sent, side: Side) -> Vec<u8> {
    let header = Header::parse(&sent.join.stream.header).unwrap();
    let key = outer::open_key(&header, &spec.binding.recipients, &SEED).unwrap();
    key.open(&mut Cursor::new(&sent.bytes), spec.shapes(side).plain_bytes())
        .unwrap()
}

fn plains(spec: &JoinSpec, sent: &[Sent; 2]) -> [Vec<u8>; 2] {
    [
        plain(spec, &sent[0], Side::Left),
        plain(spec, &sent[1], Side::Right),
    ]
}

/// In memory, and in parts on disk: both must say the same.
fn reopen(spec: &JoinSpec, sent: &[Sent; 2], plains: &[Vec<u8>; 2]) -> Result<usize, PsiError> {
    let joined = open(spec, sent[0].join.stream.attempt, [&plains[0], &plains[1]]);
    let is_whole = |side: Side| plains[side.index()].len() as u64 == spec.shapes(side).plain_bytes();
    if is_whole(Side::Left) && is_whole(Side::Right) {
        let forged = [
            resealed(spec, Side::Left, &sent[0], &plains[0]),
            resealed(spec, Side::Right, &sent[1], &plains[1]),
        ];
        let streamed = receive_within(spec, &forged, &no_room());
        match (&joined, streamed) {
            (Ok(joined), Ok(streamed)) => {
                assert_eq!(joined.rows(), streamed.rows());
                assert_eq!(rows_of(streamed).len() as u64, joined.rows());
            }
            (Err(error), Err(streamed)) => assert_eq!(error.code(), streamed.code()),
            (joined, streamed) => panic!("{joined:?} {streamed:?}"),
        }
    }
    Ok(rows_of(joined?).len())
}

fn with_header(sent: &Sent, edit: impl Fn(&mut serde_json::Value)) -> Sent {
    let mut header: serde_json::Value = serde_json::from_slice(&sent.join.stream.header).unwrap();
    edit(&mut header);
    let mut sent = sent.clone();
    // serde_json's map keeps its members sorted, as the header does.
    sent.join.stream.header = serde_json::to_vec(&header).unwrap();
    sent
}

#[test]
fn headers_of_another_step_are_refused() {
    let (spec, [left, right]) = full("inner");
    let edits: [(&str, serde_json::Value); 9] = [
        ("/core/node", 4.into()),
        ("/core/kind", "outer".into()),
        ("/core/plan_hash", "cd".repeat(32).into()),
        ("/core/bounds/0", 5.into()),
        ("/core/chunks", 2.into()),
        ("/core/plain_bytes", 0.into()),
        ("/core/lists/0/width", 17.into()),
        ("/core/recipients/0", "stranger".into()),
        ("/core/version", 2.into()),
    ];
    for (pointer, value) in edits {
        let left = with_header(&left, |header| {
            *header.pointer_mut(pointer).unwrap() = value.clone()
        });
        assert_eq!(
            code(receive(&spec, &[left, right.clone()])),
            "protocol.wrong-header",
            "{pointer}"
        );
    }
}

#[test]
fn a_header_has_one_written_form() {
    let (spec, [left, right]) = full("inner");
    let header = &left.join.stream.header;
    let spaced = [b" ".as_slice(), header].concat();
    let twice = String::from_utf8(header.clone())
        .unwrap()
        .replacen("\"node\":3", "\"node\":3,\"node\":3", 1);
    for bytes in [
        spaced,
        twice.into_bytes(),
        b"{}".to_vec(),
        Vec::new(),
        vec![b' '; 2 << 20],
    ] {
        let mut left = left.clone();
        left.join.stream.header = bytes;
        assert_eq!(
            code(receive(&spec, &[left, right.clone()])),
            "protocol.malformed-header"
        );
    }
}

#[test]
fn attempts_and_sides_cannot_be_mixed() {
    let (spec, first) = full("inner");
    let (_, second) = full("inner");
    let mixed = [first[0].clone(), second[1].clone()];
    assert_eq!(code(receive(&spec, &mixed)), "protocol.attempts-differ");
    let swapped = [first[1].clone(), first[0].clone()];
    assert_eq!(code(receive(&spec, &swapped)), "protocol.wrong-side");
    let doubled = [first[0].clone(), first[0].clone()];
    assert_eq!(code(receive(&spec, &doubled)), "protocol.wrong-side");
}

#[test]
fn a_stream_key_opens_for_its_recipient_and_its_own_header_only() {
    let (spec, sent) = full("inner");
    let header = Header::parse(&sent[0].join.stream.header).unwrap();
    let recipients = &spec.binding.recipients;
    assert_eq!(
        code(outer::open_key(&header, recipients, &[8; 32])),
        "protocol.not-a-recipient"
    );
    // Both headers claim one attempt that neither stream was sealed under.
    let claim = |sent: &Sent| with_header(sent, |header| header["core"]["attempt"] = "00".repeat(16).into());
    let claimed = [claim(&sent[0]), claim(&sent[1])];
    assert_eq!(code(receive(&spec, &claimed)), "protocol.wrong-key");
    let sealed = |sent: &Sent| {
        let header: serde_json::Value = serde_json::from_slice(&sent.join.stream.header).unwrap();
        header["sealed_keys"].clone()
    };
    let swapped = with_header(&sent[0], |header| header["sealed_keys"] = sealed(&sent[1]));
    assert_eq!(
        code(receive(&spec, &[swapped, sent[1].clone()])),
        "protocol.wrong-key"
    );
    let none = with_header(&sent[0], |header| {
        header["sealed_keys"] = Vec::<String>::new().into()
    });
    assert_eq!(
        code(receive(&spec, &[none, sent[1].clone()])),
        "protocol.wrong-header"
    );
    let short = with_header(&sent[0], |header| {
        header["sealed_keys"][0] = hex::encode(&[0; 8]).into()
    });
    assert_eq!(
        code(receive(&spec, &[short, sent[1].clone()])),
        "protocol.wrong-key"
    );
}

#[test]
fn a_stream_that_was_cut_extended_or_changed_is_not_opened() {
    let (spec, [left, right]) = full("inner");
    let change = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut right = right.clone();
        edit(&mut right.bytes);
        code(receive(&spec, &[left.clone(), right]))
    };
    assert_eq!(
        change(&|bytes| bytes.truncate(bytes.len() - 1)),
        "protocol.wrong-length"
    );
    assert_eq!(change(&Vec::clear), "protocol.wrong-length");
    assert_eq!(change(&|bytes| bytes.push(0)), "protocol.wrong-length");
    assert_eq!(change(&|bytes| bytes[3] ^= 1), "protocol.wrong-digest");
}

#[test]
fn chunks_that_were_signed_wrongly_do_not_open() {
    let many: Vec<Row> = (0..12_000).map(|n| (Some(n), Some("k".into()), None)).collect();
    let spec = spec("inner", [12_000, 12_000]);
    let [left, right] = run(&spec, &tables("inner", &many, &many));
    assert!(right.bytes.len() > 3 * CHUNK);
    let change = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut right = right.clone();
        edit(&mut right.bytes);
        right.join.stream.sha256 = sha256(&right.bytes);
        code(receive(&spec, &[left.clone(), right]))
    };
    assert_eq!(change(&|bytes| bytes[3] ^= 1), "protocol.bad-chunk");
    assert_eq!(
        change(&|bytes| bytes[..2 * CHUNK].rotate_left(CHUNK)),
        "protocol.bad-chunk"
    );
    assert_eq!(
        change(&|bytes| bytes.copy_within(..CHUNK, CHUNK)),
        "protocol.bad-chunk"
    );
    assert_eq!(change(&|bytes| bytes.truncate(CHUNK)), "protocol.wrong-length");
    assert!(receive(&spec, &[left, right]).is_ok());
}

/// Counts how often it is read to its end.
struct Watched<'a>(Cursor<&'a [u8]>, &'a AtomicU32);

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(buffer)?;
        let is_end = count > 0 && self.0.position() == self.0.get_ref().len() as u64;
        self.1.fetch_add(u32::from(is_end), Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for Watched<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn nothing_is_opened_before_both_streams_verify() {
    let (spec, [left, mut right]) = full("inner");
    right.bytes.pop();
    let reads = AtomicU32::new(0);
    let mut left_source = Watched(Cursor::new(&left.bytes), &reads);
    let mut right_source = Cursor::new(&right.bytes);
    let stream = |sent: &Sent| (sent.join.stream.header.clone(), sent.join.stream.sha256);
    let ((left_header, left_sha), (right_header, right_sha)) = (stream(&left), stream(&right));
    let streams = [
        Stream {
            header: &left_header,
            sha256: left_sha,
            source: &mut left_source,
        },
        Stream {
            header: &right_header,
            sha256: right_sha,
            source: &mut right_source,
        },
    ];
    let result = receive_join(&spec, streams, &SEED, &mut |_| ControlFlow::Continue(()));
    assert_eq!(code(result), "protocol.wrong-length");
    assert_eq!(
        reads.load(Ordering::Relaxed),
        1,
        "the good stream was read to verify it and not again"
    );
}

#[test]
fn repeated_or_unsorted_openers_and_labels_are_refused() {
    let (spec, sent) = full("inner");
    let honest = plains(&spec, &sent);
    assert_eq!(reopen(&spec, &sent, &honest).unwrap(), 8);
    let mut repeated = honest.clone();
    repeated[0].copy_within(..16, 16);
    assert_eq!(code(reopen(&spec, &sent, &repeated)), "protocol.repeated-opener");
    let mut swapped = honest.clone();
    swapped[0][..32].rotate_left(16);
    assert_eq!(code(reopen(&spec, &sent, &swapped)), "protocol.repeated-opener");
    let width = spec.shapes(Side::Right).cells.unwrap().width;
    let mut repeated = honest.clone();
    repeated[1].copy_within(..width, width);
    assert_eq!(code(reopen(&spec, &sent, &repeated)), "protocol.repeated-label");
    let mut swapped = honest.clone();
    swapped[1][..2 * width].rotate_left(width);
    assert_eq!(code(reopen(&spec, &sent, &swapped)), "protocol.repeated-label");
    let mut short = honest.clone();
    short[1].pop();
    assert_eq!(code(reopen(&spec, &sent, &short)), "protocol.bad-length");
    let short = [Vec::new(), honest[1].clone()];
    assert_eq!(code(reopen(&spec, &sent, &short)), "protocol.bad-length");
}

/// A closed list that holds one string, and fillers.
fn forged_list(spec: &JoinSpec, side: Side, attempt: &[u8; 16], key: &[u8; 16], string: &[u8]) -> Vec<u8> {
    let (shapes, derive) = (spec.shapes(side), Derive::new(Purpose::Cell));
    let list = shapes.cells.unwrap();
    let pieces = string.chunks(shapes.cell.body).zip(0_u64..);
    let mut cells: Vec<Vec<u8>> = pieces
        .map(|(piece, number)| {
            let mut cell = vec![0; list.width];
            derive.fill(&[key, attempt, &[side.byte()], &number.to_le_bytes()], &mut cell);
            let open = cell[shapes.cell.label..].iter_mut();
            open.zip(piece).for_each(|(cell, piece)| *cell ^= piece);
            cell
        })
        .collect();
    let fillers = (cells.len()..list.count).map(|number| vec![number as u8; list.width]);
    cells.extend(fillers);
    cells.sort();
    cells.concat()
}

#[test]
fn strings_that_break_are_refused_alike_in_memory_and_on_disk() {
    let (spec, sent) = full("inner");
    let attempt = sent[0].join.stream.attempt;
    let openers: Vec<[u8; 16]> = (1..5).map(|number| [number; 16]).collect();
    let s_o = [9; 16];
    let k_o = Derive::new(Purpose::Opener).array(&[&s_o, &openers[0]]);
    let body = spec.shapes(Side::Right).cell.body;
    let left = [
        openers.concat(),
        forged_list(&spec, Side::Left, &attempt, &k_o, &[1, 1]),
    ];
    let left = left.concat();
    let open_with = |length: &[u8], s_o: [u8; 16], rows: usize, filler: &[u8]| {
        let mut string = [length, &s_o, &vec![1; rows], filler].concat();
        string.resize(string.len().next_multiple_of(body), 0);
        let right = forged_list(&spec, Side::Right, &attempt, &openers[0], &string);
        reopen(&spec, &sent, &[left.clone(), right])
    };
    assert_eq!(open_with(&[20], s_o, 4, &[]).unwrap(), 4);
    let above_the_bound = open_with(&[21], s_o, 5, &[]);
    assert_eq!(code(above_the_bound), "protocol.bad-length");
    let not_zeros = open_with(&[18], s_o, 2, &[0, 1]);
    assert_eq!(code(not_zeros), "protocol.bad-length");
    let not_shortest = open_with(&[0x92, 0], s_o, 2, &[]);
    assert_eq!(code(not_shortest), "protocol.bad-length");
    let beyond_the_list = open_with(&[0x88, 0x27], s_o, 4, &[]);
    assert_eq!(code(beyond_the_list), "protocol.bad-length");
    let cells_missing = open_with(&[0xbc, 5], s_o, 4, &[]);
    assert_eq!(code(cells_missing), "protocol.missing-cell");
    let no_row = open_with(&[18], s_o, 1, &[0x80]);
    assert_eq!(code(no_row), "protocol.bad-row");
    let another_secret = open_with(&[18], [8; 16], 2, &[]);
    assert_eq!(code(another_secret), "protocol.missing-cell");
    // Two cells, of which the second has rows above the bound.
    let rows = body + 2 - 18;
    let long = open_with(
        &[(rows + 16) as u8 & 0x7f | 0x80, ((rows + 16) >> 7) as u8],
        s_o,
        rows,
        &[],
    );
    assert_eq!(code(long), "protocol.bad-length");
}

#[test]
fn a_group_without_its_cell_is_refused() {
    let (spec, sent) = full("inner");
    let shapes = spec.shapes(Side::Left);
    let (openers, width, label) = (64, shapes.cells.unwrap().width, shapes.cell.label);
    let mut refused = 0;
    for cell in 0..4 {
        let mut plains = plains(&spec, &sent);
        plains[0][openers + cell * width + label - 1] ^= 1;
        match reopen(&spec, &sent, &plains) {
            Err(error) => {
                assert_eq!(error.code(), "protocol.missing-cell");
                refused += 1;
            }
            // A filler: the rows of two short keys need fewer cells than rows.
            Ok(rows) => assert_eq!(rows, 8),
        }
    }
    assert!(refused > 0);
}

#[test]
fn rows_of_one_key_that_name_different_secrets_are_refused() {
    let (spec, sent) = full("outer");
    let carrier = usize::from(opener("outer", [4, 4]) == 0);
    let side = if carrier == 1 { Side::Right } else { Side::Left };
    let shapes = spec.shapes(side);
    for cell in 0..4 {
        let mut plains = plains(&spec, &sent);
        plains[carrier][cell * shapes.cells.unwrap().width + shapes.cell.label] ^= 1;
        assert_eq!(code(reopen(&spec, &sent, &plains)), "protocol.mixed-group");
    }
}

#[test]
fn readable_records_are_a_row_or_zeros() {
    let spec = spec("left", [3, 3]);
    let rows = keyed(2);
    let sent = run(&spec, &tables("left", &rows, &rows));
    let shapes = spec.shapes(Side::Left);
    let (width, flag) = (shapes.cells.unwrap().width, shapes.cell.label);
    for record in 0..3 {
        let start = 48 + record * width;
        for (offset, value) in [(flag, 2), (width - 1, 1), (flag + 1, 0x80)] {
            let mut plains = plains(&spec, &sent);
            plains[0][start + offset] = value;
            assert_eq!(
                code(reopen(&spec, &sent, &plains)),
                "protocol.bad-row",
                "{record} {offset}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_change_of_a_list_makes_the_analyst_panic_or_invent_rows(
        kind in 0..5_usize, side in 0..2_usize, place in any::<prop::sample::Index>(), value in any::<u8>(),
    ) {
        let (spec, sent) = full(KINDS[kind]);
        let mut plains = plains(&spec, &sent);
        if !plains[side].is_empty() {
            let place = place.index(plains[side].len());
            plains[side][place] = value;
        }
        if let Ok(rows) = reopen(&spec, &sent, &plains) {
            prop_assert!(rows <= 8, "{rows}");
        }
    }
}
