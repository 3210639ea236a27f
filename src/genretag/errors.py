"""The errors a person can meet: a subclass per boundary, each message one line: what, where, what to do."""

from __future__ import annotations

from dataclasses import dataclass


class GenretagError(Exception):
    """Base of every expected error; `str(error)` is the one line that the person reads.

    `code` is a stable kebab-case word for programs (the `error.code` of JSON records).
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class UsageError(GenretagError):
    """An option or argument cannot be meant as given."""

    code = "usage"


class ScanError(GenretagError):
    """A path to scan is missing or unreadable."""

    code = "missing"


class DecodeError(GenretagError):
    """A file gives no usable audio.

    Codes: `empty`, `not-audio`, `decode-failed`, `too-short`, `silent`, `out-of-memory`, `timeout`,
    `unreadable`, `missing`.
    """

    code = "decode-failed"


class EngineError(GenretagError):
    """A decode worker was lost over a file (`worker-died`, `timeout`), or no worker could start."""

    code = "worker-died"


class DeviceError(GenretagError):
    """The device asked for is not there or cannot hold one window."""

    code = "device"


class TagError(GenretagError):
    """Tags cannot be read or written: `not-taggable`, `bad-tags`, `too-large`."""

    code = "bad-tags"


class WriteError(GenretagError):
    """A file was left as it was.

    Codes: `read-only`, `no-space`, `changed`, `verify-failed`, `io-error`, `missing`, `too-long`.
    """

    code = "io-error"


class PlanError(GenretagError):
    """A plan line cannot be understood, names a file `outside`, or no longer fits its file (`changed`)."""

    code = "plan"


class MapError(GenretagError):
    """A genre map is malformed."""

    code = "map"


class ConfigError(GenretagError):
    """The configuration file cannot be understood, or holds what no option can be."""

    code = "config"


class StoreError(GenretagError):
    """The store cannot be opened or used."""

    code = "store"


class BusyError(GenretagError):
    """Another run writes in the same place."""

    code = "busy"


class InterruptedRunError(GenretagError):
    """A run was interrupted; the message says what was done until then."""

    code = "interrupted"


class CheckpointError(GenretagError):
    """A checkpoint is unknown, damaged or of another version."""

    code = "checkpoint"


class ModelError(GenretagError):
    """A preset is unknown or its parts do not fit together."""

    code = "model"


class FeatureError(GenretagError):
    """A features file or feature cache does not fit what is asked of it."""

    code = "features"


class DatasetError(GenretagError):
    """A dataset is not laid out as its format says."""

    code = "dataset"


class SplitError(GenretagError):
    """A split leaks or cannot be made."""

    code = "split"


class TrainingError(GenretagError):
    """A training run cannot start, go on or resume."""

    code = "training"


@dataclass(frozen=True)
class FileError:
    """Why one file was not done: a stable code for programs and one line for people.

    `known`: an earlier run reported the same failure of the same bytes.
    """

    code: str
    message: str
    known: bool = False

    @classmethod
    def of(cls, error: GenretagError) -> FileError:
        """The record of an exception that concerned one file."""
        return cls(error.code, str(error))

    def to_dict(self) -> dict[str, str | bool]:
        """Return the `error` object of JSON records."""
        return {"code": self.code, "message": self.message, "known": self.known}


def install_hint(extra: str) -> str:
    """Return the command that installs an optional dependency, run in a clone as genretag is on no index."""
    return f"install the extra: pip install '.[{extra}]'"
