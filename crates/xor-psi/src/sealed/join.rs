//! A player's whole step: from its table to a sealed stream.

use std::io::Write;
use std::time::Instant;

use arrow_array::ArrayRef;
use xor_base::keys::Keys;
use xor_base::rows::Rows;
use xor_channel::hello::{Hello, exchange_hello};
use xor_channel::{Channel, Meter};

use super::group::Groups;
use super::header::Core;
use super::lists::{self, Contents, List};
use super::outer::SealedStream;
use super::sealer::Sealer;
use super::secrets::{self, Attempt, CellStream, HalfSecrets};
use super::spec::JoinSpec;
use super::spill::Spilled;
use super::spilled::{self, Parts, Shelved, SpilledTable};
use crate::PsiError;
use crate::oprf::{OnProgress, Oprf, Outputs, Progress, Side, Sizes, report};

/// A player's table: the parts of the key, then the columns that the result needs.
#[derive(Clone, Debug)]
pub struct Table {
    pub keys: Vec<ArrayRef>,
    pub payload: Vec<ArrayRef>,
    pub rows: usize,
}

/// What a player reports. Nothing here depends on what matched.
#[derive(Clone, Debug)]
pub struct SealedJoin {
    pub stream: SealedStream,
    /// What the peer sees as well: these take a time that depends on the bounds alone.
    pub steps: Vec<Step>,
    /// All steps. How long the others take depends on how many keys and NULLs this player's table has,
    /// so nobody but its own machine may learn it.
    pub own_steps: Vec<Step>,
}

/// One timed part of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub name: &'static str,
    /// Units: s.
    pub seconds: f64,
    /// Units: bytes to the peer, frame headers included.
    pub sent_bytes: u64,
}

/// A table that fits its declaration, grouped by key. Making one sends nothing.
pub struct Prepared<'a> {
    spec: &'a JoinSpec,
    side: Side,
    source: Source<'a>,
    seconds: f64,
}

/// Where the rows are.
enum Source<'a> {
    Held { rows: Rows<'a>, groups: Groups },
    Spilled(&'a SpilledTable),
}

impl<'a> Prepared<'a> {
    /// Checks the table against the parameters and derives its distinct keys.
    ///
    /// # Errors
    /// `TooManyRows` above the bound; `Table` for columns that are not as declared.
    pub fn new(spec: &'a JoinSpec, side: Side, table: &'a Table) -> Result<Self, PsiError> {
        let started = Instant::now();
        let bound = spec.bound(side);
        if table.rows > bound {
            return Err(PsiError::TooManyRows { bound });
        }
        let rows = spec.payload(side).read(&table.payload, table.rows)?;
        let keys = Keys::new(spec.key_types(side), &table.keys, table.rows)?;
        let groups = Groups::new(&keys.inputs())?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Self {
            spec,
            side,
            source: Source::Held { rows, groups },
            seconds,
        })
    }

    /// A table that is on disk already.
    #[must_use]
    pub fn spilled(table: &'a SpilledTable) -> Self {
        Self {
            spec: table.spec(),
            side: table.side(),
            source: Source::Spilled(table),
            seconds: table.seconds,
        }
    }
}

impl<'a> Prepared<'a> {
    /// All that a player says to its peer: the hello and one OPRF exchange. The channel may then be
    /// closed; what follows takes a time that depends on this player's own table.
    ///
    /// # Errors
    /// A channel error; a failed check of the peer's messages; `Cancelled`; with a table on disk also `Read`
    /// and `Write`.
    ///
    /// # Discloses
    /// To the peer: nothing beyond the public parameters.
    ///
    /// # Security
    /// Malicious peer: it can change its own input only. Nonces and OPRF key are drawn anew in every call,
    /// so a second call is a new attempt.
    ///
    /// # Source
    /// `docs/protocols/sealed-join.md`; the OPRF names its own.
    pub fn exchange(
        &self,
        oprf: &mut dyn Oprf,
        channel: &mut dyn Channel,
        progress: OnProgress<'_>,
    ) -> Result<Exchanged<'_>, PsiError> {
        let mut clock = Clock::new(channel.meter());
        let binding = &self.spec.binding;
        let attempt = agree_on_attempt(binding.plan_hash, binding.node, self.side, channel)?;
        let hello = clock.lap("hello", channel.meter());
        let sizes = Sizes {
            own: self.spec.bound(self.side),
            peer: self.spec.bound(self.side.other()),
        };
        let found = match &self.source {
            Source::Held { rows, groups } => {
                let outputs = oprf.exchange(self.side, &groups.inputs, sizes, channel, progress)?;
                Found::Held(rows, groups, outputs)
            }
            Source::Spilled(table) => {
                let mut shelf = Shelved::new(table, attempt)?;
                oprf.exchange_shelved(self.side, &mut shelf, sizes, channel, progress)?;
                Found::Spilled(table, shelf.finish()?)
            }
        };
        Ok(Exchanged {
            prepared: self,
            attempt,
            found,
            steps: vec![hello, clock.lap("oprf", channel.meter())],
            clock,
        })
    }
}

/// A player that has all it needs of its peer. Secrets are wiped when it is dropped.
pub struct Exchanged<'a> {
    prepared: &'a Prepared<'a>,
    attempt: Attempt,
    found: Found<'a>,
    steps: Vec<Step>,
    clock: Clock,
}

/// The rows, and what the exchange gave for their keys.
enum Found<'a> {
    Held(&'a Rows<'a>, &'a Groups, Outputs),
    Spilled(&'a SpilledTable, Spilled),
}

enum Lists {
    Held(Vec<List>),
    Spilled(Vec<Parts>),
}

impl Exchanged<'_> {
    /// Builds this player's lists and writes them, sealed, to `sink`.
    ///
    /// # Errors
    /// `Write`; `OutOfMemory`; `Cancelled`; with a table on disk also `Read`.
    ///
    /// # Discloses
    /// To the recipients: what `docs/protocols/sealed-join.md` lists for the kind.
    ///
    /// # Security
    /// Stream key and orders are drawn here. Secrets are wiped on return.
    ///
    /// # Cost
    /// The bytes of `JoinSpec::shapes` to each recipient's store.
    pub fn seal(
        self,
        sink: &mut (dyn Write + Send),
        progress: OnProgress<'_>,
    ) -> Result<SealedJoin, PsiError> {
        let Self {
            prepared,
            attempt,
            found,
            steps,
            mut clock,
        } = self;
        let (spec, side) = (prepared.spec, prepared.side);
        clock.restart();
        let lists = found.lists(prepared, attempt, progress)?;
        notify(progress, "cells", spec.bound(side))?;
        let cells = clock.lap("cells", clock.meter);
        let core = Core::of_join(spec, side, &attempt);
        let mut sealer = Sealer::new(sink, core, &spec.binding.recipients)?;
        lists.append(&mut sealer, spec.bound(side), progress)?;
        let stream = sealer.finish()?;
        notify(progress, "seal", spec.bound(side))?;
        let seal = clock.lap("seal", clock.meter);
        let keys = Step {
            name: "keys",
            seconds: prepared.seconds,
            sent_bytes: 0,
        };
        let own_steps = [&[keys], steps.as_slice(), &[cells, seal]].concat();
        Ok(SealedJoin {
            stream,
            steps,
            own_steps,
        })
    }
}

impl Found<'_> {
    fn lists(
        self,
        prepared: &Prepared<'_>,
        attempt: Attempt,
        progress: OnProgress<'_>,
    ) -> Result<Lists, PsiError> {
        match self {
            Self::Held(rows, groups, outputs) => {
                let halves = HalfSecrets::derive(prepared.side, outputs, &attempt)?;
                build_lists(prepared, (rows, groups), &halves, attempt).map(Lists::Held)
            }
            Self::Spilled(table, secrets) => {
                spilled::build(table, &secrets, attempt, progress).map(Lists::Spilled)
            }
        }
    }
}

impl Lists {
    fn append(self, sealer: &mut Sealer<'_>, bound: usize, progress: OnProgress<'_>) -> Result<(), PsiError> {
        match self {
            Self::Held(lists) => lists.into_iter().try_for_each(|list| sealer.append(&list)),
            Self::Spilled(lists) => spilled::append(&lists, sealer, bound, progress),
        }
    }
}

/// How a player begins a channel for a step.
#[must_use]
pub fn hello(plan_hash: [u8; 32], node: u32, side: Side) -> Hello {
    Hello {
        plan_hash,
        node,
        side: side.byte(),
        lane: 0,
    }
}

/// The hello, and the attempt that both nonces make.
pub(crate) fn agree_on_attempt(
    plan_hash: [u8; 32],
    node: u32,
    side: Side,
    channel: &mut dyn Channel,
) -> Result<Attempt, PsiError> {
    let nonces = exchange_hello(channel, &hello(plan_hash, node, side))?;
    let in_order = match side {
        Side::Left => [&nonces.own, &nonces.peer],
        Side::Right => [&nonces.peer, &nonces.own],
    };
    Ok(secrets::attempt(&plan_hash, node, in_order))
}

fn build_lists(
    prepared: &Prepared<'_>,
    (rows, groups): (&Rows<'_>, &Groups),
    halves: &HalfSecrets,
    attempt: Attempt,
) -> Result<Vec<List>, PsiError> {
    let Prepared { spec, side, .. } = prepared;
    let shapes = spec.shapes(*side);
    let mut built = Vec::with_capacity(2);
    if let Some(shape) = shapes.openers {
        built.push(lists::openers(halves.of(spec.carrier()), shape)?);
    }
    if let Some(shape) = shapes.cells {
        let opener_keys = (*side == spec.opener)
            .then(|| halves.opener_keys(spec.opener))
            .transpose()?;
        let keys = match &opener_keys {
            Some(keys) => keys,
            None => halves.of(spec.carrier()),
        };
        let contents = Contents {
            rows,
            groups,
            keys,
            secrets: shapes.cell.holds_secret.then(|| halves.of(spec.opener)),
            stream: &CellStream::new(attempt, *side),
            shape: shapes.cell,
        };
        built.push(if shapes.cell.is_readable {
            lists::readable(&contents, shape)?
        } else {
            lists::closed(&contents, shape)?
        });
    }
    Ok(built)
}

// Only the padded bound: how many keys or groups there are is nobody else's business.
pub(crate) fn notify(progress: OnProgress<'_>, step: &'static str, bound: usize) -> Result<(), PsiError> {
    let total = bound as u64;
    Ok(report(
        progress,
        Progress {
            step,
            done: total,
            total,
        },
    )?)
}

pub(crate) struct Clock {
    started: Instant,
    pub meter: Meter,
}

impl Clock {
    pub fn new(meter: Meter) -> Self {
        let started = Instant::now();
        Self { started, meter }
    }

    /// Leaves out what the caller did since the last lap.
    pub fn restart(&mut self) {
        self.started = Instant::now();
    }

    pub fn lap(&mut self, name: &'static str, meter: Meter) -> Step {
        let now = Instant::now();
        let step = Step {
            name,
            seconds: (now - self.started).as_secs_f64(),
            sent_bytes: meter.sent_bytes - self.meter.sent_bytes,
        };
        (self.started, self.meter) = (now, meter);
        step
    }
}
