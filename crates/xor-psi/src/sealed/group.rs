//! Rows by key: each distinct key once, its rows together and in random order.

use xor_base::keys::Inputs;
use xor_base::random;

use super::order;
use crate::PsiError;
use crate::oprf::Input;

/// The rows of one table, grouped.
pub(crate) struct Groups {
    /// [n] distinct inputs, in the order in which the table first has them. A back end shows no order.
    pub inputs: Vec<Input>,
    /// [rows with a key] grouped by key, in random order within a group.
    pub order: Vec<u32>,
    /// [n + 1] where each group starts in `order`.
    pub starts: Vec<u32>,
    /// Rows of which some part of the key is NULL.
    pub unkeyed: Vec<u32>,
}

impl Groups {
    /// Groups at most 2^24 rows. A million equal keys cost no more than a million different ones.
    ///
    /// # Errors
    /// `Randomness`, `OutOfMemory`.
    pub fn new(rows: &Inputs) -> Result<Self, PsiError> {
        let (mut keyed, mut unkeyed) = (Vec::with_capacity(rows.values.len()), Vec::new());
        for (is_null, number) in rows.is_null.iter().zip(0_u32..) {
            if *is_null {
                unkeyed.push(number);
            } else {
                keyed.push(number);
            }
        }
        let leaders = leaders(&rows.values, &keyed)?;
        let mut groups = Self {
            inputs: Vec::with_capacity(keyed.len()),
            order: vec![0; keyed.len()],
            starts: Vec::with_capacity(keyed.len() + 1),
            unkeyed,
        };
        groups.place(&rows.values, &keyed, &leaders);
        groups.shuffle()?;
        Ok(groups)
    }

    /// Gives each key its place: where its first row stands among first rows.
    fn place(&mut self, values: &[Input], keyed: &[u32], leaders: &[u32]) {
        let mut counts = vec![0_u32; keyed.len()];
        for leader in leaders {
            if let Some(count) = counts.get_mut(*leader as usize) {
                *count += 1;
            }
        }
        // From here on a leader's count is where its next row goes.
        let mut next = 0;
        for (count, row) in counts.iter_mut().zip(keyed).filter(|(count, _)| **count > 0) {
            self.starts.push(next);
            self.inputs
                .push(values.get(*row as usize).copied().unwrap_or_default());
            next += std::mem::replace(count, next);
        }
        self.starts.push(next);
        for (leader, row) in leaders.iter().zip(keyed) {
            if let Some(place) = counts.get_mut(*leader as usize) {
                if let Some(to) = self.order.get_mut(*place as usize) {
                    *to = *row;
                }
                *place += 1;
            }
        }
    }

    /// The order within a group is drawn anew for every attempt: it would show the table's order.
    fn shuffle(&mut self) -> Result<(), PsiError> {
        let is_shared = |pair: &[u32]| matches!(pair, [start, end] if end - start > 1);
        let shared: usize = self.iter().map(<[u32]>::len).filter(|rows| *rows > 1).sum();
        let mut words = random::words(shared)?.into_iter();
        for pair in self.starts.windows(2).filter(|pair| is_shared(pair)) {
            let [start, end] = pair else { continue };
            let group = self.order.get_mut(*start as usize..*end as usize);
            let group = group.unwrap_or_default();
            for (last, word) in (1..group.len()).rev().zip(&mut words) {
                // Uniform up to 2^-40: a group has at most 2^24 rows.
                let other = (u128::from(word) * (last as u128 + 1)) >> 64;
                group.swap(last, other as usize);
            }
        }
        Ok(())
    }

    /// The rows of every group, in the order of `inputs`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.starts.windows(2).map(|pair| match pair {
            [start, end] => self.order.get(*start as usize..*end as usize).unwrap_or_default(),
            _ => &[],
        })
    }

    /// The rows of one group.
    pub fn rows(&self, group: usize) -> &[u32] {
        match (self.starts.get(group), self.starts.get(group + 1)) {
            (Some(start), Some(end)) => self.order.get(*start as usize..*end as usize),
            _ => None,
        }
        .unwrap_or_default()
    }
}

/// For each keyed row the place in `keyed` of the first row with the same input.
fn leaders(values: &[Input], keyed: &[u32]) -> Result<Vec<u32>, PsiError> {
    let value = |place: u32| {
        let row = keyed.get(place as usize).copied().unwrap_or(u32::MAX);
        values.get(row as usize)
    };
    let input = |place: usize| value(place as u32).map(<[u8; 32]>::as_slice).unwrap_or_default();
    let mut leaders: Vec<u32> = (0_u32..).take(keyed.len()).collect();
    order::ascending_in_runs(keyed.len(), input, |run| {
        for group in run.chunk_by(|left, right| value(*left) == value(*right)) {
            let first = group.iter().min().copied().unwrap_or(0);
            for place in group {
                if let Some(leader) = leaders.get_mut(*place as usize) {
                    *leader = first;
                }
            }
        }
    })?;
    Ok(leaders)
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
        assert_eq!(groups.inputs, [[2; 32], [1; 32]]);
        let mut members: Vec<Vec<u32>> = groups.iter().map(<[u32]>::to_vec).collect();
        members[0].sort_unstable();
        assert_eq!(members, [vec![0, 3], vec![1]]);
        assert_eq!(groups.rows(1), [1]);
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

    #[test]
    fn the_rows_of_a_key_take_every_order() {
        let rows = Inputs {
            values: vec![[1; 32]; 3],
            is_null: vec![false; 3],
        };
        let orders: std::collections::HashSet<Vec<u32>> =
            (0..200).map(|_| Groups::new(&rows).unwrap().order).collect();
        // One of the six is missing with probability 6 · (5/6)^200 < 2^-50.
        assert_eq!(orders.len(), 6);
    }
}
