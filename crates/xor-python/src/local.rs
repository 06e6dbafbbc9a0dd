//! Both players in one process: what tests and simulations run.

use std::io::Cursor;
use std::ops::ControlFlow;
use std::thread;

use arrow_array::RecordBatch;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3_arrow::PyRecordBatchReader;
use xor_channel::{Channel, ChannelError, Meter, memory};
use xor_psi::PsiError;
use xor_psi::matched::{self, Found, MatchedSpec};
use xor_psi::oprf::ideal::IdealOprf;
use xor_psi::oprf::{Oprf, Side};
use xor_psi::sealed::spec::{Backend, JoinSpec, Recipient};
use xor_psi::sealed::spilled::{MEMORY_BYTES, SpilledTable, is_large};
use xor_psi::sealed::{Joined, Prepared, SealedJoin, Stream, Table, ideal, outer, receive_join};

use crate::errors::{raise, to_python};
use crate::player::{add_found, back_end};
use crate::table::{self, ArrowStream};

/// Runs both players in threads and opens the result at once, for a recipient that exists only here.
#[pyfunction]
#[pyo3(signature = (spec, tables, oprf, memory_bytes = MEMORY_BYTES))]
pub(crate) fn run_locally<'py>(
    py: Python<'py>,
    spec: &[u8],
    tables: (PyRecordBatchReader, PyRecordBatchReader),
    oprf: &str,
    memory_bytes: usize,
) -> PyResult<(ArrowStream, Bound<'py, PyDict>)> {
    let mut spec = JoinSpec::parse(spec).map_err(|error| to_python(py, &error))?;
    // The twin has no OPRF: a trusted party computes the whole join.
    let ends = (oprf != "twin").then(|| ends(py, oprf)).transpose()?;
    let left = table::read(tables.0)?.map_err(|error| to_python(py, &error))?;
    let right = table::read(tables.1)?.map_err(|error| to_python(py, &error))?;
    let run = py.detach(|| run(&mut spec, [&left, &right], ends, memory_bytes));
    let (joined, sent) = run.map_err(|error| to_python(py, &error))?;
    let transcript = transcript(py, sent.iter().map(|sent| (&sent.frames, sent.meter)))?;
    transcript.set_item(
        "stream_bytes",
        sent.iter().map(|sent| sent.bytes.len()).collect::<Vec<_>>(),
    )?;
    Ok((ArrowStream::new(joined), transcript))
}

/// Runs both players of a matched join in threads, for tests and simulations.
#[pyfunction]
pub(crate) fn run_matched_locally<'py>(
    py: Python<'py>,
    spec: &[u8],
    tables: (PyRecordBatchReader, PyRecordBatchReader),
    oprf: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let spec = MatchedSpec::parse(spec).map_err(|error| to_python(py, &error))?;
    let ends = ends(py, oprf)?;
    let left = table::read(tables.0)?.map_err(|error| to_python(py, &error))?;
    let right = table::read(tables.1)?.map_err(|error| to_python(py, &error))?;
    let run = py.detach(|| run_matched(&spec, [&left, &right], ends));
    let players = run.map_err(|error| to_python(py, &error))?;
    let report = transcript(py, players.iter().map(|(_, frames, meter)| (frames, *meter)))?;
    for found in players.into_iter().filter_map(|(found, ..)| found) {
        add_found(&report, found)?;
    }
    Ok(report)
}

type MatchedEnd = (Option<Found>, Vec<usize>, Meter);

fn run_matched(
    spec: &MatchedSpec,
    [left, right]: [&RecordBatch; 2],
    [left_oprf, right_oprf]: Ends,
) -> Result<[MatchedEnd; 2], PsiError> {
    let split = |table, side| table::split(table, spec.key_types(side).len());
    let (left, right) = (split(left, Side::Left)?, split(right, Side::Right)?);
    let (left_end, right_end) = memory::pair();
    let player = |side, table: &Table, mut oprf: Box<dyn Oprf + Send>, channel| {
        let mut channel = Recorder {
            channel,
            frames: Vec::new(),
        };
        let mut progress = |_| ControlFlow::Continue(());
        let prepared = matched::Prepared::new(spec, side, table)?;
        let exchanged = prepared.exchange(oprf.as_mut(), &mut channel, &mut progress)?;
        let found = exchanged.open(&mut progress)?.found;
        let meter = channel.meter();
        Ok((found, channel.frames, meter))
    };
    let (left, right) = thread::scope(|scope| {
        let other = scope.spawn(|| player(Side::Left, &left, left_oprf, left_end));
        let right = player(Side::Right, &right, right_oprf, right_end);
        (other.join(), right)
    });
    first_cause(
        left.unwrap_or(Err(PsiError::Channel(ChannelError::Closed))),
        right,
    )
}

/// Frames, bytes and rounds of both players.
fn transcript<'py, 's>(
    py: Python<'py>,
    sent: impl Iterator<Item = (&'s Vec<usize>, Meter)>,
) -> PyResult<Bound<'py, PyDict>> {
    let (frames, meters): (Vec<_>, Vec<_>) = sent.unzip();
    let transcript = PyDict::new(py);
    transcript.set_item("frames", frames)?;
    let bytes: Vec<u64> = meters.iter().map(|meter| meter.sent_bytes).collect();
    transcript.set_item("sent_bytes", bytes)?;
    let rounds: Vec<u64> = meters.iter().map(|meter| meter.rounds).collect();
    transcript.set_item("rounds", rounds)?;
    Ok(transcript)
}

/// The OPRFs of both players.
type Ends = [Box<dyn Oprf + Send>; 2];

/// The ideal one, or a real one whatever a step's parameters name.
fn ends(py: Python<'_>, name: &str) -> PyResult<Ends> {
    let backend = match name {
        "ideal" => {
            let pair = IdealOprf::pair().map_err(|error| to_python(py, &error.into()))?;
            return Ok([Box::new(pair.0), Box::new(pair.1)]);
        }
        "dh" => Backend::Dh,
        "vole" => Backend::Vole,
        _ => {
            let message = "the OPRF is \"dh\", \"vole\" or \"ideal\"; of a sealed join also \"twin\"";
            return Err(raise(py, "usage.oprf", message, None));
        }
    };
    Ok([back_end(backend), back_end(backend)])
}

struct Sent {
    join: SealedJoin,
    bytes: Vec<u8>,
    frames: Vec<usize>,
    meter: Meter,
}

fn run(
    spec: &mut JoinSpec,
    [left, right]: [&RecordBatch; 2],
    ends: Option<Ends>,
    memory: usize,
) -> Result<(Joined, Vec<Sent>), PsiError> {
    let left = table::split(left, spec.key_types(Side::Left).len())?;
    let right = table::split(right, spec.key_types(Side::Right).len())?;
    let Some([left_oprf, right_oprf]) = ends else {
        return Ok((ideal::join(spec, [&left, &right])?, Vec::new()));
    };
    let seed = xor_base::random::array()?;
    let seal_key = outer::public_key(&seed)?;
    spec.binding.recipients = vec![Recipient {
        name: "local".to_owned(),
        seal_key,
    }];
    let (left_end, right_end) = memory::pair();
    let spec = &*spec;
    let (left, right) = thread::scope(|scope| {
        let other = scope.spawn(|| player(spec, Side::Left, (&left, memory), left_oprf, left_end));
        let right = player(spec, Side::Right, (&right, memory), right_oprf, right_end);
        (other.join(), right)
    });
    // A panic of the other thread shows as a closed channel here, if not as an error of its own.
    let left = left.unwrap_or(Err(PsiError::Channel(ChannelError::Closed)));
    let sent = first_cause(left, right)?;
    let joined = receive(spec, &sent, &seed)?;
    Ok((joined, sent.into()))
}

// When one player stops, the other one only sees its channel close.
fn first_cause<T>(left: Result<T, PsiError>, right: Result<T, PsiError>) -> Result<[T; 2], PsiError> {
    match (left, right) {
        (Ok(left), Ok(right)) => Ok([left, right]),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        (Err(left), Err(right)) if left.code().starts_with("peer.") => Err(right),
        (Err(left), Err(_)) => Err(left),
    }
}

fn player(
    spec: &JoinSpec,
    side: Side,
    (table, memory): (&Table, usize),
    mut oprf: Box<dyn Oprf + Send>,
    channel: impl Channel,
) -> Result<Sent, PsiError> {
    let mut channel = Recorder {
        channel,
        frames: Vec::new(),
    };
    let mut bytes = Vec::new();
    let mut progress = |_| ControlFlow::Continue(());
    let spilled;
    let prepared = if is_large(spec, side, memory) {
        let batches = std::iter::once(Ok(table.clone()));
        let directory = std::env::temp_dir();
        spilled = SpilledTable::new(spec, side, batches, &directory, memory, &mut progress)?;
        Prepared::spilled(&spilled)
    } else {
        Prepared::new(spec, side, table)?
    };
    let exchanged = prepared.exchange(oprf.as_mut(), &mut channel, &mut progress)?;
    let join = exchanged.seal(&mut bytes, &mut progress)?;
    let meter = channel.meter();
    Ok(Sent {
        join,
        bytes,
        frames: channel.frames,
        meter,
    })
}

fn receive(spec: &JoinSpec, [left, right]: &[Sent; 2], seed: &[u8; 32]) -> Result<Joined, PsiError> {
    let (mut left_bytes, mut right_bytes) = (Cursor::new(&left.bytes), Cursor::new(&right.bytes));
    let left = Stream {
        header: &left.join.stream.header,
        sha256: left.join.stream.sha256,
        source: &mut left_bytes,
    };
    let right = Stream {
        header: &right.join.stream.header,
        sha256: right.join.stream.sha256,
        source: &mut right_bytes,
    };
    receive_join(spec, [left, right], seed, &mut |_| ControlFlow::Continue(()))
}

/// Notes the length of every frame that is sent.
struct Recorder<C> {
    channel: C,
    frames: Vec<usize>,
}

impl<C: Channel> Channel for Recorder<C> {
    fn send(&mut self, frame: &[u8]) -> Result<(), ChannelError> {
        self.channel.send(frame)?;
        self.frames.push(frame.len());
        Ok(())
    }

    fn receive(&mut self, limit: usize) -> Result<Vec<u8>, ChannelError> {
        self.channel.receive(limit)
    }

    fn meter(&self) -> Meter {
        self.channel.meter()
    }
}
