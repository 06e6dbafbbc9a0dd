"""The border to Rust: whole steps of a plan.

Every call releases the interpreter's lock. `progress` is called as `progress(step, done, total)` with
padded bounds only; whatever it raises, Ctrl-C included, cancels the step and is raised to the caller.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NotRequired, Protocol, TypeAlias, TypedDict, final, type_check_only

__all__ = [
    "PROFILE",
    "ArrowStream",
    "SpilledTable",
    "job_key",
    "keep_freed_memory",
    "matched_join",
    "open_release",
    "open_sealed",
    "release_table",
    "restrict_filesystem",
    "run_locally",
    "run_matched_locally",
    "seal_public_key",
    "sealed_join",
    "spill_table",
]

PROFILE: Final[Literal["dev", "release"]]
"""How this module was built: only `release` is worth measuring."""

@type_check_only
class ArrowStreamExportable(Protocol):
    """Any table that speaks the Arrow PyCapsule interface: pyarrow, pandas, polars, DuckDB."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@type_check_only
class StepReport(TypedDict):
    """One timed part of a step."""

    step: str
    seconds: float
    sent_bytes: int

@type_check_only
class SealReport(TypedDict):
    """What a worker reports about a stream: nothing in it depends on what matched.

    `header` and `sha256` (hex) belong into the manifest that the machine signs. `sent_bytes`,
    `received_bytes` and `rounds` count the channel to the peer, frame headers included, before TLS.
    `steps` take a time that depends on the bounds alone, so everybody may read it. `own_steps` are all of
    them, also those whose time tells how many keys and NULLs the player's own table has: for the log of
    its machine and nobody else.
    """

    attempt: str
    header: bytes
    sha256: str
    bytes: int
    sent_bytes: int
    received_bytes: int
    rounds: int
    steps: list[StepReport]
    own_steps: list[StepReport]

@type_check_only
class MatchReport(TypedDict):
    """What a worker reports about a matched join; counts and steps as in `SealReport`.

    At the receiver also what it learned. `numbers` is one column (int64), aligned with its own rows: the
    number of the row's key, NULL where the key is NULL. `rows` are those of the sender whose keys it has:
    first the number of the key (int64, named "number"), then the sender's payload columns in the order of the
    spec.
    `refused_keys` counts the keys of which the sender's rows were malformed or too many, and which therefore
    have none: for the owner of the receiver's machine alone, since it tells which keys are there.
    """

    sent_bytes: int
    received_bytes: int
    rounds: int
    steps: list[StepReport]
    own_steps: list[StepReport]
    numbers: NotRequired[ArrowStream]
    rows: NotRequired[ArrowStream]
    refused_keys: NotRequired[int]

@type_check_only
class MatchTranscript(TypedDict):
    """Sizes of both players, the left side's first, and what the receiver learns, as in `MatchReport`."""

    frames: list[list[int]]
    sent_bytes: list[int]
    rounds: list[int]
    numbers: ArrowStream
    rows: ArrowStream
    refused_keys: int

@type_check_only
class Transcript(TypedDict):
    """Sizes of both players, the left side's first; empty lists for the twin of the whole join."""

    frames: list[list[int]]
    stream_bytes: list[int]
    sent_bytes: list[int]
    rounds: list[int]

_Progress: TypeAlias = Callable[[str, int, int], object]

@final
class ArrowStream:
    """Rows that are decoded as they are read; can be consumed once."""

    @property
    def rows(self) -> int:
        """The number of rows, known before any is decoded."""
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow PyCapsule interface; UsageError when the stream was read before."""

@final
class SpilledTable:
    """One player's table on disk, encrypted under a key of this process; gone with the object."""

def spill_table(
    spec: bytes, side: int, table: ArrowStreamExportable, directory: str, progress: _Progress
) -> SpilledTable:
    """Read one player's table for `sealed_join` without ever holding it: checked, then on disk.

    Args:
        table: read once, batch by batch.
        directory: takes files without a name.

    Raises:
        ResourceError: the table is above its declared bound, the disk is full, or so many rows have the same
            key that they do not fit into memory.
        SchemaError: a column is not as declared.

    Security:
        AES-256-GCM under a fresh key. How much lies on disk shows to the operator of this machine only.

    Cost:
        About half a GiB of memory whatever the bound; on disk the encoded rows and 64 bytes for each row of
        the bound.
    """

def sealed_join(
    spec: bytes,
    side: int,
    table: ArrowStreamExportable | SpilledTable,
    lanes: Sequence[Iterable[int]],
    is_listener: bool,
    tls_private_key: bytes,
    peer_public_key: bytes,
    out_path: str,
    progress: _Progress,
    stall_timeout_s: float,
) -> SealReport:
    """Run one player's side of a sealed join and write its ciphertext to `out_path`.

    Args:
        spec: public parameters as JSON; both machines and the recipients derive the same bytes.
        side: 0 hosts the left input, 1 the right.
        table: the parts of the key, as many as `spec` names, then this side's payload columns. Where the
            bounds of `spec` may take more than half a GiB it goes to the directory of `out_path`; see
            `spill_table` for doing that beforehand.
        lanes: for the control lane, then for each data lane, where connected TCP sockets come from. The first
            is taken; where it led to somebody who is not the peer, the next. Each is duplicated: the caller
            keeps and closes its own. Both sides bring the same number of lanes.
        is_listener: whether this side accepted the connections; exactly one side did.
        tls_private_key: the 32-byte seed of this job's key, see `job_key`.
        peer_public_key: the one key that the peer must hold.
        out_path: appears, readable by this user only, once it is complete; until then `.partial` follows its
            name, which must be free.
        stall_timeout_s: how long the peer may stay silent; more than a day counts as a day.

    Units: s, bytes.

    Raises:
        ResourceError: the table is above its declared bound, found before the peer is contacted; the disk
            is full.
        SchemaError: a column is not as declared.
        PeerError: the peer stalls or is gone.
        ProtocolAbort: the peer is not who it should be, or one of its messages fails a check.

    Discloses:
        To the peer, bounds only. To the recipients, the result and what docs/protocols/sealed-join.md lists.

    Security:
        A malicious peer can change its own input only. Each call is a new attempt with new randomness.

    Cost:
        Formulas in docs/protocols/sealed-join.md; bytes and rounds follow from `spec` alone.

    Source:
        docs/protocols/sealed-join.md; RFC 9497 (OPRF), RFC 9180 (seal), RFC 8446 and RFC 7250 (channel).
    """

def matched_join(
    spec: bytes,
    side: int,
    table: ArrowStreamExportable,
    lanes: Sequence[Iterable[int]],
    is_listener: bool,
    tls_private_key: bytes,
    peer_public_key: bytes,
    progress: _Progress,
    stall_timeout_s: float,
) -> MatchReport:
    """Run one player's side of a matched join: the receiver learns the sender's rows that match its own.

    Args:
        spec: public parameters as JSON; both machines derive the same bytes.
        side: 0 hosts the left input, 1 the right.
        table: the parts of the key, as many as `spec` names; at the sender then its payload columns.
        lanes, is_listener, tls_private_key, peer_public_key, stall_timeout_s: as in `sealed_join`.

    Raises:
        ResourceError: the table is above its declared bound, found before the peer is contacted.
        SchemaError: a column is not as declared.
        PeerError: the peer stalls or is gone.
        ProtocolAbort: the peer is not who it should be, or one of its messages fails a check.

    Discloses:
        To the sender, the receiver's bound. To the receiver, the sender's bound and, of the sender's rows
        with a key that the receiver has, the payload columns.

    Security:
        A malicious peer can change its own input only. Whatever the sender sends, no more rows come out than
        `most_rows` of the spec, and where `is_unique` says so one for each key at most, each as declared.
    """

def release_table(
    spec: bytes, table: ArrowStreamExportable, out_path: str, progress: _Progress
) -> SealReport:
    """Seal a plaintext table to the recipients: exactly the bound of rows, in random order.

    Raises:
        ResourceError: the table is above its declared bound, or the disk is full.
        SchemaError: a column is not as declared.

    Discloses:
        To the recipients, all rows and the bound; to whoever stores the stream, the bound.

    Security:
        Outer seal as in `sealed_join`, with a random attempt.

    Cost:
        One stream of bound · (1 + largest row) bytes and 16 per MiB; no peer.

    Source:
        docs/protocols/sealed-join.md, section "Release".
    """

def open_sealed(
    spec: bytes,
    streams: list[tuple[bytes, str, str]],
    seal_private: bytes,
    progress: _Progress,
    memory_bytes: int | None = None,
    directory: str | None = None,
) -> ArrowStream:
    """Open a sealed join as one of its recipients.

    Args:
        spec: as the players had it.
        streams: (header, SHA-256 in hex, path), the left side's first, from manifests whose signatures
            were verified.
        seal_private: the 32-byte seed of the recipient's seal key.
        memory_bytes: streams longer than this together are opened in parts on disk; 256 MiB by default.
        directory: takes the parts, encrypted and without names; by default where the streams lie.

    Returns:
        All left payload columns, then all right ones (semi: left only), named as in `spec`.

    Raises:
        ProtocolAbort: a stream is not the one that was signed, or a player broke the protocol. Tell no
            player: such an error answers a question about one key.
        ResourceError: no memory, or no room in `directory`.

    Security:
        Both streams are complete and verified before anything is opened, and everything in them is checked
        before this returns.
    """

def open_release(
    spec: bytes,
    stream: tuple[bytes, str, str],
    seal_private: bytes,
    progress: _Progress,
    memory_bytes: int | None = None,
    directory: str | None = None,
) -> ArrowStream:
    """Open a release as one of its recipients; arguments and errors as in `open_sealed`."""

def job_key() -> tuple[bytes, bytes]:
    """Return a fresh Ed25519 seed and its public key, for the TLS of one job."""

def seal_public_key(seed: bytes) -> bytes:
    """Return the X-Wing public key (1216 bytes) of a 32-byte seed that a recipient keeps."""

def restrict_filesystem(read: list[str], write: list[str]) -> Literal["enforced", "partial", "unsupported"]:
    """Confine this thread, and all that it starts later, to the named paths, for good (Landlock).

    Beneath `read` files can be read and executed, beneath `write` also written. Paths that do not exist
    are left out. Call it before any other thread starts: older kernels confine the calling thread only.
    """

def keep_freed_memory() -> None:
    """Keep freed memory in this process until it ends, instead of giving it back and clearing it anew."""

def run_locally(
    spec: bytes,
    tables: tuple[ArrowStreamExportable, ArrowStreamExportable],
    oprf: Literal["dh", "vole", "ideal", "twin"],
    memory_bytes: int = ...,
) -> tuple[ArrowStream, Transcript]:
    """Run both players in this process and open the result for a recipient that exists only here.

    `ideal` replaces the OPRF, `twin` the whole join, by a trusted party. A player whose step may take more
    than `memory_bytes` keeps its table on disk.

    Security:
        None between the players: for tests and simulations.
    """

def run_matched_locally(
    spec: bytes,
    tables: tuple[ArrowStreamExportable, ArrowStreamExportable],
    oprf: Literal["dh", "vole", "ideal"],
) -> MatchTranscript:
    """Run both players of a matched join in this process.

    Security:
        None between the players: for tests and simulations.
    """
