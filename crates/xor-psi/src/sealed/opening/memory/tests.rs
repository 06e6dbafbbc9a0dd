use xor_base::random;

use super::*;
use crate::sealed::secrets::xor;
use crate::sealed::spec::tests::{join_spec, join_spec_of};

#[test]
fn a_cell_that_two_openers_reach_is_refused() {
    let spec = join_spec("inner");
    let plain = vec![0; spec.shapes(Side::Right).plain_bytes() as usize];
    // Two openers whose labels meet: a birthday search over the label, too long for a test. So the reader
    // is asked directly.
    let width = spec.shapes(Side::Right).cells.unwrap().width;
    let cells = CellList::new(&plain[..width], width, spec.shapes(Side::Right).cell).unwrap();
    assert!(!cells.is_used(0) && cells.claim(0).is_ok() && cells.is_used(0));
    for cell in [0, 64] {
        assert_eq!(cells.claim(cell).unwrap_err().code(), "protocol.shared-cell");
    }
}

/// A closed list that holds `rows` NULL rows for each of `keys`, written as a carrier would.
fn forged_cells(spec: &JoinSpec, attempt: Attempt, keys: &[Secret], rows: usize, s_o: &[u8]) -> Vec<u8> {
    let side = if s_o.is_empty() {
        spec.opener
    } else {
        spec.carrier()
    };
    let shapes = spec.shapes(side);
    let (list, stream) = (shapes.cells.unwrap(), CellStream::new(attempt, side));
    let rest = s_o.len() + rows;
    let mut string = match rest {
        0..0x80 => vec![rest as u8],
        _ => vec![rest as u8 & 0x7f | 0x80, (rest >> 7) as u8],
    };
    string.extend_from_slice(s_o);
    string.extend(vec![1; rows]);
    string.resize(string.len().next_multiple_of(shapes.cell.body), 0);
    let mut cells: Vec<Vec<u8>> = Vec::new();
    for key in keys {
        for (piece, number) in string.chunks_exact(shapes.cell.body).zip(0..) {
            let mut cell = vec![0; list.width];
            stream.fill([(key, number)], &mut cell, list.width);
            xor(&mut cell[shapes.cell.label..], piece);
            cells.push(cell);
        }
    }
    cells.resize_with(list.count, || {
        let mut filler = vec![0; list.width];
        random::fill(&mut filler).unwrap();
        filler
    });
    cells.sort();
    cells.concat()
}

#[test]
fn rows_above_the_bound_are_refused_before_they_are_kept_also_across_tasks() {
    let spec = join_spec_of("inner", [2 * OPENERS_PER_TASK, 2 * OPENERS_PER_TASK]);
    let (attempt, s_o) = ([3; 16], [9; 16]);
    let openers: Vec<Secret> = (0..2 * OPENERS_PER_TASK as u128)
        .map(|number| (number << 64).to_be_bytes())
        .collect();
    // One key in each task.
    let opened = [openers[0], openers[OPENERS_PER_TASK]];
    let derive = Derive::new(Purpose::Opener);
    let mut own_keys = [[0; 16]; 2];
    opener_keys(&derive, opened.iter().map(|s_c| (&s_o, s_c)), &mut own_keys);
    let own = [
        openers.as_flattened().to_vec(),
        forged_cells(&spec, attempt, &own_keys, 1, &[]),
    ]
    .concat();
    for (rows, is_within) in [(OPENERS_PER_TASK, true), (OPENERS_PER_TASK + 1, false)] {
        let carried = forged_cells(&spec, attempt, &opened, rows, &s_o);
        let opening = Opening::new(
            &spec,
            SideLists::read(&spec, Side::Left, attempt, &own).unwrap(),
            SideLists::read(&spec, Side::Right, attempt, &carried).unwrap(),
        );
        match opening.open_groups() {
            Ok(parts) => assert!(is_within && Joined::new(spec.codecs(), parts).rows() == 2 * rows as u64),
            Err(error) => assert!(!is_within && error.code() == "protocol.bad-length"),
        }
    }
}

#[test]
fn what_all_tasks_share_is_given_out_once() {
    let budget = Budget::new(3);
    assert!(budget.take(2) && !budget.take(2) && budget.take(1) && !budget.take(1));
}
