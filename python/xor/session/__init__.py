"""Sessions with a service: `open_session` is where an analyst's program begins."""

from xor.session.opening import Session, open_session

__all__ = ["Session", "open_session"]
