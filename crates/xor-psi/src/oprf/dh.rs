//! 2HashDH on ristretto255: RFC 9497 in VOPRF mode, in one direction or both at once.
//!
//! `docs/protocols/dh-oprf.md` has the messages, the argument and the costs.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rayon::prelude::*;
use xor_base::wiped::Wiped;
use xor_channel::Channel;
use zeroize::Zeroizing;

use super::rfc9497::{
    self, ELEMENT_BYTES, Element, Encoded, HASH_BYTES, KeyPair, PROOF_BYTES, fill_random, hash_to_group,
    random_scalar,
};
use super::{
    Directions, Input, OnProgress, Oprf, OprfError, Output, Outputs, Progress, Side, Sizes, batch, report,
};

/// Elements under one proof: the peer verifies while the next batch is evaluated, and is never
/// silent for longer than one takes. RFC 9497 counts elements in two bytes.
pub const MAX_BATCH: usize = 1 << 14;

/// The largest bound. Both players may have sent all elements, 64 MiB, before either reads, which a
/// channel queues; and far below, at some minutes, another back end is the right one.
pub const MAX_BOUND: usize = 1 << 21;

/// What one core works on at once: long enough to share one inversion among its encodings.
const CHUNK: usize = 256;

/// The verifiable OPRF of RFC 9497 over ristretto255 and SHA-512, with a batch's proof bound to all of
/// its elements.
///
/// # Security
/// Malicious peers; one-more gap Diffie-Hellman on ristretto255 and random oracles. Key and blinds
/// are new in every exchange. The peer learns nothing but `sizes.own`.
///
/// # Cost
/// A player that receives sends 32·own + 4·⌈own/2^14⌉ bytes, one that serves 36 + 32·peer + 68·⌈peer/2^14⌉; two
/// one-way trips. Two multiplications of a point per own row of the bound for the peer's function, one for its own,
/// one per row of the peer's that is served.
///
/// # Source
/// RFC 9497 sections 2, 3.3.2 and 4.1; Jarecki, Kiayias, Krawczyk 2014 (2HashDH).
#[derive(Debug, Clone, Copy)]
pub struct DhOprf {
    batch: usize,
}

impl Default for DhOprf {
    fn default() -> Self {
        Self::new()
    }
}

impl DhOprf {
    #[must_use]
    pub fn new() -> Self {
        Self { batch: MAX_BATCH }
    }

    /// Bytes that one player sends, frame headers included.
    #[must_use]
    pub fn sent_bytes(directions: Directions, sizes: Sizes) -> u64 {
        Self::new().cost(directions, sizes)
    }

    fn cost(self, directions: Directions, sizes: Sizes) -> u64 {
        let header = xor_channel::FRAME_HEADER_BYTES;
        let key = header + ELEMENT_BYTES;
        let blinded = ELEMENT_BYTES * sizes.own + header * sizes.own.div_ceil(self.batch);
        let evaluated = ELEMENT_BYTES * sizes.peer + (header + PROOF_BYTES) * sizes.peer.div_ceil(self.batch);
        let receiving = if directions.receives() { blinded } else { 0 };
        let serving = if directions.serves() { key + evaluated } else { 0 };
        (receiving + serving) as u64
    }
}

impl Oprf for DhOprf {
    fn evaluate(
        &mut self,
        _side: Side,
        directions: Directions,
        inputs: &[Input],
        sizes: Sizes,
        channel: &mut dyn Channel,
        progress: OnProgress<'_>,
    ) -> Result<Outputs, OprfError> {
        if inputs.len() > sizes.own {
            return Err(OprfError::TooManyInputs { bound: sizes.own });
        }
        let bound = sizes.own.max(sizes.peer);
        if bound > MAX_BOUND {
            return Err(OprfError::BoundTooLarge {
                bound,
                limit: MAX_BOUND,
            });
        }
        let key = directions.serves().then(KeyPair::generate).transpose()?;
        let receiving = if directions.receives() { 2 * sizes.own } else { 0 };
        let serving = if directions.serves() { sizes.peer } else { 0 };
        let steps = Steps {
            progress,
            done: 0,
            total: (receiving + serving) as u64,
        };
        let mut run = Run {
            key,
            batch: self.batch,
            channel,
            steps,
        };
        match directions {
            Directions::Serve => run.serve(inputs, sizes),
            _ => run.receive(inputs, sizes),
        }
    }
}

/// What this player keeps of its own inputs until the peer has evaluated them.
struct Request {
    /// Padded to the bound.
    inputs: Zeroizing<Vec<Input>>,
    blinds: Zeroizing<Vec<Scalar>>,
    blinded: Vec<Encoded>,
    of_own_key: Zeroizing<Vec<Output>>,
}

struct Steps<'a> {
    progress: OnProgress<'a>,
    done: u64,
    total: u64,
}

impl Steps<'_> {
    fn advance(&mut self, rows: usize) -> Result<(), OprfError> {
        self.done += rows as u64;
        report(
            self.progress,
            Progress {
                step: "oprf",
                done: self.done,
                total: self.total,
            },
        )
    }
}

/// One exchange.
struct Run<'a> {
    /// Of this player, if it serves.
    key: Option<KeyPair>,
    batch: usize,
    channel: &'a mut dyn Channel,
    steps: Steps<'a>,
}

impl Run<'_> {
    fn receive(&mut self, inputs: &[Input], sizes: Sizes) -> Result<Outputs, OprfError> {
        // 1. The key is out before anything of the peer is read, so it cannot depend on its elements.
        self.send_public_key()?;
        // 2. Own inputs and fillers, blinded.
        let mut request = self.send_blinded(pad(inputs, sizes.own)?)?;
        // 3. The peer's key and elements.
        let peer_key = self.receive_public_key()?;
        // 4. Serve the peer.
        if self.key.is_some() {
            let elements = self.receive_blinded(sizes.peer)?;
            self.send_evaluated(&elements)?;
        }
        // 5. Verify, unblind, and forget the fillers.
        let mut of_own_key = Wiped::new(std::mem::take(&mut request.of_own_key));
        let mut of_peer_key = Wiped::new(std::mem::take(&mut *self.receive_evaluated(&peer_key, request)?));
        of_own_key.truncate(inputs.len());
        of_peer_key.truncate(inputs.len());
        Ok(Outputs {
            of_peer_key,
            of_own_key,
        })
    }

    /// 1., 3. and 4. only: the peer has no key.
    fn serve(&mut self, inputs: &[Input], sizes: Sizes) -> Result<Outputs, OprfError> {
        self.send_public_key()?;
        let padded = pad(inputs, sizes.own)?;
        let mut of_own_key = Zeroizing::new(Vec::with_capacity(sizes.own));
        for batch in padded.chunks(self.batch) {
            of_own_key.extend_from_slice(&work_batch(self.key.as_ref(), batch, &[])?.1);
        }
        let elements = self.receive_blinded(sizes.peer)?;
        self.send_evaluated(&elements)?;
        let mut of_own_key = Wiped::new(std::mem::take(&mut *of_own_key));
        of_own_key.truncate(inputs.len());
        Ok(Outputs {
            of_own_key,
            ..Outputs::default()
        })
    }

    fn send_public_key(&mut self) -> Result<(), OprfError> {
        match &self.key {
            Some(key) => Ok(self.channel.send(key.public())?),
            None => Ok(()),
        }
    }

    fn send_blinded(&mut self, inputs: Zeroizing<Vec<Input>>) -> Result<Request, OprfError> {
        let bound = inputs.len();
        let mut blinds = Zeroizing::new(Vec::with_capacity(bound));
        let mut blinded = Vec::with_capacity(bound);
        let mut of_own_key = Zeroizing::new(Vec::with_capacity(bound));
        for batch in inputs.chunks(self.batch) {
            let start = blinds.len();
            for _ in batch {
                blinds.push(*random_scalar()?);
            }
            let fresh = blinds.get(start..).unwrap_or_default();
            let (elements, outputs) = work_batch(self.key.as_ref(), batch, fresh)?;
            self.channel.send(elements.as_flattened())?;
            blinded.extend_from_slice(&elements);
            of_own_key.extend_from_slice(&outputs);
            self.steps.advance(batch.len())?;
        }
        Ok(Request {
            inputs,
            blinds,
            blinded,
            of_own_key,
        })
    }

    fn receive_public_key(&mut self) -> Result<Element, OprfError> {
        let frame = self.channel.receive_exactly(ELEMENT_BYTES)?;
        let [encoded] = encodings(&frame) else {
            return Err(OprfError::BadPublicKey);
        };
        // A mirror would make both halves of every pair secret depend on one key.
        if self.key.as_ref().is_some_and(|key| encoded == key.public()) {
            return Err(OprfError::ReflectedPublicKey);
        }
        Element::decode(encoded).ok_or(OprfError::BadPublicKey)
    }

    fn receive_blinded(&mut self, bound: usize) -> Result<Vec<Encoded>, OprfError> {
        let mut elements = Vec::new();
        while elements.len() < bound {
            let count = self.batch.min(bound - elements.len());
            let frame = self.channel.receive_exactly(count * ELEMENT_BYTES)?;
            elements.extend_from_slice(encodings(&frame));
        }
        Ok(elements)
    }

    fn send_evaluated(&mut self, elements: &[Encoded]) -> Result<(), OprfError> {
        let Some(key) = &self.key else { return Ok(()) };
        for batch in elements.chunks(self.batch) {
            let blinded = decode_batch(batch).ok_or(OprfError::BadBlindedElement)?;
            let evaluated: Vec<Encoded> = blinded
                .par_chunks(CHUNK)
                .flat_map_iter(|chunk| rfc9497::blind_evaluate(key, chunk))
                .collect();
            let proof = batch::prove(key, &blinded, &evaluated)?;
            let frame = [evaluated.as_flattened(), &proof].concat();
            self.channel.send(&frame)?;
            self.steps.advance(batch.len())?;
        }
        Ok(())
    }

    fn receive_evaluated(
        &mut self,
        peer_key: &Element,
        mut request: Request,
    ) -> Result<Zeroizing<Vec<Output>>, OprfError> {
        let mut outputs = Zeroizing::new(Vec::with_capacity(request.inputs.len()));
        let batches = request
            .inputs
            .chunks(self.batch)
            .zip(request.blinded.chunks(self.batch));
        for ((inputs, blinded), blinds) in batches.zip(request.blinds.chunks_mut(self.batch)) {
            let frame = self
                .channel
                .receive_exactly(inputs.len() * ELEMENT_BYTES + PROOF_BYTES)?;
            let evaluated = verify_batch(peer_key, blinded, &frame)?;
            outputs.extend_from_slice(&finalize_batch(inputs, blinds, &evaluated));
            self.steps.advance(inputs.len())?;
        }
        Ok(outputs)
    }
}

/// Fills up with random inputs, which take exactly the path of real ones: the same work, and a
/// blinded element is uniform whatever it blinds.
fn pad(inputs: &[Input], bound: usize) -> Result<Zeroizing<Vec<Input>>, OprfError> {
    let mut padded = Zeroizing::new(vec![[0; 32]; bound]);
    let (real, fillers) = padded.split_at_mut(inputs.len().min(bound));
    real.copy_from_slice(inputs);
    fill_random(fillers.as_flattened_mut())?;
    Ok(padded)
}

type Blinded = (Vec<Encoded>, Zeroizing<Vec<Output>>);

/// Blinds a batch, if there are blinds, and evaluates it under this player's key, if it has one.
fn work_batch(key: Option<&KeyPair>, inputs: &[Input], blinds: &[Scalar]) -> Result<Blinded, OprfError> {
    let chunks: Vec<Blinded> = inputs
        .par_chunks(CHUNK)
        .enumerate()
        .map(|(number, inputs)| {
            // Room for all at once: a vector that grew would leave copies behind.
            let mut points = Zeroizing::new(Vec::<RistrettoPoint>::with_capacity(inputs.len()));
            for input in inputs {
                points.push(hash_to_group(input)?);
            }
            let blinds = blinds.get(number * CHUNK..).unwrap_or_default();
            let blinded = match blinds.get(..inputs.len()) {
                Some(blinds) => rfc9497::blind(&points, blinds),
                None => Vec::new(),
            };
            let outputs = match key {
                Some(key) => truncate_all(rfc9497::evaluate(key, inputs, &points)),
                None => Zeroizing::new(Vec::new()),
            };
            Ok((blinded, outputs))
        })
        .collect::<Result<_, OprfError>>()?;
    let mut blinded = Vec::with_capacity(inputs.len());
    let mut outputs = Zeroizing::new(Vec::with_capacity(inputs.len()));
    for (elements, of_chunk) in chunks {
        blinded.extend_from_slice(&elements);
        outputs.extend_from_slice(&of_chunk);
    }
    Ok((blinded, outputs))
}

/// Reads the evaluated elements of a frame and checks them against its proof.
fn verify_batch(peer_key: &Element, blinded: &[Encoded], frame: &[u8]) -> Result<Vec<Element>, OprfError> {
    let (elements, proof) = frame
        .split_last_chunk::<PROOF_BYTES>()
        .ok_or(OprfError::BadProof)?;
    let evaluated = decode_batch(encodings(elements)).ok_or(OprfError::BadEvaluatedElement)?;
    let blinded = decode_batch(blinded).ok_or(OprfError::BadBlindedElement)?;
    if batch::verify(peer_key, &blinded, &evaluated, proof) {
        Ok(evaluated)
    } else {
        Err(OprfError::BadProof)
    }
}

fn finalize_batch(inputs: &[Input], blinds: &mut [Scalar], evaluated: &[Element]) -> Zeroizing<Vec<Output>> {
    let chunks: Vec<Zeroizing<Vec<Output>>> = inputs
        .par_chunks(CHUNK)
        .zip(blinds.par_chunks_mut(CHUNK))
        .zip(evaluated.par_chunks(CHUNK))
        .map(|((inputs, blinds), evaluated)| truncate_all(rfc9497::finalize(inputs, blinds, evaluated)))
        .collect();
    let mut outputs = Zeroizing::new(Vec::with_capacity(inputs.len()));
    chunks.iter().for_each(|chunk| outputs.extend_from_slice(chunk));
    outputs
}

fn decode_batch(encoded: &[Encoded]) -> Option<Vec<Element>> {
    encoded
        .par_iter()
        .with_min_len(CHUNK)
        .map(Element::decode)
        .collect()
}

/// Whole elements of a frame whose length was checked.
fn encodings(frame: &[u8]) -> &[Encoded] {
    frame.as_chunks::<ELEMENT_BYTES>().0
}

/// The first 16 bytes of each hash: 128 bits, as much as the group's security.
fn truncate_all(hashes: Vec<[u8; HASH_BYTES]>) -> Zeroizing<Vec<Output>> {
    let hashes = Zeroizing::new(hashes);
    let mut outputs = Zeroizing::new(Vec::with_capacity(hashes.len()));
    outputs.extend(hashes.iter().filter_map(|hash| hash.first_chunk().copied()));
    outputs
}

#[cfg(test)]
mod tests;
