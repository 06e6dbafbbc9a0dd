"""Which answers of the service a machine takes as final."""

import pytest

from xor.errors import AuthError, InternalError, PeerError, ResourceError, UsageError
from xor.machine.link import is_passing


@pytest.mark.parametrize(
    "error",
    [
        PeerError("away"),
        InternalError("broken"),
        UsageError("too early", code="job.too-early"),
        UsageError("the upload broke off", code="usage.broken-off"),
        ResourceError("no room", code="resource.disk-full"),
    ],
)
def test_what_passes_by_itself_is_tried_again(error):
    assert is_passing(error)


@pytest.mark.parametrize(
    "error",
    [
        AuthError("not yours"),
        UsageError("ended", code="job.ended"),
        ResourceError("too long", code="resource.stream-too-long"),
    ],
)
def test_what_the_service_will_never_take_is_not_tried_again(error):
    assert not is_passing(error)
