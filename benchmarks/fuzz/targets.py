"""What is given odd bytes: each reads them as genretag would, and may answer with a value or a GenretagError.

A target raises whatever else comes out, and AssertionError where an error is not one line. `seeds` are good
inputs to begin with. A target is called with the bytes and a path that it may use for a file.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as serialise

from benchmarks import sounds
from genretag import checkpoint
from genretag.audio import payload
from genretag.audio.features import FeatureSpec
from genretag.checkpoint import CheckpointMeta
from genretag.errors import FileError, GenretagError
from genretag.labels import LabelSet, canonical, lookup, parents, tag_labels
from genretag.tagging import tags
from genretag.tagging.genremap import load_map
from genretag.tagging.plan import Record, find_path, read_plan
from genretag.training.featurefile import read_features

Feed = Callable[[bytes, Path], None]


@dataclass(frozen=True)
class Target:
    """One reader of strangers' bytes."""

    feed: Feed
    seeds: Callable[[Path], Iterable[bytes]]


def feed(target: Target, content: bytes, path: Path) -> None:
    """Give one input; raises where the answer is neither a value nor a GenretagError in one line."""
    try:
        target.feed(content, path)
    except GenretagError as error:
        said = str(error)
    else:
        return
    assert "\n" not in said, f"an error of several lines: {said!r}"
    assert len(said) < 4000, f"an error of {len(said)} characters"


# Maps and plans


def _map(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    load_map(path).apply(("Rock", "Hip-Hop", "Heavy Metal"))


def _map_seeds(_folder: Path) -> Iterable[bytes]:
    yield b'drop = ["Pop"]\nallow = ["Rock"]\n[rename]\n"rap" = "Hip-Hop"\n[parents]\n"A" = ["Rock", "A"]\n'
    yield b'parents = true\nbroaden = true\nallow = ["rock"]\ndrop = "x"\n'
    yield b'a = 1979-05-27T07:32:00Z\nb = 0x1F\nc = """\nx"""\n[[d]]\ne = { f = inf }\n'


def _plan(content: bytes, _path: Path) -> None:
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors="replace")
    for record in read_plan(lines, "plan"):
        find_path(record.path)
        assert record.to_json().isprintable()


def _plan_seeds(_folder: Path) -> Iterable[bytes]:
    error = FileError("silent", "nothing to hear")
    scores = {"rock": 0.25, "jazz": 1.0}
    full = Record(
        Path("/m/caf\udce9 'x'.mp3"), "failed", ("A",), ("B", "C"), scores, "auto", 1.5, error, "ab"
    )
    yield full.to_json().encode() + b"\n" + b'{"path": "a.mp3", "genres": ["Jazz"]}\n'
    yield b'{"path": "\\ud800", "status": "unsure", "seconds": 1e999, "scores": {"a": 10000}}'


# What training reads


def _features(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    read_features(path, "gtzan")


def _arrays() -> dict[str, bytes]:
    arrays = {"X": np.ones((3, 2), np.float32), "Y": np.arange(3), "IDS": np.array(["a/a.00001.au"] * 3)}
    return {name: _npy(array) for name, array in arrays.items()}


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=(1, 0))
    return out.getvalue()


def _packed(parts: Iterable[bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, part in zip(("X", "Y", "IDS"), parts, strict=False):
            file.writestr(f"{name}.npy", part)
    return out.getvalue()


def _features_seeds(_folder: Path) -> Iterable[bytes]:
    yield _packed(_arrays().values())
    yield _packed(_arrays().values(), zipfile.ZIP_DEFLATED)
    yield _packed(_arrays().values(), zipfile.ZIP_LZMA)
    yield _arrays()["X"]


_BETWEEN = b"<->"


def _inside(content: bytes, path: Path) -> None:
    """The arrays of an npz, whose zip is right: checksums would keep every other damage out."""
    _features(_packed(content.split(_BETWEEN)), path)


def _inside_seeds(_folder: Path) -> Iterable[bytes]:
    yield _BETWEEN.join(_arrays().values())
    bytes_ids = {"IDS": _npy(np.array([b"a", b"b", b"c"])), "Y": _npy(np.eye(3))}
    yield _BETWEEN.join((_arrays() | bytes_ids).values())


def _table(content: bytes, path: Path) -> None:
    path = path.with_suffix(".csv")
    path.write_bytes(content[1:])
    read_features(path, "fma" if content[:1] == b"f" else "gtzan")


def _table_seeds(_folder: Path) -> Iterable[bytes]:
    yield b"gfilename,length,a,b,label\nblues.00000.wav,661794,1.5,2,blues\nblues.00001.3.wav,1,-9,2,blues\n"
    yield b"ffeature,mfcc,mfcc\nstatistics,mean,mean\nnumber,01,02\ntrack_id,,\n2,1.5,2.5\n3,0,-1\n"


# Checkpoints

_META = CheckpointMeta(
    name="small",
    preset="vgg",
    config={"filters": 4},
    features=FeatureSpec("logmel", 16000, 512, 256, frames=10, step_frames=5, n_mels=8, level=-20.0),
    labels=tag_labels(["rock", "happy"], ["rock"]),
    thresholds={"rock": 0.25},
    seed=3,
    scores={"accuracy": 0.5},
)


def _checkpoint(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    checkpoint.parameter_count(path)
    checkpoint.read_meta(path)
    checkpoint.load(path)


def _checkpoint_seeds(folder: Path) -> Iterable[bytes]:
    tensors = {
        "weight": torch.ones(2, 3),
        "count": torch.tensor(7),
        "half": torch.ones(4, dtype=torch.bfloat16),
    }
    checkpoint.save(folder / "seed.safetensors", _META, tensors)
    yield (folder / "seed.safetensors").read_bytes()
    yield serialise({"weight": torch.ones(2)}, {"genretag": _META.to_json()})


def _description(content: bytes, _path: Path) -> None:
    CheckpointMeta.from_json(content.decode("utf-8", "replace"), "here").to_json()


def _description_seeds(_folder: Path) -> Iterable[bytes]:
    yield _META.to_json().encode()


def _labels(content: bytes, _path: Path) -> None:
    text = content.decode("utf-8", "replace")
    for genre in (text, canonical(text)):
        lookup(genre)
        parents(genre)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    found = LabelSet.from_dict(document)
    assert LabelSet.from_dict(found.to_dict()) == found
    found.beside_broad()


def _labels_seeds(_folder: Path) -> Iterable[bytes]:
    levels = LabelSet(("a", "b", "c"), "multi", {"a": "Rock", "b": "Heavy Metal"}, ("a",), ("c",))
    yield json.dumps(levels.to_dict()).encode()
    yield "Rock 'n' Röll & drum n bass".encode()


# Music files


def _payload(content: bytes, path: Path) -> None:
    """Every content is taken: as its format, or else as one piece of bytes."""
    path.write_bytes(content)
    assert payload.identify(path) == payload.identify(path)
    payload.payload_digest(path)
    assert payload.same_payload(path, path)


def _tags(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    state = tags.read(path)
    if not state.taggable:
        return
    tags.write(path, ("Rock", "Żółć"), provenance="note")
    if tags.read(path).genres == ("Rock", "Żółć"):  # else the copy is thrown away
        tags.restore(path, state.raw)
        assert tags.read(path).genres == state.genres


def _ogg_seeds(folder: Path) -> Iterable[bytes]:
    return _encoded(folder, "ogg", "opus", "oga")


def _music_seeds(folder: Path) -> Iterable[bytes]:
    return _encoded(folder, "mp3-mono", "flac", "opus", "m4a-aac", "wma", "wv", "tta", "aiff", "wav", "dsf")


def _encoded(folder: Path, *kinds: str) -> Iterable[bytes]:
    samples = sounds.tune(7, 0.05)
    for kind in kinds:
        path = folder / f"seed{sounds.suffix(kind)}"
        sounds.encode(samples, path, kind)
        tags.write(path, ("Jazz",), provenance="note")
        content = path.read_bytes()
        yield content[:20_000]
        if kind == "mp3-mono":
            yield content + struct.pack("<8s4I8x", b"APETAGEX", 2000, 32, 0, 0) + b"TAG" + bytes(125)
            yield content + b"LYRICSBEGINLYR00003abc000022LYRICS200" + b"TAG" + bytes(125)


TARGETS = {
    "map": Target(_map, _map_seeds),
    "plan": Target(_plan, _plan_seeds),
    "features": Target(_features, _features_seeds),
    "arrays": Target(_inside, _inside_seeds),
    "table": Target(_table, _table_seeds),
    "checkpoint": Target(_checkpoint, _checkpoint_seeds),
    "description": Target(_description, _description_seeds),
    "labels": Target(_labels, _labels_seeds),
    "ogg": Target(_payload, _ogg_seeds),
    "payload": Target(_payload, _music_seeds),
    "tags": Target(_tags, _music_seeds),
}
