use proptest::prelude::*;
use xor_base::kernels::prg::Prg;

use super::core::{CoreRow, solve};
use super::peel::{Peeled, Peeler};
use super::sizes::expansion;
use super::*;

/// A shape, keys and values.
fn case(bound: usize, keys: usize, seed: u64) -> (Shape, Vec<Block>, Vec<Block>) {
    (
        Shape::new(bound).unwrap(),
        Prg::stream(Block(1), seed).blocks(keys),
        Prg::stream(Block(2), seed).blocks(keys),
    )
}

/// What a table gives, by the definition: each slot and each power of the point on its own.
fn by_definition(shape: Shape, seed: Block, key: Block, table: &[Block]) -> Block {
    let rows = Rows::place(shape, seed, &[key]).unwrap();
    let bin = (0..shape.bins)
        .find(|bin| rows.slots(*bin).next().is_some())
        .unwrap();
    let table = &table[bin * shape.bin_len()..][..shape.bin_len()];
    let slots = super::rows::unpack(rows.slots(bin).next().unwrap());
    let point = Block(u128::from(rows.points(bin).next().unwrap()));
    let mut power = Block::ONE;
    let mut sum = slots.iter().fold(Block::ZERO, |sum, slot| sum ^ table[*slot]);
    for column in &table[shape.slots..] {
        power = xor_base::kernels::gf128::mul(power, point);
        sum ^= xor_base::kernels::gf128::mul(power, *column);
    }
    sum
}

#[test]
fn every_key_gives_its_value() {
    for (bound, count) in [
        (0, 0),
        (1, 1),
        (5000, 2),
        (4096, 4096),
        (70_000, 70_000),
        (100_000, 60_000),
    ] {
        let (shape, keys, values) = case(bound, count, 0);
        for free in [Free::Zero, Free::Random(Block(77))] {
            let table = encode(shape, Block(9), &keys, &values, free).unwrap();
            assert_eq!(table.len(), shape.table_len());
            let mut out = vec![Block::ZERO; keys.len()];
            decode(shape, Block(9), &keys, &table, &mut out).unwrap();
            assert!(out == values);
            for (key, value) in keys.iter().zip(&values).take(50) {
                assert!(by_definition(shape, Block(9), *key, &table) == *value);
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_table() {
    let (shape, keys, values) = case(70_000, 70_000, 0);
    let table = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let table = encode(shape, Block(3), &keys, &values, Free::Random(Block(4))).unwrap();
            let mut out = vec![Block::ZERO; keys.len()];
            decode(shape, Block(3), &keys, &table, &mut out).unwrap();
            assert!(out == values);
            table
        })
    };
    let alone = table(1);
    assert!(table(2) == alone);
    assert!(table(3) == alone);
}

#[test]
fn the_table_is_a_function_of_its_inputs_alone() {
    // Changes with any kernel, path, size or order: it must not, once tables travel.
    let (shape, keys, values) = case(40_000, 40_000, 5);
    let table = encode(shape, Block(3), &keys, &values, Free::Random(Block(4))).unwrap();
    let digest = blake3::hash(xor_base::kernels::block::as_bytes(&table));
    assert_eq!(digest.to_hex().as_str(), TABLE_DIGEST);
}

const TABLE_DIGEST: &str = "d87a37a7f081b03eab26feabae950227afa111ed189de244cf8c7afbbf56235c";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn decoding_is_linear_for_any_keys(count in 0_usize..9000, a: u64, b: u64, seed: u128) {
        let (shape, keys, _) = case(count, count, a);
        let rows = Rows::place(shape, Block(seed), &keys).unwrap();
        let [first, second] = [a, b].map(|seed| Prg::stream(Block(6), seed).blocks(shape.table_len()));
        let both: Vec<Block> = first.iter().zip(&second).map(|(a, b)| *a ^ *b).collect();
        let [first, second, both] = [first, second, both].map(|table| {
            let mut out = vec![Block::ZERO; count];
            rows.decode(&table, &mut out).unwrap();
            out
        });
        for ((first, second), both) in first.iter().zip(&second).zip(&both) {
            prop_assert_eq!(*first ^ *second, *both);
        }
    }
}

#[test]
fn sizes_are_those_of_the_page() {
    let sizes = |bound| {
        let shape = Shape::new(bound).unwrap();
        [shape.bins, shape.capacity, shape.slots, shape.dense]
    };
    assert_eq!(sizes(0), sizes(4096));
    assert_eq!(sizes(1), sizes(4096));
    for [bound, expected @ ..] in SIZES {
        assert_eq!(sizes(bound), expected, "{bound}");
    }
    for bound in (0..1 << 17)
        .step_by(997)
        .chain((1 << 17..1 << 22).step_by(99_991))
    {
        let shape = Shape::new(bound).unwrap();
        assert!(shape.bin_len() <= 1 << 16 && shape.capacity * shape.bins >= bound);
    }
    assert_eq!(
        Shape::new((1 << 30) + 1),
        Err(OkvsError::BoundTooLarge { limit: 1 << 30 })
    );
}

/// What the planner computes in another language: every padded bound is of this form or between two of them.
/// `XOR_REWRITE_VECTORS=1` writes the file; read the diff.
#[test]
fn the_planner_reads_the_same_sizes() {
    let powers = (0..=30).flat_map(|log| [5, 6, 7, 8].map(|eighths| (eighths << log) / 8));
    let mut bounds: Vec<usize> = powers.chain([4097, 32_769, 98_304, 10_000_000]).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let lines: Vec<String> = bounds
        .into_iter()
        .map(|bound| {
            let shape = Shape::new(bound).unwrap();
            let (bins, capacity) = (shape.bins, shape.capacity);
            let (slots, dense, table_len) = (shape.slots, shape.dense, shape.table_len());
            format!(
                r#"    {{"bound": {bound}, "bins": {bins}, "capacity": {capacity}, "slots": {slots}, "dense": {dense}, "table_len": {table_len}}}"#
            )
        })
        .collect();
    let text = format!("{{\n  \"cases\": [\n{}\n  ]\n}}\n", lines.join(",\n"));
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/core/okvs-sizes.json"
    );
    if std::env::var_os("XOR_REWRITE_VECTORS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}

/// Bound, bins, capacity, slots, dense columns.
const SIZES: [[usize; 5]; 7] = [
    [1 << 12, 1, 4096, 5405, 3],
    [1 << 15, 1, 32_768, 41_071, 2],
    [1 << 16, 2, 33_695, 42_259, 2],
    [1 << 20, 32, 34_132, 42_882, 2],
    [10_000_000, 306, 34_115, 42_928, 3],
    [1 << 24, 512, 34_217, 43_069, 3],
    [1 << 30, 32_768, 34_311, 43_310, 3],
];

#[test]
fn wrong_lengths_are_errors() {
    let (shape, keys, values) = case(100, 100, 0);
    let rows = Rows::place(shape, Block(1), &keys).unwrap();
    assert_eq!(
        rows.encode(&values[1..], Free::Zero),
        Err(OkvsError::LengthsDiffer)
    );
    let mut table = rows.encode(&values, Free::Zero).unwrap();
    let mut out = values.clone();
    assert_eq!(rows.decode(&table, &mut out[1..]), Err(OkvsError::LengthsDiffer));
    assert_eq!(rows.decode(&table[1..], &mut out), Err(OkvsError::WrongLength));
    table.push(Block::ZERO);
    assert_eq!(rows.decode(&table, &mut out), Err(OkvsError::WrongLength));
    let (small, _, _) = case(99, 0, 0);
    let result = encode(small, Block(1), &keys, &values, Free::Zero);
    assert_eq!(result, Err(OkvsError::TooManyKeys { bound: 99 }));
}

#[test]
fn repeated_keys_are_not_encodable() {
    let (shape, mut keys, values) = case(5000, 5000, 0);
    keys[4000] = keys[17];
    for free in [Free::Zero, Free::Random(Block(1))] {
        assert_eq!(
            encode(shape, Block(2), &keys, &values, free),
            Err(OkvsError::Unsolvable)
        );
    }
}

#[test]
fn a_bin_that_overflows_ends_the_attempt() {
    let (mut shape, keys, values) = case(1 << 16, 1 << 16, 0);
    shape.capacity = (1 << 15) - 300;
    assert_eq!(
        encode(shape, Block(2), &keys, &values, Free::Zero),
        Err(OkvsError::Unsolvable)
    );
}

#[test]
fn a_core_is_solved_by_the_dense_columns() {
    // Systems so tight that cores are common: thousands of small ones, some with a gap.
    let (mut cores, mut gaps) = (0, 0);
    for seed in 0..3000 {
        let (keys, values) = (
            Prg::stream(Block(1), seed).blocks(24),
            Prg::stream(Block(2), seed).blocks(24),
        );
        let shape = Shape {
            bound: 24,
            bins: 1,
            capacity: 24,
            slots: 36,
            dense: 3,
        };
        let rows = Rows::place(shape, Block(8), &keys).unwrap();
        let core = core_of(rows.slots(0), 36);
        let gap = gap(&core);
        for free in [Free::Zero, Free::Random(Block(77))] {
            let table = rows.encode(&values, free);
            assert_eq!(table.is_ok(), gap <= 3);
            if let Ok(table) = table {
                let mut out = vec![Block::ZERO; 24];
                rows.decode(&table, &mut out).unwrap();
                assert!(out == values);
            }
        }
        cores += u32::from(!core.is_empty());
        gaps += u32::from(gap > 0);
    }
    assert!(cores > 100 && gaps > 50, "{cores} {gaps}");
}

#[test]
fn free_slots_of_a_random_table_are_uniform() {
    // Every bit of every slot and column is one about half the time, over seeds and uniform values. With
    // zeros in the free slots it is not.
    let shape = Shape {
        bound: 24,
        bins: 1,
        capacity: 24,
        slots: 36,
        dense: 3,
    };
    let keys = Prg::new(Block(1)).blocks(24);
    let rows = Rows::place(shape, Block(5), &keys).unwrap();
    let runs = 1000_u32;
    let largest_bias = |free: &dyn Fn(u64) -> Free| {
        let mut ones = vec![0_u32; 39 * 128];
        for run in 0..u64::from(runs) {
            let values = Prg::stream(Block(2), run).blocks(24);
            let table = rows.encode(&values, free(run)).unwrap();
            for (block, ones) in table.iter().zip(ones.chunks_mut(128)) {
                for (bit, ones) in ones.iter_mut().enumerate() {
                    *ones += u32::from(block.0 >> bit & 1 == 1);
                }
            }
        }
        let bias = ones
            .iter()
            .map(|ones| (f64::from(*ones) - f64::from(runs) / 2.0).abs());
        bias.fold(0.0, f64::max) / (f64::from(runs) / 4.0).sqrt()
    };
    assert!(largest_bias(&|run| Free::Random(Block(u128::from(run) + 9))) < 6.0);
    assert!(largest_bias(&|_| Free::Zero) > 20.0);
}

/// The rows that resist peeling.
fn core_of(rows: impl Iterator<Item = u64>, slots: usize) -> Vec<u64> {
    let mut peeler = Peeler::new();
    let all: Vec<u64> = rows.collect();
    peeler.peel(all.iter().copied(), slots);
    let mut is_peeled = vec![false; all.len()];
    for word in &peeler.peeled {
        is_peeled[Peeled::unpack(*word).row] = true;
    }
    let rows = all.into_iter().zip(is_peeled);
    rows.filter_map(|(row, is_peeled)| (!is_peeled).then_some(row))
        .collect()
}

/// By how much the rank of a core falls short.
fn gap(core: &[u64]) -> usize {
    core.len() - rank(core)
}

/// Rank over GF(2), by elimination on sorted lists of slots.
fn rank(rows: &[u64]) -> usize {
    let mut pivots: std::collections::HashMap<usize, Vec<usize>> = std::collections::HashMap::new();
    for row in rows {
        let mut left: Vec<usize> = super::rows::unpack(*row).to_vec();
        while let Some(pivot) = left.last().and_then(|last| pivots.get(last)) {
            let (a, b) = (&left, pivot);
            let mut sum: Vec<usize> = a.iter().filter(|x| !b.contains(x)).copied().collect();
            sum.extend(b.iter().filter(|x| !a.contains(x)));
            sum.sort_unstable();
            left = sum;
        }
        if let Some(last) = left.last() {
            pivots.insert(*last, left);
        }
    }
    pivots.len()
}

/// How often `is_failure` of `trials` systems of `keys` rows over `slots` slots.
fn frequency(keys: usize, slots: usize, trials: u64, is_failure: impl Fn(&[u64]) -> bool) -> f64 {
    let shape = Shape {
        bound: keys,
        bins: 1,
        capacity: keys,
        slots,
        dense: 0,
    };
    let failed = (0..trials).filter(|trial| {
        let keys = Prg::stream(Block(31), *trial).blocks(keys);
        let rows = Rows::place(shape, Block(32), &keys).unwrap();
        is_failure(&core_of(rows.slots(0), slots))
    });
    failed.count() as f64 / trials as f64
}

#[test]
fn small_dependencies_are_as_rare_as_the_page_says() {
    // Far from the threshold a gap comes from pairs of equal rows: 3 (n / m)^2 / m in expectation, and g of
    // them with the g-th power of that over g!. Here m is so small that they can be counted.
    let (keys, slots, trials) = (300, 400, 20_000);
    let expected = 3.0 * (keys as f64 / slots as f64).powi(2) / slots as f64;
    for dense in 0..2 {
        let measured = frequency(keys, slots, trials, |core| gap(core) > dense);
        let factorial = (1..=dense + 1).product::<usize>() as f64;
        let predicted = expected.powi(dense as i32 + 1) / factorial;
        println!("gap above {dense}: measured {measured:.2e}, predicted {predicted:.2e}");
        assert!(
            measured < 2.5 * predicted + 3.0 / trials as f64,
            "{measured} {predicted}"
        );
        // What sizes are made with is larger still: slots^-(dense + 1).
        assert!(predicted < 2.0 * (slots as f64).powi(-(dense as i32 + 1)));
    }
}

#[test]
fn measured_failures_extrapolate_to_the_parameters() {
    // A core of more than a few rows counts as a failure, though elimination would solve small ones.
    // Whether a random system has a core follows, in expansion, a normal law around the threshold (Dembo,
    // Montanari, "Finite size scaling for the core of large random hypergraphs", 2008). Failures are
    // measured where they are frequent; the line through their normal deviates is read off at the
    // expansion of real tables.
    for (keys, trials) in [(512, 3000_u64), (4096, 600)] {
        let points = [-6.0, -3.0, 0.0, 2.0].map(|bits: f64| {
            let expansion = expansion(keys, bits);
            let slots = (expansion * keys as f64).ceil() as usize;
            let rate = frequency(keys, slots, trials, |core| core.len() > 24).max(0.5 / trials as f64);
            println!(
                "{keys} keys, expansion {expansion:.4}: {rate:.4}, promised 2^{}",
                -bits
            );
            // Never worse than promised, within three deviations.
            let promised = 2_f64.powf(-bits).min(1.0);
            assert!(rate <= promised + 3.0 * (promised / trials as f64).sqrt());
            (expansion, deviate(rate))
        });
        let (slope, at_zero) = fit(&points);
        let extrapolated = -log2_beyond(at_zero + slope * expansion(keys, 40.0));
        println!("{keys} keys: extrapolated to 2^-{extrapolated:.1}, promised 2^-40");
        assert!(extrapolated > 40.0);
    }
}

/// log2 of the probability that a normal deviate is above `z`.
fn log2_beyond(z: f64) -> f64 {
    // Simpson's rule; the density is negligible 8 further on.
    let density = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let step = 0.004;
    let sum: f64 = (0..=2000)
        .map(|i| {
            let weight = if i == 0 || i == 2000 {
                1.0
            } else {
                2.0 + 2.0 * f64::from(i % 2)
            };
            weight * density(z + step * f64::from(i))
        })
        .sum();
    (sum * step / 3.0).log2()
}

/// The normal deviate that is exceeded with this probability.
fn deviate(probability: f64) -> f64 {
    let (mut low, mut high) = (-6.0, 6.0);
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if log2_beyond(middle) > probability.log2() {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Slope and value at zero of the line through `points` by least squares.
fn fit(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(&|point| point.0), mean(&|point| point.1));
    let slope = mean(&|point| (point.0 - x) * (point.1 - y)) / mean(&|point| (point.0 - x).powi(2));
    (slope, y - slope * x)
}

#[test]
fn bins_overflow_as_rarely_as_promised() {
    // 2^-2 and 2^-6 for all bins together, of which overflow has half.
    for bits in [2.0_f64, 6.0] {
        let shape = Shape::with_security(1 << 17, bits).unwrap();
        let trials = 400;
        let overflows = (0..trials).filter(|trial| {
            let keys = Prg::stream(Block(41), *trial).blocks(1 << 17);
            let rows = Rows::place(shape, Block(42), &keys).unwrap();
            (0..shape.bins).any(|bin| rows.slots(bin).count() > shape.capacity)
        });
        let rate = overflows.count() as f64 / trials as f64;
        let promised = 2_f64.powf(-bits) / 2.0;
        println!("2^-{bits}: {rate:.4} measured, {promised:.4} promised");
        assert!(rate < promised + 3.0 * (promised / trials as f64).sqrt());
        assert!(rate > promised / 20.0 || bits > 2.0);
    }
}

#[test]
fn a_core_without_a_solution_is_refused() {
    let row = CoreRow {
        slots: [0, 1, 2],
        point: 5,
        value: Block(1),
    };
    let (mut sparse, mut dense) = (vec![Block::ZERO; 3], vec![Block::ZERO; 2]);
    // The same row twice: consistent or not, the seed would be tied to the keys.
    assert!(solve(&[row, row], &mut sparse, &mut dense).is_none());
    assert!(solve(&[row, CoreRow { point: 6, ..row }], &mut sparse, &mut dense).is_some());
    let rows: Vec<CoreRow> = (0..4)
        .map(|point| CoreRow {
            point: point + 1,
            ..row
        })
        .collect();
    assert!(solve(&rows, &mut sparse, &mut dense).is_none());
}

#[test]
fn errors_name_the_stage_only() {
    assert_eq!(OkvsError::Unsolvable.code(), "protocol.not-encodable");
    assert_eq!(OkvsError::WrongLength.code(), "protocol.wrong-length");
    assert_eq!(OkvsError::LengthsDiffer.code(), "protocol.bad-parameters");
    assert_eq!(OkvsError::TooManyKeys { bound: 1 }.code(), "resource.above-bound");
    assert_eq!(
        OkvsError::BoundTooLarge { limit: 1 }.code(),
        "resource.bound-too-large"
    );
}
