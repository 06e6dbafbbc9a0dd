use super::*;
use xor_base::kernels::prg::Prg;

fn case(bound: usize, keys: usize) -> (Shape, Vec<Block>, Vec<Block>) {
    (
        Shape::new(bound).unwrap(),
        Prg::stream(Block(1), keys as u64).blocks(keys),
        Prg::stream(Block(2), keys as u64).blocks(keys),
    )
}

#[test]
fn every_key_gives_its_value() {
    for (bound, keys) in [
        (0, 0),
        (1, 1),
        (5000, 2),
        (4096, 4096),
        (70_000, 70_000),
        (100_000, 60_000),
    ] {
        let (shape, keys, values) = case(bound, keys);
        for free in [Free::Zero, Free::Random(Block(77))] {
            let table = encode(shape, Block(9), &keys, &values, free).unwrap();
            assert_eq!(table.len(), shape.table_len());
            let mut out = vec![Block::ZERO; keys.len()];
            decode(shape, Block(9), &keys, &table, &mut out).unwrap();
            assert!(out == values);
        }
    }
}
