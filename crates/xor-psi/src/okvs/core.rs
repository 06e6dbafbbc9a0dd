//! What resists peeling: a handful of rows, solved by elimination with the help of the dense columns.

// Indices are positions in vectors made here, of lengths fixed here.
#![allow(clippy::indexing_slicing)]

use xor_base::kernels::Block;
use xor_base::kernels::gf128::{inverse, mul, powers};

use super::constants::MAX_CORE_ROWS;

/// One row: three slots, its dense point, its value.
#[derive(Clone, Copy)]
pub(super) struct CoreRow {
    pub slots: [usize; 3],
    pub point: u64,
    pub value: Block,
}

struct Equation {
    /// Unknown sparse slots, by their rank among the core's slots.
    sparse: Vec<u64>,
    dense: Vec<Block>,
    value: Block,
}

/// Sets slots and dense columns such that every row holds. What they hold before is kept where it is free.
///
/// Gives `None` if the rows depend on each other beyond what the dense columns can mend.
pub(super) fn solve(rows: &[CoreRow], sparse: &mut [Block], dense: &mut [Block]) -> Option<()> {
    if rows.len() > MAX_CORE_ROWS {
        return None;
    }
    let mut slots: Vec<usize> = rows.iter().flat_map(|row| row.slots).collect();
    slots.sort_unstable();
    slots.dedup();
    let mut equations: Vec<Equation> = rows
        .iter()
        .map(|row| equation(row, &slots, dense.len()))
        .collect();
    let pivots = eliminate_sparse(&mut equations, slots.len());
    let (solved, gap) = equations.split_at_mut(pivots.len());
    solve_dense(gap, dense)?;
    for (equation, pivot) in solved.iter().zip(pivots) {
        let mut value = equation.value ^ inner(&equation.dense, dense);
        for (at, slot) in slots.iter().enumerate() {
            if at != pivot && has(&equation.sparse, at) {
                value ^= sparse[*slot];
            }
        }
        sparse[slots[pivot]] = value;
    }
    Some(())
}

fn equation(row: &CoreRow, slots: &[usize], dense: usize) -> Equation {
    let mut bits = vec![0; slots.len().div_ceil(64)];
    for slot in row.slots {
        let at = slots.partition_point(|other| *other < slot);
        bits[at / 64] |= 1 << (at % 64);
    }
    let mut coefficients = vec![Block::ZERO; dense];
    powers(Block(u128::from(row.point)), &mut coefficients);
    Equation {
        sparse: bits,
        dense: coefficients,
        value: row.value,
    }
}

fn has(bits: &[u64], at: usize) -> bool {
    bits[at / 64] >> (at % 64) & 1 == 1
}

/// Reduced row echelon form over the sparse slots: the first rows have one pivot each, given in order; the
/// others have no sparse slot left.
fn eliminate_sparse(equations: &mut [Equation], slots: usize) -> Vec<usize> {
    let mut pivots = Vec::new();
    for at in 0..slots {
        let rank = pivots.len();
        let Some(found) = (rank..equations.len()).find(|&i| has(&equations[i].sparse, at)) else {
            continue;
        };
        equations.swap(rank, found);
        let (above, rest) = equations.split_at_mut(rank);
        if let Some((pivot, below)) = rest.split_first_mut() {
            for other in above.iter_mut().chain(below) {
                if has(&other.sparse, at) {
                    add(other, pivot);
                }
            }
        }
        pivots.push(at);
    }
    pivots
}

fn add(into: &mut Equation, from: &Equation) {
    for (into, from) in into.sparse.iter_mut().zip(&from.sparse) {
        *into ^= from;
    }
    for (into, from) in into.dense.iter_mut().zip(&from.dense) {
        *into ^= *from;
    }
    into.value ^= from.value;
}

/// The number of gap rows that the dense columns cannot satisfy is zero, or there is no solution.
fn solve_dense(gap: &mut [Equation], dense: &mut [Block]) -> Option<()> {
    let mut pivots = Vec::new();
    for rank in 0..gap.len() {
        // Row operations keep the rank: a row without a coefficient left depends on those above it.
        let column = (0..dense.len()).find(|&c| gap[rank].dense[c] != Block::ZERO)?;
        scale(&mut gap[rank], column);
        let (above, rest) = gap.split_at_mut(rank);
        if let Some((pivot, below)) = rest.split_first_mut() {
            for other in above.iter_mut().chain(below) {
                let factor = other.dense[column];
                for (into, from) in other.dense.iter_mut().zip(&pivot.dense) {
                    *into ^= mul(factor, *from);
                }
                other.value ^= mul(factor, pivot.value);
            }
        }
        pivots.push(column);
    }
    for (equation, column) in gap.iter().zip(&pivots) {
        let mut value = equation.value;
        for (c, free) in dense.iter().enumerate() {
            if !pivots.contains(&c) {
                value ^= mul(equation.dense[c], *free);
            }
        }
        dense[*column] = value;
    }
    Some(())
}

fn scale(equation: &mut Equation, column: usize) {
    let factor = inverse(equation.dense[column]);
    for coefficient in &mut equation.dense {
        *coefficient = mul(*coefficient, factor);
    }
    equation.value = mul(equation.value, factor);
}

fn inner(a: &[Block], b: &[Block]) -> Block {
    xor_base::kernels::gf128::inner_product(a, b)
}
