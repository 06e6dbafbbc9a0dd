"""The service's TLS certificate: one that it makes itself, or one that its operator brings, kept valid."""

import datetime as dt
import os
import ssl
import time
from pathlib import Path

from xor import log
from xor.errors import UsageError
from xor.service.jobs import Settings
from xor.signing import SigningKey
from xor.wire import tls

FILE = "tls.pem"
VALID = dt.timedelta(days=90)
RENEW_S = 30 * 86_400
"""An own certificate is renewed when it has only so long left."""
LOCAL = ("localhost", "127.0.0.1", "::1")


class Certificate:
    """The certificate in use. `refresh` now and then keeps it valid while the service runs.

    Raises:
        UsageError: the operator's files cannot be read, or do not belong together.
    """

    def __init__(self, directory: Path, settings: Settings, key: SigningKey) -> None:
        self._own = directory / FILE
        self._settings = settings
        self._key = key
        self._loaded = b""
        self.context = tls.server_context()
        """For new connections. Replaced, never changed: connections use it while another thread refreshes."""
        self.refresh()

    def refresh(self) -> None:
        """Takes up the operator's files if they have changed, or renews an own certificate if it is time."""
        if self._settings.certificate is None:
            if not self._loaded or tls.expires_at(self._loaded) < time.time() + RENEW_S:
                self._load(self._write(), None)
        else:
            if self._settings.certificate_key is None:
                raise UsageError("certificate without certificate_key", code="usage.bad-settings")
            self._load(Path(self._settings.certificate), Path(self._settings.certificate_key))

    def _load(self, chain: Path, key: Path | None) -> None:
        try:
            pem = chain.read_bytes()
            if pem == self._loaded:
                return
            context = tls.server_context()
            context.load_cert_chain(chain, key)
        except (OSError, ssl.SSLError):
            raise UsageError(
                f"{chain} and its key are no certificate that can be served",
                code="usage.bad-certificate",
                hint="PEM files: the chain with the service's own certificate first, and its key.",
            ) from None
        self.context, self._loaded = context, pem
        until = time.strftime("%Y-%m-%d", time.gmtime(tls.expires_at(pem)))
        log.info("certificate", is_own=key is None, until=until)

    def _write(self) -> Path:
        pem = tls.new_certificate(self._key, (*LOCAL, *self._settings.names), VALID)
        descriptor = os.open(self._own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        return self._own
