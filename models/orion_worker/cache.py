# SPDX-License-Identifier: MPL-2.0
"""Models as ONNX Runtime has optimised them, kept from one start of a worker to the next."""

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orion_worker.log import log

VARIABLE = "ORION_MODEL_CACHE"
"""A folder, or `off`."""

MAX_BYTES = 1 << 30
"""Size of the folder above which what was not used for the longest time goes."""

_SUFFIX = ".orion-model"
_DIGEST_BYTES = 32
# One more than another form of the entries has had.
_FORM = 1


def folder(environment: Mapping[str, str]) -> Path | None:
    """Where models are kept; None means nowhere.

    That is what `ORION_MODEL_CACHE` says, else systemd's folder for the service (`CacheDirectory=`), else
    `orion/models` in the user's cache.
    """
    if given := environment.get(VARIABLE):
        return None if given.lower() == "off" else Path(given)
    if of_service := environment.get("CACHE_DIRECTORY"):
        return Path(of_service.partition(":")[0]) / "models"
    if of_user := environment.get("XDG_CACHE_HOME"):
        return Path(of_user) / "orion" / "models"
    home = environment.get("HOME")
    return Path(home) / ".cache" / "orion" / "models" if home and home != "/" else None


def processor() -> str:
    """What an optimised model depends on: kind, name and abilities of the processor."""
    wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    found = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in wanted:
                found.setdefault(name.strip(), value.strip())
    return json.dumps([platform.machine(), platform.processor(), found], sort_keys=True)


def has_outside_data(model: bytes) -> bool:
    """Whether weights of an ONNX file lie in other files, of which its own hash knows nothing.

    Such a tensor has an entry with the key "location" (TensorProto.external_data in onnx.proto). Also
    true of a file that happens to contain the same bytes elsewhere.
    """
    return b"\x0a\x08location\x12" in model


@dataclass(frozen=True, slots=True)
class ModelCache:
    """A folder of optimised models. Whatever is wrong with it costs time and nothing else."""

    folder: Path

    @staticmethod
    def key(sha256: str, runtime: str, provider: str) -> str:
        """The name of an entry: it changes with everything that the optimised model depends on.

        Args:
            sha256: of the model file, in hex.
            runtime: ONNX Runtime's version and build.
            provider: its execution provider.
        """
        parts = [_FORM, sha256, runtime, provider, processor()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def load(self, key: str) -> bytes | None:
        """An entry; None when there is none, or when it is not what was stored.

        The digest of the model is left behind its end, where its format (flatbuffers) knows nothing of it:
        cutting it off would copy the model.
        """
        file = self._file(key)
        try:
            self._check_owner()
            whole = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("model cache %s: %s; %s=off turns it off", file, _reason(error), VARIABLE)
            return None
        parts = memoryview(whole)
        if hashlib.sha256(parts[:-_DIGEST_BYTES]).digest() != parts[-_DIGEST_BYTES:]:
            self.drop(key, "damaged")
            return None
        with suppress(OSError):
            os.utime(file)  # used just now
        return whole

    def drop(self, key: str, reason: str) -> None:
        """Remove an entry that is of no use."""
        log.warning("model cache %s is %s and is made anew", self._file(key), reason)
        with suppress(OSError):
            self._file(key).unlink()

    def store(self, key: str, write: Callable[[Path], None]) -> bool:
        """Add what `write` writes to the path it is given; whether that worked.

        Others see the whole entry or none. Errors of `write` are passed on.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_owner()
            scratch = tempfile.TemporaryDirectory(prefix="new-", dir=self.folder, ignore_cleanup_errors=True)
        except OSError as error:
            log.debug("model cache %s: %s", self.folder, _reason(error))
            return False
        with scratch as place:
            made = Path(place) / "model"
            write(made)
            try:
                model = made.read_bytes()
                whole = Path(place) / "whole"
                whole.write_bytes(model + hashlib.sha256(model).digest())
                whole.replace(self._file(key))
            except OSError as error:
                log.debug("model cache %s: %s", self.folder, _reason(error))
                return False
        self._make_room()
        return True

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _check_owner(self) -> None:
        # Who may write here decides what the worker runs.
        status = self.folder.stat()
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o002:
            raise PermissionError(0, "the folder belongs to somebody else, or everybody may write to it")

    def _make_room(self) -> None:
        entries = []
        for file in self.folder.glob(f"*{_SUFFIX}"):
            with suppress(OSError):  # another worker may do the same
                status = file.stat()
                entries.append((status.st_mtime, status.st_size, file))
        total = 0
        for _, size, file in sorted(entries, reverse=True):
            total += size
            if total > MAX_BYTES:
                with suppress(OSError):
                    file.unlink()


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
