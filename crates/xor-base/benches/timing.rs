//! Does the time of a kernel depend on secrets? `cargo bench -p xor-base --bench timing [-- runs]`.
//!
//! The test of Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?" (DATE 2017): time a fixed
//! input and random ones in random order, and compare the means by Welch's t-test, with the slowest
//! measurements cropped at several levels. |t| above 10 means a leak; a passing test proves nothing.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use xor_base::kernels::aes::Aes128;
use xor_base::kernels::prg::Prg;
use xor_base::kernels::{Block, gf128, hash, many, prefix, transpose};

/// Blocks of one measurement: long against the resolution of the clock.
const LENGTH: usize = 128;

const LEAK: f64 = 10.0;

fn main() -> ExitCode {
    let runs = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(200_000);
    let cipher = Aes128::new(Block(1));
    let mut out = vec![Block::ZERO; LENGTH];
    let known = Prg::new(Block(2)).blocks(LENGTH);
    let mut leaks = 0;
    let mut check = |name: &str, kernel: &mut dyn FnMut(&[Block])| {
        let t = largest_t(runs, kernel);
        println!("{name:24} |t| = {t:6.2}");
        leaks += u32::from(t > LEAK);
    };
    check("aes, data", &mut |secret| cipher.encrypt_blocks(secret, &mut out));
    check("aes, key", &mut |secret| Prg::new(secret[0]).fill(&mut out));
    check("tccr", &mut |secret| hash::tccr(&cipher, 0, secret, &mut out));
    check("multiply", &mut |secret| {
        gf128::mul_add_pairs(&mut out, &known, secret)
    });
    check("multiply, portable", &mut |secret| {
        gf128::portable::mul_add_pairs(&mut out, &known, secret);
    });
    check("inner product", &mut |secret| {
        black_box(gf128::inner_product(&known, secret));
    });
    check("inverse", &mut |secret| {
        black_box(gf128::inverse(secret[0]));
    });
    check("transpose", &mut |secret| {
        transpose::columns_to_rows(secret, &mut out)
    });
    check("prefix", &mut |secret| {
        out.copy_from_slice(secret);
        black_box(prefix::xor(&mut out));
    });
    let context = blake3::hazmat::hash_derive_key_context("timing");
    let mut bytes = vec![0; LENGTH * 16];
    check("derive", &mut |secret| {
        let messages = xor_base::kernels::block::as_bytes(secret).chunks(64);
        many::derive(&context, messages, &mut bytes[..LENGTH / 4 * 32], 32);
    });
    ExitCode::from(u8::from(leaks > 0))
}

/// The largest |t| over several crops, between all zeros and random inputs.
fn largest_t(runs: usize, kernel: &mut dyn FnMut(&[Block])) -> f64 {
    let mut randomness = Prg::new(Block(5));
    let mut measured: Vec<(bool, f64)> = Vec::with_capacity(runs);
    let mut input = vec![Block::ZERO; LENGTH];
    for _ in 0..runs {
        randomness.fill(&mut input);
        // Both classes do the same work before the clock starts.
        let is_fixed = randomness.block().bit0();
        let keep = Block::mask(!is_fixed);
        for block in &mut input {
            *block &= keep;
        }
        let start = Instant::now();
        kernel(black_box(&input));
        measured.push((is_fixed, start.elapsed().as_nanos() as f64));
    }
    let mut sorted: Vec<f64> = measured.iter().map(|(_, time)| *time).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    [0.5, 0.75, 0.9, 0.99]
        .into_iter()
        .map(|crop| {
            let limit = sorted[(crop * (runs - 1) as f64) as usize];
            let below = |class| {
                measured
                    .iter()
                    .filter(move |(is, time)| *is == class && *time <= limit)
            };
            welch(
                below(true).map(|(_, time)| *time),
                below(false).map(|(_, time)| *time),
            )
            .abs()
        })
        .fold(0.0, f64::max)
}

fn welch(a: impl Iterator<Item = f64>, b: impl Iterator<Item = f64>) -> f64 {
    let (mean_a, error_a) = mean_and_error(a);
    let (mean_b, error_b) = mean_and_error(b);
    (mean_a - mean_b) / (error_a + error_b).sqrt().max(1e-9)
}

/// The mean, and the variance of the mean.
fn mean_and_error(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let step = value - mean;
        mean += step / count;
        squares += step * (value - mean);
    }
    (mean, squares / (count - 1.0_f64).max(1.0) / count.max(1.0))
}
