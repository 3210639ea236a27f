"""musicnn 0.1.0 over many files, timed; run by the Python of an environment that has it, see the README.

    musicnn-venv/bin/python -P benchmarks/musicnn_peer.py plain FILE...
    musicnn-venv/bin/python -P benchmarks/musicnn_peer.py kept FILE...
    musicnn-venv/bin/python -P benchmarks/musicnn_peer.py plain --reference NPZ FILE...

plain: its own `extractor`, which builds the graph and loads the weights anew for every file. kept: the same
steps with one graph and one session for all files. Prints one JSON object; with a reference (taggrams by
"MSD_musicnn|name.flac") also the greatest difference of a window's score from it. -P keeps Python from taking
modules beside this script for libraries.

Nothing of the installation is changed. One line of it is computed in float32, as it was with numpy 1: newer
versions keep it in float16, which overflows, and every file gets the same tags.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
import types
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

STARTED = time.perf_counter()
# musicnn prints; standard output is for the answer.
with contextlib.redirect_stdout(sys.stderr):
    import librosa
    import numpy as np
    import tensorflow as tf
    from musicnn import configuration, extractor, models

MODEL = "MSD_musicnn"
SECONDS = 3
Taggram = Any


def repair() -> None:
    """Let `extractor.batch_data` round the mel spectrogram to float16 but take its logarithm in float32."""
    original = librosa.feature.melspectrogram

    def rounded(**arguments: Any) -> Any:
        return original(**arguments).astype(np.float16).astype(np.float32)

    librosa.feature.melspectrogram = rounded
    extractor.np = types.SimpleNamespace(**{**vars(np), "float16": np.float32})


def plain() -> Callable[[str], Taggram]:
    """The package's own way."""

    def analyse(path: str) -> Taggram:
        taggram, _ = extractor.extractor(path, MODEL, input_length=SECONDS, extract_features=False)
        return taggram

    return analyse


def kept() -> Callable[[str], Taggram]:
    """What `extractor.extractor` does, with the graph and the weights kept from file to file."""
    sizes = {"sr": configuration.SR, "hop_length": configuration.FFT_HOP, "n_fft": configuration.FFT_SIZE}
    frames = int(librosa.time_to_frames(SECONDS, **sizes)) + 1
    with tf.name_scope("model"):
        x = tf.compat.v1.placeholder(tf.float32, [None, frames, configuration.N_MELS])
        training = tf.compat.v1.placeholder(tf.bool)
        logits = models.define_model(x, training, MODEL, len(configuration.MSD_LABELS))[0]
        scores = tf.nn.sigmoid(logits)
    session = tf.compat.v1.Session()
    tf.compat.v1.train.Saver().restore(session, f"{Path(extractor.__file__).parent}/{MODEL}/")

    def analyse(path: str) -> Taggram:
        batch, _ = extractor.batch_data(path, frames, frames)
        size = configuration.BATCH_SIZE
        parts = [batch[first : first + size] for first in range(0, len(batch), size)]
        return np.concatenate([session.run(scores, {x: part, training: False}) for part in parts])

    return analyse


def processor_time() -> float:
    """Seconds of this process, all its threads, and of the decoders that it started."""
    return sum(os.times()[:4])


def run(analyse: Callable[[str], Taggram], path: str, reference: dict[str, Taggram]) -> dict[str, Any]:
    """Seconds, windows and mean scores of one file, or its error."""
    start, busy = time.perf_counter(), processor_time()
    try:
        taggram = analyse(path)
    except Exception as error:  # noqa: BLE001  its decoders raise anything
        return {"path": path, "error": f"{type(error).__name__}: {error}"}
    answer = {
        "path": path,
        "seconds": time.perf_counter() - start,
        "processor_seconds": processor_time() - busy,
        "windows": len(taggram),
        "scores": dict(zip(configuration.MSD_LABELS, taggram.mean(axis=0).tolist(), strict=True)),
    }
    known = reference.get(f"{MODEL}|{Path(path).name}")
    if known is not None:
        answer["difference"] = float(np.abs(taggram - known).max())
    return answer


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variant", choices=("plain", "kept"))
    parser.add_argument("files", nargs="+")
    parser.add_argument("--reference", help="npz of known taggrams")
    options = parser.parse_args()
    reference = dict(np.load(options.reference)) if options.reference else {}
    with contextlib.redirect_stdout(sys.stderr):
        repair()
        analyse = {"plain": plain, "kept": kept}[options.variant]()
        loaded = time.perf_counter() - STARTED
        files = [run(analyse, path, reference) for path in options.files]
    versions = {name: metadata.version(name) for name in ("musicnn", "tensorflow", "librosa", "numpy")}
    print(json.dumps({"versions": versions, "load_seconds": loaded, "files": files}))


if __name__ == "__main__":
    main()
