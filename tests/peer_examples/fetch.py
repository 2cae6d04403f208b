"""Fetches the peers' source archives and unpacks their examples or tests, outside of the repository.

The archives come from the package index through pip, are checked against the hashes below, and are kept in a cache.
Nothing of them ever becomes part of the project.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DOWNLOAD_SECONDS = 120

KEPT = ("examples", "certs")
"""Folders of an archive that are unpacked: the sources of the libraries themselves stay packed."""

KEPT_OF_SUITES = ("tests", "certs")
"""The same for a peer's own tests. The first of them must be there."""


@dataclass(frozen=True, slots=True)
class Archive:
    """One source archive of a peer."""

    requirement: str
    file_name: str
    sha256: str


ARCHIVES = {
    4: Archive("Pyro4==4.82", "Pyro4-4.82.tar.gz", "511f5b0804e92dd77dc33adf9c947787e3f9e9c5a96b12162f0557a7c4ce21fb"),
    5: Archive("Pyro5==5.17", "pyro5-5.17.tar.gz", "cfac69638d80943aff9cc5f1466755dd0fef8aed0bb4bda41b5eb045818ce6fc"),
}

SUITES = {
    4: ARCHIVES[4],
    5: Archive("Pyro5==5.15", "Pyro5-5.15.tar.gz", "82c3dfc9860b49f897b28ff24fe6716c841672c600af8fe40d0e3a7fac9a3f5e"),
}
"""The archives whose tests are run, as far as a program may see a difference those of the newest versions."""


class FetchError(Exception):
    """The examples cannot be had; the text says why."""


def cache_folder() -> Path:
    """Return where archives are kept: below XDG_CACHE_HOME or the home, else where temporary files go."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(base) if base else Path.home() / ".cache") / "fastpyro" / "peer_examples"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        folder = Path(tempfile.gettempdir()) / "fastpyro-peer_examples"
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def examples_of(generation: int, cache: Path | None = None) -> Path:
    """Return the folder of a peer's examples, fetched and unpacked if that has not been done.

    Args:
        generation: 4 or 5.
        cache: where to keep what was fetched; None for `cache_folder()`.

    Returns:
        the folder, with one folder for each example.

    Raises:
        FetchError: the archive cannot be downloaded, or is not the one that it should be.
    """
    return _unpacked(ARCHIVES[generation], cache, KEPT)


def suite_of(generation: int, cache: Path | None = None) -> Path:
    """Return the folder of a peer's own tests, like `examples_of`."""
    folder = _unpacked(SUITES[generation], cache, KEPT_OF_SUITES)
    return folder / "PyroTests" if generation == 4 else folder


def _unpacked(archive: Archive, cache: Path | None, kept: Sequence[str]) -> Path:
    """Return where the first of the `kept` folders of an archive is."""
    cache = cache or cache_folder()
    suffix = "" if kept == KEPT else f"-{kept[0]}"
    unpacked = cache / f"{archive.file_name}-{archive.sha256[:12]}{suffix}"
    if not unpacked.is_dir():
        packed = cache / archive.file_name
        if not packed.exists():
            download(archive, cache)
        check(packed, archive.sha256)
        unpack(packed, unpacked, kept)
    return unpacked / kept[0]


def download(archive: Archive, folder: Path) -> None:
    """Download a source archive with pip, which builds and installs nothing here.

    Raises:
        FetchError: pip failed, or brought something else.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", ":all:", "--no-deps"]
        command += ["--no-build-isolation", "--disable-pip-version-check", "--dest", scratch, archive.requirement]
        try:
            subprocess.run(command, check=True, timeout=DOWNLOAD_SECONDS, capture_output=True, text=True)
            os.replace(Path(scratch) / archive.file_name, folder / archive.file_name)
        except subprocess.CalledProcessError as error:
            raise FetchError(f"pip cannot download {archive.requirement}: {error.stderr.strip()}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FetchError(f"no {archive.file_name} for {archive.requirement}: {error}") from error


def check(packed: Path, sha256: str) -> None:
    """Raise FetchError if a file is not the one that it should be."""
    found = hashlib.sha256(packed.read_bytes()).hexdigest()
    if found != sha256:
        raise FetchError(f"{packed} has the hash {found} instead of {sha256}; remove it to fetch it again")


def unpack(packed: Path, folder: Path, kept: Sequence[str] = KEPT) -> None:
    """Unpack folders of an archive, by default its examples and certificates, to where they are only if all are.

    Members that would land elsewhere, links and devices are refused.

    Raises:
        FetchError: the archive is broken, has not the first of the folders, or holds something that is refused.
    """
    scratch = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        with tarfile.open(packed) as archive:
            for member in archive:
                parts = Path(member.name).parts
                if len(parts) < 2 or parts[1] not in kept:
                    continue
                if not (member.isfile() or member.isdir()):
                    raise FetchError(f"{packed} holds {member.name}, which is neither a file nor a folder")
                # The first part is the archive's own name, with its version.
                archive.extract(member.replace(name=str(Path(*parts[1:]))), scratch, filter="data")
        if not (scratch / kept[0]).is_dir():
            raise FetchError(f"{packed} holds no {kept[0]}")
        os.replace(scratch, folder)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise FetchError(f"{packed} cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
