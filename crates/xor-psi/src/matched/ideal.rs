//! The ideal twin: a trusted party that sees both tables and gives the receiver what it may learn.

use std::collections::HashMap;

use arrow_array::Int64Array;
use xor_base::keys::Keys;

use super::spec::MatchedSpec;
use crate::PsiError;
use crate::oprf::Side;
use crate::sealed::Table;

/// For each row of the receiver the number of its key, and for each row of the sender, if any, the number of the
/// receiver's key that it has.
///
/// # Errors
/// `TooManyRows`, `Table`, exactly where a player would refuse its own table.
pub fn join(spec: &MatchedSpec, tables: [&Table; 2]) -> Result<(Int64Array, Vec<Option<i64>>), PsiError> {
    let [left, right] = tables;
    let (own, theirs) = match spec.receiver {
        Side::Left => (left, right),
        Side::Right => (right, left),
    };
    let sender = spec.receiver.other();
    let own_keys = normal_forms(spec, spec.receiver, own)?;
    let their_keys = normal_forms(spec, sender, theirs)?;
    spec.payload.read(&theirs.payload, theirs.rows)?;
    let mut known = HashMap::new();
    let mut numbers = Vec::with_capacity(own_keys.len());
    for key in own_keys {
        let next = known.len() as i64;
        numbers.push(key.map(|key| *known.entry(key).or_insert(next)));
    }
    let matched = their_keys.into_iter();
    let matched = matched.map(|key| key.and_then(|key| known.get(&key).copied()));
    Ok((numbers.into(), matched.collect()))
}

fn normal_forms(spec: &MatchedSpec, side: Side, table: &Table) -> Result<Vec<Option<Vec<u8>>>, PsiError> {
    let bound = spec.bound(side);
    if table.rows > bound {
        return Err(PsiError::TooManyRows { bound });
    }
    let keys = Keys::new(spec.key_types(side), &table.keys, table.rows)?;
    let mut form = Vec::new();
    let each = (0..table.rows).map(|row| keys.normal_form(row, &mut form).then(|| form.clone()));
    Ok(each.collect())
}
