#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn vectors(name: &str) -> Value {
    let path = format!("{}/../../tests/vectors/oprf/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn all<T>(value: &Value, read: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().unwrap().iter().map(read).collect()
}

fn scalar(value: &Value) -> Scalar {
    Option::<Scalar>::from(Scalar::from_canonical_bytes(array(value))).unwrap()
}

fn element(encoded: &Encoded) -> Element {
    Element::decode(encoded).unwrap()
}

struct Batch {
    key: KeyPair,
    public: Element,
    c: Vec<Element>,
    d: Vec<Element>,
    proof: [u8; PROOF_BYTES],
}

fn batch(size: u64) -> Batch {
    let key = KeyPair::from_secret(Scalar::from(7_u64));
    let c: Vec<Element> = (1..=size)
        .map(|n| element(&RistrettoPoint::mul_base(&Scalar::from(n)).compress().to_bytes()))
        .collect();
    let encoded = blind_evaluate(&key, &c);
    let proof = generate_proof(&key, &c, &encoded, &Scalar::from(11_u64));
    Batch {
        public: element(key.public()),
        key,
        c,
        d: encoded.iter().map(element).collect(),
        proof,
    }
}

#[test]
fn the_published_vectors_hold() {
    let file = vectors("rfc9497-ristretto255-voprf.json");
    let key = KeyPair::from_secret(scalar(&file["skSm"]));
    assert_eq!(key.public(), &array(&file["pkSm"]));
    for vector in file["vectors"].as_array().unwrap() {
        let inputs = all(&vector["Input"], bytes);
        let mut blinds = all(&vector["Blind"], scalar);
        let outputs = all(&vector["Output"], array);
        let points: Vec<_> = inputs.iter().map(|input| hash_to_group(input).unwrap()).collect();

        let blinded = blind(&points, &blinds);
        assert_eq!(blinded, all(&vector["BlindedElement"], array));
        let c: Vec<_> = blinded.iter().map(element).collect();
        let evaluated = blind_evaluate(&key, &c);
        assert_eq!(evaluated, all(&vector["EvaluationElement"], array));
        let proof = generate_proof(&key, &c, &evaluated, &scalar(&vector["ProofRandomScalar"]));
        assert_eq!(proof, array(&vector["Proof"]));

        let d: Vec<_> = evaluated.iter().map(element).collect();
        assert!(verify_proof(&element(key.public()), &c, &d, &proof));
        assert_eq!(finalize(&inputs, &mut blinds, &d), outputs);
        assert_eq!(evaluate(&key, &inputs, &points), outputs);
    }
}

#[test]
fn encodings_that_are_no_element_are_refused() {
    let file = vectors("rfc9496-ristretto255-invalid.json");
    let invalid = file["invalid"].as_array().unwrap();
    assert_eq!(invalid.len(), 30);
    for vector in invalid {
        assert_eq!(
            Element::decode(&array(&vector["encoding"])),
            None,
            "{}",
            vector["why"]
        );
    }
}

#[test]
fn a_proof_speaks_for_one_batch_in_one_order_under_one_key() {
    let Batch {
        public, c, d, proof, ..
    } = batch(5);
    assert!(verify_proof(&public, &c, &d, &proof));
    let swapped = |elements: &[Element]| {
        let mut elements = elements.to_vec();
        elements.swap(0, 1);
        elements
    };
    assert!(!verify_proof(&public, &swapped(&c), &d, &proof));
    assert!(!verify_proof(&public, &c, &swapped(&d), &proof));
    assert!(!verify_proof(&public, &swapped(&c), &swapped(&d), &proof));
    assert!(!verify_proof(&public, &c[1..], &d[1..], &proof));
    assert!(!verify_proof(&c[0], &c, &d, &proof));
}

#[test]
fn one_wrong_element_among_many_breaks_the_proof() {
    let Batch {
        key,
        public,
        c,
        mut d,
        ..
    } = batch(300);
    let honest: Vec<Encoded> = d.iter().map(|e| e.encoded).collect();
    let other = KeyPair::from_secret(Scalar::from(8_u64));
    d[299] = element(&blind_evaluate(&other, &c[299..])[0]);
    let claimed: Vec<Encoded> = d.iter().map(|e| e.encoded).collect();
    for over in [honest, claimed] {
        let proof = generate_proof(&key, &c, &over, &Scalar::from(3_u64));
        assert!(!verify_proof(&public, &c, &d, &proof));
    }
}

#[test]
fn scalars_that_are_not_reduced_are_no_proof() {
    let Batch {
        public,
        c,
        d,
        mut proof,
        ..
    } = batch(1);
    // The group order, little-endian, added to c.
    let order = (Scalar::ZERO - Scalar::ONE).to_bytes();
    let mut carry = 1_u16;
    for (byte, add) in proof.iter_mut().take(32).zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert!(decode_proof(&proof).is_none());
    assert!(!verify_proof(&public, &c, &d, &proof));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_flipped_bit_of_a_proof_is_noticed(bit in 0_usize..512) {
        let Batch { public, c, d, mut proof, .. } = batch(2);
        proof[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!verify_proof(&public, &c, &d, &proof));
    }

    #[test]
    fn decoding_is_the_inverse_of_encoding_or_refuses(encoded in any::<[u8; 32]>()) {
        if let Some(element) = Element::decode(&encoded) {
            prop_assert_eq!(element.point.compress().to_bytes(), encoded);
            prop_assert!(!element.point.is_identity());
        }
    }

    #[test]
    fn random_bytes_are_no_proof(random in any::<[[u8; 32]; 2]>()) {
        let Batch { public, c, d, .. } = batch(1);
        let mut proof = [0; PROOF_BYTES];
        proof.copy_from_slice(random.as_flattened());
        prop_assert!(!verify_proof(&public, &c, &d, &proof));
    }
}
