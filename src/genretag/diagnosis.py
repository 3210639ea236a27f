"""Checks of an installation: libraries, a decode, devices, models and the folders of genretag."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genretag import __version__
from genretag.errors import GenretagError

# Python versions that the metadata of the package allow.
PYTHONS = ((3, 11), (3, 14))  # the first and the last, as in pyproject.toml
LIBRARIES = ("av", "librosa", "mutagen", "numpy", "scipy", "scikit-learn", "soundfile", "torch", "torchaudio")
EXTRAS = {"tune": "optuna", "cluster": "ray", "remote": "s3fs", "beets": "beets"}


@dataclass(frozen=True)
class Check:
    """Result of one check: its name, whether it passed, and details."""

    name: str
    ok: bool
    found: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record of `doctor --json`."""
        return asdict(self)


def diagnose() -> list[Check]:
    """Run all checks; one that raises counts as failed."""
    checks = [_system(), _libraries(), *_extras()]
    for name, check in (
        ("decoding", _decoding),
        ("devices", _devices),
        ("models", _models),
        ("default model", _default_model),
        ("store", _store),
        ("temporary files", _temporary),
    ):
        checks.append(_guarded(name, check))
    return checks


def _guarded(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except (GenretagError, OSError, ImportError, RuntimeError, ValueError) as error:
        return Check(name, False, " ".join(str(error).split()) or type(error).__name__)


def _system() -> Check:
    ok = PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[-1]
    found = f"genretag {__version__}, Python {platform.python_version()}, {platform.platform()}"
    wanted = " to ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    return Check("system", ok, found if ok else f"{found}; Python {wanted} is supported")


def _libraries() -> Check:
    versions, missing = [], []
    for name in LIBRARIES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    found = ", ".join(versions)
    return Check("libraries", not missing, f"missing: {', '.join(missing)}; {found}" if missing else found)


def _extras() -> Iterator[Check]:
    for extra, name in EXTRAS.items():
        try:
            found = f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            found = "not installed (optional)"
        yield Check(f"extra {extra}", True, found)


def _decoding() -> str:
    """Encode a second of sound as FLAC and as mp3, and decode both."""
    import av
    import numpy as np

    from genretag.audio.sources import AvSource

    wave = np.sin(np.arange(16000) * 0.1, dtype=np.float32)[None]
    done = []
    with tempfile.TemporaryDirectory(prefix="genretag-doctor-") as folder:
        for codec, suffix, form in (("flac", ".flac", "s16"), ("libmp3lame", ".mp3", "s16p")):
            if codec not in av.codecs_available:
                continue
            path = Path(folder) / f"sound{suffix}"
            with av.open(str(path), "w") as container:
                stream = container.add_stream(codec, rate=16000, layout="mono", format=form)
                frame = av.AudioFrame.from_ndarray((wave * 2**14).astype(np.int16), form, "mono")
                frame.sample_rate = 16000
                container.mux([*stream.encode(frame), *stream.encode(None)])
            source = AvSource(path)
            samples = sum(len(block) for _, block in source.blocks())
            source.close()
            if samples < 15000:
                raise RuntimeError(f"{suffix}: {samples} of 16000 samples were decoded")
            done.append(suffix[1:])
    return f"{', '.join(done)}; FFmpeg {av.ffmpeg_version_info}"


def _devices() -> str:
    import torch

    cuda = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    others = ["mps"] if torch.backends.mps.is_available() else []
    names = ["cpu", *(f"cuda:{number} ({name})" for number, name in enumerate(cuda)), *others]
    return f"{', '.join(names)}; {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def _models() -> str:
    from genretag import checkpoint

    shipped = checkpoint.shipped()
    for path in shipped.values():
        checkpoint.read_meta(path)
    return ", ".join(shipped)


def _default_model() -> str:
    """Load `auto` and score a window of noise with it."""
    import numpy as np

    from genretag import checkpoint
    from genretag.predict.score import Scorer

    model = checkpoint.load(checkpoint.resolve("auto"))
    scorer = Scorer(model, "cpu")
    noise = np.random.default_rng(0).normal(size=(1, model.meta.features.window_samples)).astype(np.float32)
    with scorer.lane():
        scores = scorer.track(scorer.score(noise))
    if not np.isfinite(scores).all():
        raise RuntimeError("its scores are not finite numbers")
    return f"auto, {len(model.meta.labels)} labels"


def _store() -> str:
    from genretag.store import Store, home

    with Store.open() as store:
        if store.warning:
            raise RuntimeError(store.warning)
    return str(home())


def _temporary() -> str:
    with tempfile.NamedTemporaryFile(prefix="genretag-doctor-"):
        return tempfile.gettempdir()
