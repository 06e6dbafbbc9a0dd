//! Why the codes have labels: the attack on entries that are all 1, at a size where it runs in a second.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use xor_base::kernels::gf128::{inverse, mul};
use xor_base::kernels::{Block, prg::Prg};

const SECRET: usize = 64;
const WEIGHT: usize = 10;
const TREES: usize = 40;
const BLOCK: usize = 32;
const OUTPUTS: usize = TREES * BLOCK;

struct Instance {
    matrix: Vec<Vec<Block>>,
    outputs: Vec<Block>,
    noisy: BTreeSet<usize>,
}

/// Primal LPN with regular noise as ours, but small; `label(j)` is entry j of a row.
fn instance(seed: u128, label: impl Fn(usize) -> Block) -> Instance {
    let mut prg = Prg::new(Block(seed));
    let secret = prg.blocks(SECRET);
    let noisy: BTreeSet<usize> = (0..TREES)
        .map(|tree| tree * BLOCK + prg.block().0 as usize % BLOCK)
        .collect();
    let mut matrix = Vec::new();
    let mut outputs = Vec::new();
    for at in 0..OUTPUTS {
        let mut row = vec![Block::ZERO; SECRET];
        (0..WEIGHT).for_each(|j| row[prg.block().0 as usize % SECRET] ^= label(j));
        let product = row
            .iter()
            .zip(&secret)
            .fold(Block::ZERO, |sum, (a, s)| sum ^ mul(*a, *s));
        outputs.push(if noisy.contains(&at) {
            product ^ prg.block()
        } else {
            product
        });
        matrix.push(row);
    }
    Instance {
        matrix,
        outputs,
        noisy,
    }
}

/// What is left of each output once the secret is solved from the first rows that have full rank.
fn residues(instance: &Instance) -> Vec<Block> {
    let mut rows: Vec<Vec<Block>> = instance.matrix.clone();
    rows.iter_mut()
        .zip(&instance.outputs)
        .for_each(|(row, output)| row.push(*output));
    let mut solved: Vec<(usize, Vec<Block>)> = Vec::new();
    for row in &rows {
        if solved.len() == SECRET {
            break;
        }
        let mut row = row.clone();
        reduce(&mut row, &solved);
        if let Some(pivot) = (0..SECRET).find(|column| row[*column] != Block::ZERO) {
            let scale = inverse(row[pivot]);
            row.iter_mut().for_each(|entry| *entry = mul(*entry, scale));
            solved.push((pivot, row));
        }
    }
    // Ten ones in each row add up to zero, so that over GF(2) one rank is missing.
    assert!(solved.len() >= SECRET - 1);
    rows.into_iter()
        .map(|mut row| {
            reduce(&mut row, &solved);
            row[SECRET]
        })
        .collect()
}

fn reduce(row: &mut [Block], solved: &[(usize, Vec<Block>)]) {
    for (pivot, by) in solved {
        let factor = row[*pivot];
        if factor != Block::ZERO {
            row.iter_mut()
                .zip(by)
                .for_each(|(entry, by)| *entry ^= mul(*by, factor));
        }
    }
}

/// A basis over GF(2) of what it was given.
#[derive(Default)]
struct Span(Vec<u128>);

impl Span {
    fn reduced(&self, value: Block) -> u128 {
        self.0
            .iter()
            .fold(value.0, |value, basis| value.min(value ^ basis))
    }

    fn add(&mut self, value: Block) {
        let rest = self.reduced(value);
        if rest != 0 {
            self.0.push(rest);
            self.0.sort_unstable_by(|one, other| other.cmp(one));
        }
    }
}

/// Names noisy positions: those whose residue is outside the span of a few others.
fn attack(instance: &Instance) -> Option<BTreeSet<usize>> {
    let residues = residues(instance);
    let mut span = Span::default();
    // A window without noise behind the solved rows, found by trying: its span must be small.
    let window = (SECRET + 32..OUTPUTS - 24).step_by(8).find(|start| {
        let mut trial = Span::default();
        residues[*start..*start + 24]
            .iter()
            .for_each(|residue| trial.add(*residue));
        trial.0.len() <= 12
    })?;
    residues[window..window + 24]
        .iter()
        .for_each(|residue| span.add(*residue));
    Some(
        (0..OUTPUTS)
            .filter(|at| span.reduced(residues[*at]) != 0)
            .collect(),
    )
}

#[test]
fn with_entries_of_1_linear_algebra_finds_the_noise() {
    for seed in 0..4 {
        let instance = instance(seed, |_| Block::ONE);
        let found = attack(&instance).unwrap();
        // Only what hides among the rows that were solved may be missing.
        assert!(found.is_subset(&instance.noisy));
        assert!(found.len() >= TREES - 8, "{} of {TREES}", found.len());
    }
}

#[test]
fn with_powers_of_x_the_same_attack_finds_nothing() {
    for seed in 0..4 {
        assert!(attack(&instance(seed, |j| Block(1 << j))).is_none());
    }
}
