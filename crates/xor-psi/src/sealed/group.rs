//! Rows by key: each distinct key once, its rows together and in random order.

use rayon::prelude::*;
use xor_base::keys::Inputs;
use xor_base::random;

use crate::PsiError;
use crate::oprf::Input;

/// The rows of one table, grouped.
pub(super) struct Groups {
    /// [n] distinct inputs, ascending. Their order follows from a hash and tells nothing of the table's.
    pub inputs: Vec<Input>,
    /// [rows with a key] grouped by key, in random order within a group.
    pub order: Vec<u32>,
    /// [n + 1] where each group starts in `order`.
    pub starts: Vec<u32>,
    /// Rows of which some part of the key is NULL.
    pub unkeyed: Vec<u32>,
}

impl Groups {
    /// Sorts at most 2^24 rows. A million equal keys cost no more than a million different ones.
    ///
    /// # Errors
    /// `Randomness`.
    pub fn new(rows: &Inputs) -> Result<Self, PsiError> {
        // The order within a group is drawn anew for every attempt: it would show the table's order.
        let tags = random::words(rows.values.len())?;
        let mut keyed = Vec::with_capacity(rows.values.len());
        let mut unkeyed = Vec::new();
        let rows = rows.values.iter().zip(&rows.is_null).zip(&tags);
        for (((value, is_null), tag), number) in rows.zip(0_u32..) {
            if *is_null {
                unkeyed.push(number);
            } else {
                keyed.push((*value, *tag, number));
            }
        }
        keyed.par_sort_unstable();
        let mut groups = Self {
            inputs: Vec::new(),
            order: Vec::with_capacity(keyed.len()),
            starts: Vec::new(),
            unkeyed,
        };
        for ((value, _, row), start) in keyed.iter().zip(0_u32..) {
            if groups.inputs.last() != Some(value) {
                groups.inputs.push(*value);
                groups.starts.push(start);
            }
            groups.order.push(*row);
        }
        groups
            .starts
            .push(u32::try_from(keyed.len()).map_err(|_| PsiError::OutOfMemory)?);
        Ok(groups)
    }

    /// The rows of every group, in the order of `inputs`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.starts.windows(2).map(|pair| match pair {
            [start, end] => self.order.get(*start as usize..*end as usize).unwrap_or_default(),
            _ => &[],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_by_key_and_nulls_stand_apart() {
        let rows = Inputs {
            values: vec![[2; 32], [1; 32], [0; 32], [2; 32]],
            is_null: vec![false, false, true, false],
        };
        let groups = Groups::new(&rows).unwrap();
        assert_eq!(groups.inputs, [[1; 32], [2; 32]]);
        let mut members: Vec<Vec<u32>> = groups.iter().map(<[u32]>::to_vec).collect();
        members[1].sort_unstable();
        assert_eq!(members, [vec![1], vec![0, 3]]);
        assert_eq!(groups.unkeyed, [2]);
    }

    #[test]
    fn an_empty_table_has_no_groups() {
        let groups = Groups::new(&Inputs {
            values: vec![],
            is_null: vec![],
        })
        .unwrap();
        assert_eq!((groups.inputs.len(), groups.iter().len()), (0, 0));
    }
}
