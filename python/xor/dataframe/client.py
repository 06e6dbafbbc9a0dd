"""The client of one network: makes frames, places plans, signs and submits them."""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xor.dataframe.asked import Asked, recipient_names
from xor.dataframe.check import Check, check_plan, is_permitted, may_be_permitted
from xor.dataframe.frame import Frame
from xor.dataframe.handles import Handle
from xor.dataframe.job import Job
from xor.dataframe.open import check_seal_key
from xor.dataframe.result import Result
from xor.errors import PeerError, PlanError, UsageError
from xor.model.agreement import Agreement
from xor.plan.codec import PAYLOAD_TYPE, encode_plan
from xor.plan.explain import Explanation, explain
from xor.plan.place import Permits, place
from xor.plan.placed import PlacedPlan
from xor.plan.relations import Relation, Scan
from xor.plan.resources import shortages
from xor.session import core
from xor.session.following import Clock, SystemClock
from xor.session.known import Known, signing_key
from xor.session.opening import Session, current, shared_session
from xor.session.profile import LOOK_UP
from xor.signing import Envelope, seal_envelope
from xor.wire.messages import Cancel

SKEW_S = 300
"""How far clocks of machines may be behind."""
VALIDITY_S = 24 * 3600
"""How long a plan waits for approvals."""
_ANY_NONCE = "0" * 64


@dataclass(frozen=True)
class Dataset:
    """A dataset of the catalogue, as its owner declares it."""

    name: str
    player: str
    owner: str
    columns: tuple[str, ...]
    rows: int
    is_online: bool


class Client(Handle):
    """An analyst at one network. The latest one made is the default of `xf.use`.

    Args:
        token: the credential, or `"*"` to look it up, see `session.open_session`.
        use_ssl: False is for services on this machine only.
        session, clock: given by tests; otherwise the open session with that service is shared.

    Raises:
        UsageError: the network is not known here. AuthError: no credential or key, or something is not
            signed as it must be. PeerError: the service does not answer.
    """

    def __init__(
        self,
        network: str,
        host: str = "localhost",
        port: int = 3000,
        token: str = LOOK_UP,
        use_ssl: bool = True,
        *,
        session: Session | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.network = network
        self.session = session or shared_session(host, port, token, use_ssl)
        self.clock = clock or SystemClock()
        self._known = self.session.known(network)
        self._analyst, self._key = signing_key(self.session.profile, self._known.agreement)
        _default[:] = [self]

    @property
    def host(self) -> str:
        return self.session.host

    @property
    def port(self) -> int:
        return self.session.port

    @property
    def analyst(self) -> str:
        """The name under which this client asks."""
        return self._analyst.name

    @property
    def agreement(self) -> Agreement:
        """The members of the network, as they were when last looked up."""
        return self._known.agreement

    def datasets(self) -> list[Dataset]:
        """What the owners offer, from the catalogue as it is now."""
        self._known = self.session.known(self.network)
        return [
            Dataset(
                entry.name,
                entry.player,
                entry.owner,
                tuple(column.name for column in entry.columns),
                entry.rows,
                entry.name in self._known.online,
            )
            for entry in self._known.entries.values()
        ]

    def use(self, dataset: str, player: str) -> Frame:
        """A frame of all rows of a dataset.

        Raises:
            UsageError: there is no such dataset at that player; near names are listed.
        """
        self.session.check_open()
        return Frame(Scan(self._known.dataset(dataset, player)), self)

    def jobs(self) -> list[Job]:
        """The jobs that you submitted or receive, latest first."""
        self.session.check_open()
        mine = [view for view in self.session.transport.jobs(self.network) if view.network == self.network]
        return [Job(self, view.job) for view in sorted(mine, key=lambda view: -view.submitted_at)]

    def job(self, job_id: str) -> Job:
        """A job that this or another process submitted, by its id.

        Raises:
            UsageError: the service knows no such job. AuthError: it shows another plan for it.
        """
        if len(job_id) != 64 or not set(job_id) <= set("0123456789abcdef"):
            raise UsageError(
                "a job id has 64 hex digits", code="usage.unknown-job", hint="client.jobs() lists them."
            )
        self.session.check_open()
        view = self.session.transport.job(self.network, job_id, 0, 0)
        known = self.known()
        run = core.resume(known.trust, view, self.analyst, self.clock.now())
        if run.job != job_id:
            raise PeerError("the service answers with another job", code="peer.bad-answer")
        return Job(self, job_id, run)

    def check_placeable(self, relation: Relation) -> None:
        """Refuses by name what no plan can do, as soon as it is written.

        Neither size nor columns are judged here: a later step may need less of them.
        """
        try:
            self._place(relation, self._known, (self.analyst,), None)
        except PlanError as error:
            if error.code != "plan.too-large":
                raise

    def check(self, frame: Frame, to: str | Sequence[str] | None) -> Check:
        known = self.known()
        return check_plan(self._draft(frame, to, known), known, self.session.now())

    def explain(self, frame: Frame, to: str | Sequence[str] | None) -> Explanation:
        known = self.known()
        plan = self._draft(frame, to, known)
        return explain(plan, known.agreement, conditions=known.conditions)

    def run(self, frame: Frame, asked: Asked) -> Result:
        """Submits and waits; whoever stops waiting here stops the job."""
        job = self.submit(frame, asked)
        try:
            return job.wait(asked.timeout_s)
        except PeerError as error:
            if error.code == "peer.timeout":
                job.cancel_quietly()
            raise

    def submit(self, frame: Frame, asked: Asked) -> Job:
        """Places the frame anew, signs the plan and hands it to the service."""
        asked.check(self._known.agreement)
        known = self.known()
        for entry in frame.relation.datasets:
            if known.entries.get(entry.name) != entry:
                raise PlanError(
                    f"dataset '{entry.name}' was changed by its owner since the frame was made",
                    code="plan.changed-dataset",
                    hint="make the frame again from xf.use.",
                )
        recipients = known.recipients(recipient_names(asked.to, self.analyst))
        plan = self._place(frame.relation, known, recipients, secrets.token_hex(32))
        for shortage in shortages(plan, known.conditions.capacities):
            raise shortage.to_error()
        self.seal_key_for(plan)
        envelope = Envelope(PAYLOAD_TYPE, encode_plan(plan), ()).signed_by(self._key)
        run = core.begin(known.trust, envelope, deadline=0.0)
        return Job(self, run.job, run).submit(asked.timeout_s)

    def known(self) -> Known:
        """The network as it is now, verified anew."""
        self._known = self.session.known(self.network)
        self._analyst, self._key = signing_key(self.session.profile, self._known.agreement)
        return self._known

    def seal_key_for(self, plan: PlacedPlan) -> Path | None:
        """The key that opens the plan's result, checked; None if it is sealed to others."""
        if self.analyst not in plan.recipients:
            return None
        return check_seal_key(self.session.profile.seal_key, self._analyst)

    def signed_cancel(self, job: str) -> Envelope:
        return seal_envelope(Cancel(network=self.network, plan=job, analyst=self.analyst), self._key)

    def _draft(self, frame: Frame, to: str | Sequence[str] | None, known: Known) -> PlacedPlan:
        """The plan as it would be signed, but for its nonce."""
        recipients = known.recipients(recipient_names(to, self.analyst))
        return self._place(frame.relation, known, recipients, _ANY_NONCE)

    def _place(
        self, relation: Relation, known: Known, recipients: tuple[str, ...], nonce: str | None
    ) -> PlacedPlan:
        """Without a nonce only to see whether it can be placed, perhaps with fewer columns."""
        now = self.session.now()

        def placed(permits: Permits) -> PlacedPlan:
            return place(
                relation,
                network=self.network,
                agreement_hash=known.trust.hash,
                analyst=self.analyst,
                recipients=recipients,
                policies={name: policy.policy_version for name, policy in known.policies.items()},
                not_before=now - SKEW_S,
                not_after=min(now + VALIDITY_S, known.agreement.not_after),
                nonce=nonce or _ANY_NONCE,
                signatures=known.signatures,
                conditions=known.conditions,
                permits=permits,
                clean_rooms=[each.name for each in known.agreement.players if each.zone == "clean room"],
            )

        if nonce is not None:
            with suppress(PlanError):
                return placed(lambda plan: is_permitted(plan, known, now))
        # A plan that policies nearly allow, so that the judge can say what they lack.
        return placed(lambda plan: may_be_permitted(plan, known))

    def __repr__(self) -> str:
        return f"<client of network '{self.network}' at {self.host}:{self.port} as '{self.analyst}'>"


def use(dataset: str, player: str, client: Client | None = None) -> Frame:
    """A frame of all rows of a dataset at a player, e.g. `xf.use("accounts_b", "player-0")`.

    Raises:
        UsageError: there is no such dataset at that player; near names are listed.
    """
    return (client or default_client()).use(dataset, player)


def default_client() -> Client:
    """The client made last, or one of the open session, if its profile knows a single network.

    Raises:
        UsageError: there is neither.
    """
    if _default and _default[0].session.is_open:
        return _default[0]
    session = current()
    if session is not None and len(session.profile.networks) == 1:
        return Client(next(iter(session.profile.networks)), session=session)
    raise UsageError(
        "there is no client",
        code="usage.no-client",
        hint="open a session, make xf.Client(network, host, port, token, use_ssl) and pass it as client=.",
    )


_default: list[Client] = []
