//! What a worker calls: a sealed join with a peer, or a release without one.

use std::fs::{File, OpenOptions, remove_file, rename};
use std::net::TcpStream;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator};
use pyo3_arrow::PyRecordBatchReader;
use xor_channel::hello::Hello;
use xor_channel::tls::{Keys, Lanes, Meeting, Role};
use xor_channel::{Channel, ChannelError, Meter};
use xor_psi::matched::{self, Found, MatchedSpec};
use xor_psi::oprf::dh::DhOprf;
use xor_psi::oprf::vole::VoleOprf;
use xor_psi::oprf::{OnProgress, Oprf, OprfError, Side};
use xor_psi::sealed::outer::SealedStream;
use xor_psi::sealed::spec::{Backend, JoinSpec, ReleaseSpec};
use xor_psi::sealed::spilled::{MEMORY_BYTES, is_large, is_large_release};
use xor_psi::sealed::{self, Prepared, Step, hex};
use xor_psi::{BaseError, PsiError};

use crate::errors::{raise, to_python};
use crate::progress::with_progress;
use crate::table::{self, ArrowStream};

/// Runs one player's side of a sealed join over connected sockets.
#[pyfunction]
#[allow(
    clippy::too_many_arguments,
    reason = "one call is one whole step; Python names them"
)]
pub(crate) fn sealed_join<'py>(
    py: Python<'py>,
    spec: &[u8],
    side: u8,
    table: &Bound<'py, PyAny>,
    lanes: Vec<Bound<'py, PyAny>>,
    is_listener: bool,
    tls_private_key: &[u8],
    peer_public_key: &[u8],
    out_path: String,
    progress: Py<PyAny>,
    stall_timeout_s: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let spec = JoinSpec::parse(spec).map_err(|error| to_python(py, &error))?;
    let side = parse_side(py, side)?;
    let brought = Brought::of(table, &spec, side)?;
    let mut line = Line::new(
        py,
        &lanes,
        is_listener,
        [tls_private_key, peer_public_key],
        stall_timeout_s,
    )?;
    let ended = with_progress(py, progress, |progress| {
        // Whatever is wrong with the table is found before the peer hears anything.
        let table = brought.read(&spec, side, directory_of(&out_path), progress)?;
        let prepared = table.prepare(&spec, side)?;
        let mut channel = line.meet(sealed::hello(spec.binding.plan_hash, spec.binding.node, side))?;
        let exchanged = prepared.exchange(back_end(spec.backend).as_mut(), &mut channel, progress)?;
        let meter = channel.meter();
        // Before the lists are built: how long that takes is not for the peer.
        finish(channel)?;
        let join = write_out(&out_path, |file| exchanged.seal(file, progress))?;
        Ok((join, meter))
    });
    let (join, meter) = line.connections.raised.map_or(ended, Err)?;
    report(py, &join.stream, meter, &join.steps, &join.own_steps)
}

/// Runs one player's side of a matched join over a connected socket.
#[pyfunction]
#[allow(
    clippy::too_many_arguments,
    reason = "one call is one whole step; Python names them"
)]
pub(crate) fn matched_join<'py>(
    py: Python<'py>,
    spec: &[u8],
    side: u8,
    table: PyRecordBatchReader,
    lanes: Vec<Bound<'py, PyAny>>,
    is_listener: bool,
    tls_private_key: &[u8],
    peer_public_key: &[u8],
    progress: Py<PyAny>,
    stall_timeout_s: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let spec = MatchedSpec::parse(spec).map_err(|error| to_python(py, &error))?;
    let side = parse_side(py, side)?;
    let reader = table.into_reader()?;
    let mut line = Line::new(
        py,
        &lanes,
        is_listener,
        [tls_private_key, peer_public_key],
        stall_timeout_s,
    )?;
    let ended = with_progress(py, progress, |progress| {
        let table = table::split(&table::read_all(reader)?, spec.key_types(side).len())?;
        // Whatever is wrong with the table is found before the peer hears anything.
        let prepared = matched::Prepared::new(&spec, side, &table)?;
        let mut channel = line.meet(sealed::hello(spec.plan_hash, spec.node, side))?;
        let exchanged = prepared.exchange(back_end(spec.backend).as_mut(), &mut channel, progress)?;
        let meter = channel.meter();
        // Before cells are opened: how long that takes is not for the peer.
        finish(channel)?;
        Ok((exchanged.open(progress)?, meter))
    });
    let (matched, meter) = line.connections.raised.map_or(ended, Err)?;
    let report = meter_report(py, meter)?;
    step_reports(&report, &matched.steps, &matched.own_steps)?;
    if let Some(found) = matched.found {
        add_found(&report, found)?;
    }
    Ok(report)
}

/// What the receiver of a matched join learns, as a caller in Python gets it.
pub(crate) fn add_found(report: &Bound<'_, PyDict>, found: Found) -> PyResult<()> {
    let field = Field::new("number", DataType::Int64, true);
    let numbers = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(found.numbers)]);
    let numbers = numbers.map_err(|_| {
        let error = BaseError::Column("numbers of keys do not fit");
        to_python(report.py(), &error.into())
    })?;
    report.set_item("numbers", ArrowStream::of(numbers))?;
    report.set_item("rows", ArrowStream::new(found.rows))?;
    report.set_item("refused_keys", found.refused_keys)
}

/// Reads one player's table for a sealed join, to disk.
#[pyfunction]
pub(crate) fn spill_table(
    py: Python<'_>,
    spec: &[u8],
    side: u8,
    table: PyRecordBatchReader,
    directory: String,
    progress: Py<PyAny>,
) -> PyResult<SpilledTable> {
    let spec = JoinSpec::parse(spec).map_err(|error| to_python(py, &error))?;
    let side = parse_side(py, side)?;
    let reader = table.into_reader()?;
    with_progress(py, progress, move |progress| {
        let batches = table::tables(reader, spec.key_types(side).len());
        let directory = Path::new(&directory);
        sealed::SpilledTable::new(&spec, side, batches, directory, MEMORY_BYTES, progress).map(SpilledTable)
    })
}

/// One player's table on disk, under a key of this process.
#[pyclass(frozen, module = "xor._core")]
pub(crate) struct SpilledTable(sealed::SpilledTable);

/// Connections to a peer, and the keys of both their ends.
struct Line {
    connections: Connections,
    role: Role,
    keys: Keys,
    timeout: Duration,
}

impl Line {
    fn new(
        py: Python<'_>,
        lanes: &[Bound<'_, PyAny>],
        is_listener: bool,
        [own_seed, expected_peer]: [&[u8]; 2],
        stall_timeout_s: f64,
    ) -> PyResult<Self> {
        Ok(Self {
            connections: Connections::of(py, lanes)?,
            role: if is_listener { Role::Listener } else { Role::Dialer },
            keys: Keys {
                own_seed: key_bytes(py, own_seed)?,
                expected_peer: key_bytes(py, expected_peer)?,
            },
            timeout: Duration::try_from_secs_f64(stall_timeout_s)
                .map_err(|_| raise(py, "usage.timeout", "the stall timeout is not a time", None))?,
        })
    }

    fn meet(&mut self, hello: Hello) -> Result<Lanes, PsiError> {
        let meeting = Meeting {
            role: self.role,
            keys: &self.keys,
            hello,
            stall_timeout: self.timeout,
        };
        let data_lanes = self.connections.data_lanes;
        Lanes::meet(&meeting, data_lanes, &mut |lane| self.connections.next(lane))
    }
}

/// What a caller brings to a join.
enum Brought {
    Spilled(Py<SpilledTable>),
    Stream(table::Reader),
}

/// A table after it was read.
enum Taken {
    Held(sealed::Table),
    Given(Py<SpilledTable>),
    Spilled(Box<sealed::SpilledTable>),
}

impl Brought {
    fn of(table: &Bound<'_, PyAny>, spec: &JoinSpec, side: Side) -> PyResult<Self> {
        let Ok(spilled) = table.cast::<SpilledTable>() else {
            return Ok(Self::Stream(
                table.extract::<PyRecordBatchReader>()?.into_reader()?,
            ));
        };
        let read_for = &spilled.get().0;
        if read_for.spec() == spec && read_for.side() == side {
            return Ok(Self::Spilled(spilled.clone().unbind()));
        }
        let message = "the table was read for another step";
        Err(raise(table.py(), "usage.table", message, None))
    }

    /// Reads a table; one that may be large goes to disk.
    fn read(
        self,
        spec: &JoinSpec,
        side: Side,
        directory: &Path,
        progress: OnProgress<'_>,
    ) -> Result<Taken, PsiError> {
        let reader = match self {
            Self::Spilled(table) => return Ok(Taken::Given(table)),
            Self::Stream(reader) => reader,
        };
        let key_parts = spec.key_types(side).len();
        if !is_large(spec, side, MEMORY_BYTES) {
            let table = table::split(&table::read_all(reader)?, key_parts)?;
            return Ok(Taken::Held(table));
        }
        let batches = table::tables(reader, key_parts);
        let table = sealed::SpilledTable::new(spec, side, batches, directory, MEMORY_BYTES, progress)?;
        Ok(Taken::Spilled(Box::new(table)))
    }
}

impl Taken {
    fn prepare<'a>(&'a self, spec: &'a JoinSpec, side: Side) -> Result<Prepared<'a>, PsiError> {
        match self {
            Self::Held(table) => Prepared::new(spec, side, table),
            Self::Given(table) => Ok(Prepared::spilled(&table.get().0)),
            Self::Spilled(table) => Ok(Prepared::spilled(table)),
        }
    }
}

/// Where a step's own files may lie.
fn directory_of(out_path: &str) -> &Path {
    match Path::new(out_path).parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Seals a plaintext table to the recipients, without a peer.
#[pyfunction]
pub(crate) fn release_table<'py>(
    py: Python<'py>,
    spec: &[u8],
    table: PyRecordBatchReader,
    out_path: String,
    progress: Py<PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let spec = ReleaseSpec::parse(spec).map_err(|error| to_python(py, &error))?;
    let reader = table.into_reader()?;
    let started = Instant::now();
    let stream = with_progress(py, progress, move |progress| {
        if is_large_release(&spec, MEMORY_BYTES) {
            let batches = table::slices(reader)
                .map(|batch| batch.map(|batch| (batch.columns().to_vec(), batch.num_rows())));
            let on_disk = (directory_of(&out_path), MEMORY_BYTES);
            return write_out(&out_path, |file| {
                sealed::release_batches(&spec, batches, on_disk, file, progress)
            });
        }
        let table = table::read_all(reader)?;
        write_out(&out_path, |file| {
            sealed::release_table(&spec, table.columns(), table.num_rows(), file, progress)
        })
    })?;
    let seal = Step {
        name: "seal",
        seconds: started.elapsed().as_secs_f64(),
        sent_bytes: 0,
    };
    report(py, &stream, Meter::default(), &[], &[seal])
}

pub(crate) fn back_end(backend: Backend) -> Box<dyn Oprf + Send> {
    match backend {
        Backend::Dh => Box::new(DhOprf::new()),
        Backend::Vole => Box::new(VoleOprf::new()),
    }
}

pub(crate) fn parse_side(py: Python<'_>, side: u8) -> PyResult<Side> {
    Side::from_byte(side).ok_or_else(|| raise(py, "usage.side", "a side is 0 or 1", None))
}

// The peer has all frames or is gone. In the second case its own step fails; this one is complete.
fn finish(channel: Lanes) -> Result<(), PsiError> {
    match channel.close() {
        Err(error) if error.is_retryable() => Ok(()),
        other => Ok(other?),
    }
}

/// Writes a file that only this user reads and that appears when it is complete.
fn write_out<T>(path: &str, work: impl FnOnce(&mut File) -> Result<T, PsiError>) -> Result<T, PsiError> {
    let partial = format!("{path}.partial");
    let mut options = OpenOptions::new();
    // `create_new`: what stands there already, or a link to elsewhere, is not ours to overwrite.
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .map_err(PsiError::Write)?;
    let result = work(&mut file).and_then(|done| {
        rename(&partial, path).map_err(PsiError::Write)?;
        Ok(done)
    });
    if result.is_err() {
        // The error that matters is the first one.
        let _ = remove_file(&partial);
    }
    result
}

fn key_bytes(py: Python<'_>, bytes: &[u8]) -> PyResult<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|_| raise(py, "usage.job-key", "a job key has 32 bytes", None))
}

/// Where the sockets of each lane come from: the control lane's first.
struct Connections {
    lanes: Vec<Py<PyIterator>>,
    data_lanes: u8,
    raised: Option<PyErr>,
}

impl Connections {
    fn of(py: Python<'_>, lanes: &[Bound<'_, PyAny>]) -> PyResult<Self> {
        let data_lanes = lanes
            .len()
            .checked_sub(1)
            .and_then(|count| u8::try_from(count).ok());
        let iterators = lanes.iter().map(|lane| Ok(lane.try_iter()?.unbind()));
        Ok(Self {
            lanes: iterators.collect::<PyResult<_>>()?,
            data_lanes: data_lanes.ok_or_else(|| {
                raise(
                    py,
                    "usage.lanes",
                    "a channel has a control lane and some others",
                    None,
                )
            })?,
            raised: None,
        })
    }

    /// The next connection of a lane. What the caller's code raises is kept for it.
    fn next(&mut self, lane: u8) -> Result<Option<TcpStream>, PsiError> {
        let taken = Python::attach(|py| {
            let lane = self.lanes.get(usize::from(lane));
            let Some(descriptor) = lane.and_then(|lane| lane.bind(py).clone().next()) else {
                return Ok(None);
            };
            duplicate(py, descriptor?.extract()?).map(Some)
        });
        taken.map_err(|error| {
            self.raised = Some(error);
            OprfError::Cancelled.into()
        })
    }
}

/// The caller keeps its descriptor and closes it; this is a second one for the same socket.
fn duplicate(py: Python<'_>, socket_fd: RawFd) -> PyResult<TcpStream> {
    let unusable = || {
        to_python(
            py,
            &ChannelError::Io(std::io::Error::from(std::io::ErrorKind::InvalidInput)).into(),
        )
    };
    if socket_fd < 0 {
        return Err(unusable());
    }
    // SAFETY: not -1, and borrowed only for the duplication; should the caller have closed it, the
    // duplication fails.
    #[allow(unsafe_code, reason = "a descriptor from Python is a bare number")]
    let borrowed = unsafe { BorrowedFd::borrow_raw(socket_fd) };
    let owned: OwnedFd = borrowed.try_clone_to_owned().map_err(|_| unusable())?;
    Ok(TcpStream::from(owned))
}

fn report<'py>(
    py: Python<'py>,
    stream: &SealedStream,
    meter: Meter,
    steps: &[Step],
    own_steps: &[Step],
) -> PyResult<Bound<'py, PyDict>> {
    let report = meter_report(py, meter)?;
    report.set_item("attempt", hex::encode(&stream.attempt))?;
    report.set_item("header", PyBytes::new(py, &stream.header))?;
    report.set_item("sha256", hex::encode(&stream.sha256))?;
    report.set_item("bytes", stream.bytes)?;
    step_reports(&report, steps, own_steps)?;
    Ok(report)
}

fn meter_report(py: Python<'_>, meter: Meter) -> PyResult<Bound<'_, PyDict>> {
    let report = PyDict::new(py);
    report.set_item("sent_bytes", meter.sent_bytes)?;
    report.set_item("received_bytes", meter.received_bytes)?;
    report.set_item("rounds", meter.rounds)?;
    Ok(report)
}

fn step_reports(report: &Bound<'_, PyDict>, steps: &[Step], own_steps: &[Step]) -> PyResult<()> {
    for (name, steps) in [("steps", steps), ("own_steps", own_steps)] {
        let steps = steps.iter().map(|step| step_report(report.py(), step));
        report.set_item(name, steps.collect::<PyResult<Vec<_>>>()?)?;
    }
    Ok(())
}

fn step_report<'py>(py: Python<'py>, step: &Step) -> PyResult<Bound<'py, PyDict>> {
    let report = PyDict::new(py);
    report.set_item("step", step.name)?;
    report.set_item("seconds", step.seconds)?;
    report.set_item("sent_bytes", step.sent_bytes)?;
    Ok(report)
}
