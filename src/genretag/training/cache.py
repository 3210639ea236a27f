"""Features computed once: a file of windows per recording, kept between runs and shared by them.

A file is named by what the recording is and lies in a folder named by how it was computed, so nothing here
ever goes out of date and any of it may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from genretag import store
from genretag.audio.audiofile import changed_error, one_line
from genretag.audio.features import FeatureSpec
from genretag.audio.payload import identify
from genretag.audio.windows import Coverage
from genretag.errors import DecodeError, FeatureError, FileError
from genretag.files import written_whole
from genretag.predict.engine import EngineOptions, Job, run
from genretag.predict.score import TorchScorer, front_end
from genretag.training.variants import Variant
from genretag.training.windows import StoredWindows

FOLDER = "features"
DESCRIPTION = "front.json"
# Part of every key: raise it when the same front gives other numbers than before.
CACHE_VERSION = 1
LEFT_OVER_SECONDS = 3600.0  # a temporary file lives for moments; an older one is of a run that was killed


@dataclass(frozen=True, eq=False)
class Frozen:
    """A network that is not trained, whose answers stand in for the features: computed once like them.

    `key` names its weights (a checkpoint's hash) and which of its answers are meant. `make` gives a module
    from features (windows, *spec.shape) to (windows, *shape).
    """

    key: str
    shape: tuple[int, ...]
    make: Callable[[], nn.Module]


@dataclass(frozen=True, eq=False)
class Front:
    """Everything between a recording and the windows that are kept of it: all, or those of a `coverage`."""

    spec: FeatureSpec
    variant: Variant | None = None
    frozen: Frozen | None = None
    coverage: Coverage = "full"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one window that is kept."""
        return self.spec.shape if self.frozen is None else self.frozen.shape

    def describe(self) -> str:
        """JSON of all that changes a number: equal for equal fronts."""
        document = {
            "version": CACHE_VERSION,
            "features": self.spec.to_dict(),
            "variant": None if self.variant is None else dataclasses.asdict(self.variant),
            "frozen": None if self.frozen is None else self.frozen.key,
        }
        if self.coverage != "full":
            document["coverage"] = self.coverage
        return json.dumps(document, sort_keys=True)

    @property
    def key(self) -> str:
        """Name of the folder of this front: 16 hex digits."""
        return hashlib.sha256(self.describe().encode()).hexdigest()[:16]


class FrontScorer(TorchScorer):
    """Windows of samples to the windows that are kept; what the engine runs to fill the cache.

    One window at a time on the CPU, where features without a network are always computed: the same bits come
    out whatever else is under way, and small passes are the quick ones there.
    """

    def __init__(self, front: Front, device: str) -> None:
        super().__init__("cpu" if front.frozen is None else device)
        if self.device.type == "cpu":
            self.batch_size = 1
        network = nn.Identity() if front.frozen is None else front.frozen.make()
        self._module = nn.Sequential(front_end(front.spec), network).eval().to(self.device)
        self._ready()

    def rows(self, windows: Tensor) -> Tensor:
        found: Tensor = self._module(windows)
        return found


class FeatureCache:
    """The cached windows of one front, in `folder` (default: `features` in the store's folder)."""

    def __init__(self, front: Front, folder: Path | None = None) -> None:
        self.front = front
        self.folder = (folder or store.home() / FOLDER) / front.key

    def fill(
        self, recordings: Sequence[Path], options: EngineOptions, *, quiet: bool = False
    ) -> tuple[StoredWindows | FileError, ...]:
        """The windows of every recording, computed where they are missing; or why there are none.

        `options` give workers, device and timeout, the front the coverage. Kept is what is finished, whatever
        ends the run; several runs may fill the same cache. FeatureError where the cache cannot be written,
        and what the engine raises.
        """
        answers = [_identity(path) for path in recordings]
        wanted = {name: path for name, path in zip(answers, recordings, strict=True) if isinstance(name, str)}
        found: dict[str, StoredWindows | FileError] = {}
        for name in wanted:
            if (stored := self._stored(name)) is not None:
                found[name] = stored
        missing = {name: path for name, path in wanted.items() if name not in found}
        if missing:
            with self._reporting_trouble():
                self._prepare()
            with tqdm(
                total=len(wanted),
                initial=len(found),
                desc="features",
                unit=" clips",
                dynamic_ncols=True,
                file=sys.stderr,
                disable=quiet or not sys.stderr.isatty(),
            ) as bar:
                for name, result in self._compute(missing, options):
                    found[name] = result
                    bar.update()
        return tuple(
            answer if isinstance(answer, FileError) else _for_copy(found[answer], wanted[answer], path)
            for answer, path in zip(answers, recordings, strict=True)
        )

    def _compute(
        self, missing: dict[str, Path], options: EngineOptions
    ) -> Iterator[tuple[str, StoredWindows | FileError]]:
        # Every run takes its own order and looks again before each file: runs that share a cache share the
        # work, and none waits for another that may have been killed.
        names = list(missing)
        random.Random().shuffle(names)
        jobs = (Job(name, None if self._stored(name) else missing[name]) for name in names)
        heard = run(
            jobs,
            self.front.spec,
            functools.partial(FrontScorer, self.front, options.device),
            dataclasses.replace(options, coverage=self.front.coverage),
            change=self.front.variant,
        )
        with contextlib.closing(heard):
            for name, track in heard:
                if track is not None and track.error is not None:
                    yield name, track.error
                    continue
                if track is not None:
                    if track.state is None or track.state.audio_id != name:
                        yield name, FileError.of(changed_error(missing[name]))
                        continue
                    with self._reporting_trouble():
                        self._write(name, track.rows)
                stored = self._stored(name)
                if stored is None:
                    raise FeatureError(f"{self._path(name)}: gone as soon as it was written; start again")
                yield name, stored

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.npy"

    def _stored(self, name: str) -> StoredWindows | None:
        """The windows of a recording; None where there are none or the file was damaged."""
        path, shape = self._path(name), self.front.shape
        try:
            with path.open("rb") as file:
                major, _ = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0
                found, in_columns, dtype = read(file) if major == 1 else ((), False, np.dtype(np.void))
                offset, end = file.tell(), file.seek(0, os.SEEK_END)
        except (OSError, ValueError):
            return None
        whole = len(found) > 0 and end - offset == 4 * int(np.prod(found))
        if not whole or found[1:] != shape or in_columns or dtype != np.float32:
            return None
        return StoredWindows(path, offset, found[0], shape)

    def _write(self, name: str, rows: NDArray[np.float32]) -> None:
        """Put the file there in one step. Not synced: what a power cut leaves too short is made again."""
        path = self._path(name)
        path.parent.mkdir(exist_ok=True)
        # Written from memory: numpy's own writing to a file reports a full disk without saying so.
        content = io.BytesIO()
        np.lib.format.write_array(content, rows, version=(1, 0), allow_pickle=False)
        _replace(path, content.getvalue())

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        _replace(self.folder / DESCRIPTION, (self.front.describe() + "\n").encode())
        limit = time.time() - LEFT_OVER_SECONDS
        for left in self.folder.rglob(".*.tmp"):
            with contextlib.suppress(FileNotFoundError):  # another run may be as tidy
                if left.stat().st_mtime < limit:
                    left.unlink()

    @contextlib.contextmanager
    def _reporting_trouble(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FeatureError(
                f"{self.folder}: features cannot be kept there ({error.strerror}); free some space or set "
                "GENRETAG_HOME to a folder that has some"
            ) from error


def _for_copy(result: StoredWindows | FileError, decoded: Path, path: Path) -> StoredWindows | FileError:
    """Return the result of a recording for one of its files; an error then names this file."""
    if isinstance(result, StoredWindows) or decoded == path:
        return result
    return FileError(result.code, result.message.replace(one_line(decoded), one_line(path), 1))


def _identity(path: Path) -> str | FileError:
    try:
        return identify(path)
    except DecodeError as error:
        return FileError.of(error)
    except OSError as error:
        code = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        return FileError(code, f"{one_line(path)}: cannot be read ({error.strerror})")


def _replace(path: Path, content: bytes) -> None:
    with written_whole(path, durable=False) as file:
        file.write(content)
