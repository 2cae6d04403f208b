"""Makes the certificates valid again that the peers ship for their examples, and which have expired.

Key, names and serial number stay, since the examples look at them.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

OPENSSL_SECONDS = 20
DAYS = 2
NAMES = ("server", "client")


class CertificateError(Exception):
    """A certificate cannot be renewed; the text says why."""


def renew(folder: Path) -> None:
    """Sign the certificates of a folder anew, each with its own key.

    Args:
        folder: holds NAME_cert.pem and NAME_key.pem for each of NAMES.

    Raises:
        CertificateError: there is no openssl, or it refuses.
    """
    for name in NAMES:
        certificate, renewed = folder / f"{name}_cert.pem", folder / f"{name}_renewed.pem"
        serial = openssl("x509", "-in", certificate, "-noout", "-serial").strip().removeprefix("serial=")
        key = ("-signkey", folder / f"{name}_key.pem", "-set_serial", f"0x{serial}")
        openssl("x509", "-in", certificate, *key, "-days", str(DAYS), "-out", renewed)
        os.replace(renewed, certificate)


def openssl(*arguments: str | Path) -> str:
    """Run openssl and return what it printed; raise CertificateError if it fails."""
    command = ["openssl", *map(str, arguments)]
    try:
        done = subprocess.run(
            command, check=True, timeout=OPENSSL_SECONDS, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
    except subprocess.CalledProcessError as error:
        raise CertificateError(f"{' '.join(command)}: {error.stderr.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CertificateError(f"{' '.join(command)}: {error}") from error
    return done.stdout
