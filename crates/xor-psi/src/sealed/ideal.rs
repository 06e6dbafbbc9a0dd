//! The ideal twin: a trusted party that sees both tables and hands the result to the analyst.
//!
//! Same tables, same row codec and same output as the real protocol, no secrecy at all: an oracle.

use std::collections::BTreeMap;
use std::ops::Range;

use xor_base::keys::Keys;
use xor_base::rows::Rows;

use super::join::Table;
use super::joined::{Joined, Part, RowStore};
use super::spec::{JoinKind, JoinSpec};
use crate::PsiError;
use crate::oprf::Side;

/// Joins in the clear.
///
/// # Errors
/// `TooManyRows`, `Table`, exactly where a player would refuse its own table.
pub fn join(spec: &JoinSpec, tables: [&Table; 2]) -> Result<Joined, PsiError> {
    let [left, right] = tables;
    let rows = [read(spec, Side::Left, left)?, read(spec, Side::Right, right)?];
    let [left_payload, right_payload] = &rows;
    let mut by_key: BTreeMap<Vec<u8>, [Vec<usize>; 2]> = BTreeMap::new();
    let left_nulls = collect(spec, Side::Left, left, &mut by_key)?;
    let right_nulls = collect(spec, Side::Right, right, &mut by_key)?;
    let (mut stores, mut groups) = ([RowStore::default(), RowStore::default()], Vec::new());
    let mut rest = [left_nulls, right_nulls];
    for [left_rows, right_rows] in by_key.into_values() {
        if left_rows.is_empty() || right_rows.is_empty() {
            let [left_rest, right_rest] = &mut rest;
            left_rest.extend(left_rows);
            right_rest.extend(right_rows);
            continue;
        }
        let [left_store, right_store] = &mut stores;
        let left_range = append(left_payload, &left_rows, left_store)?;
        let right_range = match spec.kind {
            JoinKind::Semi if right_store.len() > 0 => 0..1,
            JoinKind::Semi => append(
                right_payload,
                right_rows.get(..1).unwrap_or_default(),
                right_store,
            )?,
            _ => append(right_payload, &right_rows, right_store)?,
        };
        groups.push([left_range, right_range]);
    }
    let [left_rest, right_rest] = rest.map(|mut rows| {
        rows.sort_unstable();
        rows
    });
    let kept = |side, rows: Vec<usize>| if spec.preserves(side) { rows } else { Vec::new() };
    let [left_store, right_store] = &mut stores;
    let left_rest = append(left_payload, &kept(Side::Left, left_rest), left_store)?;
    let right_rest = append(right_payload, &kept(Side::Right, right_rest), right_store)?;
    let part = Part::new(stores, groups, [left_rest, right_rest]);
    Ok(Joined::new(spec.codecs(), vec![part]))
}

/// Adds the rows with a key to `by_key`; returns the others.
fn collect(
    spec: &JoinSpec,
    side: Side,
    table: &Table,
    by_key: &mut BTreeMap<Vec<u8>, [Vec<usize>; 2]>,
) -> Result<Vec<usize>, PsiError> {
    let keys = Keys::new(spec.key_types(side), &table.keys, table.rows)?;
    let (mut form, mut nulls) = (Vec::new(), Vec::new());
    for row in 0..table.rows {
        if keys.normal_form(row, &mut form) {
            let [left, right] = by_key.entry(form.clone()).or_default();
            match side {
                Side::Left => left.push(row),
                Side::Right => right.push(row),
            }
        } else {
            nulls.push(row);
        }
    }
    Ok(nulls)
}

fn read<'a>(spec: &'a JoinSpec, side: Side, table: &'a Table) -> Result<Rows<'a>, PsiError> {
    let bound = spec.bound(side);
    if table.rows > bound {
        return Err(PsiError::TooManyRows { bound });
    }
    Ok(spec.payload(side).read(&table.payload, table.rows)?)
}

fn append(rows: &Rows<'_>, members: &[usize], store: &mut RowStore) -> Result<Range<usize>, PsiError> {
    let first = store.len();
    for row in members {
        let mut bytes = vec![0; rows.encoded_len(*row)];
        rows.encode(*row, &mut bytes);
        store.push(&bytes)?;
    }
    Ok(first..store.len())
}
