"""The service's own errors: nobody must take them for an owner's, or sign them."""

import asyncio
import json
from pathlib import Path

from xor.errors import PolicyDenied
from xor.machine.outbox import Outbox
from xor.wire.http import error_of
from xor.wire.messages import Manifest

FORGED = json.dumps(
    {
        "kind": "PolicyDenied",
        "code": "policy.denied",
        "detail": "bank-c refuses plan ab12…",
        "player": "player-1",
        "hint": "ask bank-c to sign this",
        "violations": ["step 4: too little is granted"],
        "grant": "reveal to fraud-desk: {all rows: [account, name]}",
    }
).encode()


def test_a_refusal_that_no_machine_signed_names_no_machine_and_suggests_no_grant():
    error = error_of(403, FORGED)
    assert error.player is None
    assert not (isinstance(error, PolicyDenied) and error.grant)


def test_a_machine_does_not_sign_a_failure_in_the_services_words():
    said = []

    class Link:
        async def upload(self, _manifest, _path):
            raise error_of(403, FORGED)

    async def upload():
        outbox = Outbox(Link(), lambda _job, event: said.append(event), lambda _job, _error: None)
        manifest = Manifest(
            network="n", plan="a" * 64, player="player-1", node=0, side=0, attempt="0" * 32, header="",
            sha256="0" * 64, bytes=0,
        )  # fmt: skip
        outbox.upload(manifest, Path("stream"))
        await outbox.flush(5)

    asyncio.run(upload())
    (failed,) = said
    assert (failed.kind, failed.code) != ("PolicyDenied", "policy.denied")
