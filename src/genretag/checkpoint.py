"""Self-describing weights: one safetensors file whose metadata rebuilds the model; nothing in it is run.

Reading the metadata does not import torch.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from genretag import __version__
from genretag.audio.features import FeatureSpec
from genretag.errors import CheckpointError, FeatureError
from genretag.files import put_in_place
from genretag.labels import LabelSet
from genretag.store import home

if TYPE_CHECKING:
    import torch

FORMAT_VERSION = 1
SUFFIX = ".safetensors"
_KEY = "genretag"
# Tensors of a frozen encoder, in a model that is a head on one.
ENCODER_PREFIX = "base."
# Tensors that are measured on the training set and not trained.
_MEASURED = (
    *(".running_mean", ".running_var", ".num_batches_tracked"),
    *("standardise.mean", "standardise.scale"),
)


@dataclass(frozen=True)
class CheckpointMeta:
    """Everything about a model but its tensors.

    `config` are the arguments of the preset's architecture. `thresholds` are calibrated scores per label,
    compared with probabilities after `temperature` has divided the logits; labels without one have no entry.
    `aggregation` says how windows become a track: by the "mean" of their scores, or by the "head" of a model
    of whole tracks. `normalisation` says where features are scaled: "in-model" means by the model's own first
    layer. `tensors_sha256` is filled in by `save`.
    """

    name: str
    preset: str
    config: dict[str, Any]
    features: FeatureSpec
    labels: LabelSet
    aggregation: str = "mean"
    normalisation: str = "in-model"
    thresholds: dict[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    dataset: str | None = None
    split: str | None = None
    split_hash: str | None = None
    seed: int | None = None
    scores: dict[str, Any] = field(default_factory=dict)
    package_version: str = __version__
    licence: str = ""
    origin: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    tensors_sha256: str = ""

    def to_json(self) -> str:
        """One line of JSON with sorted keys: the same record always gives the same bytes."""
        document = {item.name: getattr(self, item.name) for item in fields(self)}
        document |= {
            "features": self.features.to_dict(),
            "labels": self.labels.to_dict(),
            "format": FORMAT_VERSION,
        }
        return json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> CheckpointMeta:
        """The record that `to_json` wrote; for anything else a CheckpointError that names `where`."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise CheckpointError(f"{where}: its description is not JSON; the file is damaged") from None
        if not isinstance(document, dict):
            raise CheckpointError(f"{where}: its description is not a JSON object; the file is damaged")
        version = document.pop("format", None)
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{where}: checkpoint format {version!r}, this genretag reads {FORMAT_VERSION}; "
                "use the genretag that wrote it"
            )
        if odd := set(document) ^ set(_CHECKS):
            raise CheckpointError(f"{where}: {sorted(odd)[0]!r} is missing or unknown in its description")
        try:
            document["features"] = FeatureSpec.from_dict(document["features"])
            document["labels"] = LabelSet.from_dict(document["labels"])
        except (FeatureError, CheckpointError) as error:
            raise CheckpointError(f"{where}: {error}") from None
        for name, fits in _CHECKS.items():
            if not fits(document[name]):
                raise CheckpointError(f"{where}: {name} cannot be {document[name]!r}"[:300])
        if stray := set(document["thresholds"]) - set(document["labels"].names):
            raise CheckpointError(f"{where}: a threshold for {sorted(stray)[0]!r}, which is no label")
        return cls(**document)


@dataclass(frozen=True)
class Checkpoint:
    """A description with its tensors, on the CPU."""

    meta: CheckpointMeta
    state: dict[str, torch.Tensor]
    path: Path | None = None


def read_meta(path: Path) -> CheckpointMeta:
    """Description of a checkpoint, from the head of the file; CheckpointError where it is none."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from None
    if _KEY not in metadata:
        raise CheckpointError(f"{path}: a safetensors file, but none that genretag train made; give one")
    return CheckpointMeta.from_json(metadata[_KEY], str(path))


def parameter_count(path: Path) -> int:
    """Return the number of trained parameters, without statistics of batch norm and standardisation."""
    try:
        with safe_open(path, framework="numpy") as file:
            trained = [name for name in file.keys() if not name.endswith(_MEASURED)]  # noqa: SIM118
            return sum(math.prod(file.get_slice(name).get_shape()) for name in trained)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from None


def file_hash(path: Path) -> str:
    """SHA-256 of the file in hex: what the score cache knows a model by."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None


def encoder_hash(path: Path) -> str | None:
    """Return what the store knows the output of a frozen encoder by, in hex; None for a model without one.

    Models whose heads are on the same encoder, with the same front end, have the same hash.

    Raises:
        CheckpointError: The file cannot be read.
    """
    meta = read_meta(path)
    if meta.aggregation != "head":
        return None
    parts = {name: meta.config.get(name) for name in ("base_preset", "base_config", "base_labels")}
    digest = hashlib.sha256(json.dumps([parts, meta.features.to_dict()], sort_keys=True).encode())
    try:
        with safe_open(path, framework="numpy") as file:
            for name in sorted(file.keys()):
                if name.startswith(ENCODER_PREFIX):
                    tensor = file.get_tensor(name)
                    digest.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
                    digest.update(tensor.tobytes())
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from None
    return digest.hexdigest()


def load(path: Path) -> Checkpoint:
    """Description and tensors; CheckpointError in one line where either is missing or damaged."""
    from safetensors.torch import load_file

    meta = read_meta(path)
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from None
    if _tensor_hash(state) != meta.tensors_sha256:
        raise CheckpointError(f"{path}: its tensors are not those that were saved; get the file again")
    return Checkpoint(meta, state, path)


def save(path: Path, meta: CheckpointMeta, state: Mapping[str, torch.Tensor]) -> None:
    """Write a checkpoint: a crash leaves the old file or the new one, the same input gives the same bytes."""
    from safetensors.torch import save as serialise

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    meta = replace(meta, tensors_sha256=_tensor_hash(tensors))
    text = meta.to_json()
    CheckpointMeta.from_json(text, str(path))  # what cannot be read back must not be written
    content = serialise(tensors, {_KEY: text})
    try:
        put_in_place(path, content)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror}); choose another folder"
        ) from None


def shipped() -> dict[str, Path]:
    """Checkpoints that come with the package, by name."""
    package = Path(__file__).resolve().parent
    # An installed package carries its weights; an editable one finds those of the checkout.
    for folder in (package / "weights", package.parents[1] / "weights"):
        if found := sorted(folder.glob(f"*{SUFFIX}")):
            return {path.name.removesuffix(SUFFIX): path for path in found}
    return {}


def own_folder() -> Path:
    """Where a person's own models are kept, each as its name and SUFFIX; it need not exist."""
    return home() / "models"


def own() -> dict[str, Path]:
    """Checkpoints that a person made with `genretag learn`, by name."""
    return {path.name.removesuffix(SUFFIX): path for path in sorted(own_folder().glob(f"[!.]*{SUFFIX}"))}


def resolve(name_or_file: str) -> Path:
    """File of a name, shipped or one's own, or of a path; CheckpointError with near names where none is."""
    known = own() | shipped()
    if name_or_file in known:
        return known[name_or_file]
    path = Path(name_or_file).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise CheckpointError(f"{name_or_file}: a folder; give the {SUFFIX} file in it")
    near = difflib.get_close_matches(name_or_file, known, n=3, cutoff=0.4) or sorted(known)
    raise CheckpointError(f"no model or file named {name_or_file!r}; models: {', '.join(near) or 'none'}")


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    if isinstance(error, FileNotFoundError):
        return CheckpointError(f"{path}: no such file; see: genretag models")
    if isinstance(error, OSError) and error.strerror:
        return CheckpointError(f"{path}: cannot be read ({error.strerror}); check its permissions")
    return CheckpointError(f"{path}: not a whole safetensors file; get it again")


def _tensor_hash(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and values: safetensors itself does not notice changed values."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: _is_text(value) and value != "",
    "preset": _is_text,
    "config": _is_object,
    "features": lambda value: isinstance(value, FeatureSpec),
    "labels": lambda value: isinstance(value, LabelSet),
    "aggregation": lambda value: value in ("mean", "head"),
    "normalisation": _is_text,
    "thresholds": lambda value: _is_object(value) and all(map(_is_number, value.values())),
    "temperature": lambda value: _is_number(value) and value > 0,
    "dataset": _is_text_or_none,
    "split": _is_text_or_none,
    "split_hash": _is_text_or_none,
    "seed": lambda value: value is None or (isinstance(value, int) and not isinstance(value, bool)),
    "scores": _is_object,
    "package_version": _is_text,
    "licence": _is_text,
    "origin": _is_text,
    "extra": _is_object,
    "tensors_sha256": _is_text,
}
