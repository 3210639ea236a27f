"""What a model hears: the numbers that turn samples into features, as a pure record (no torch)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from genretag.errors import FeatureError

KINDS = ("musicnn-logmel", "logmel", "mfcc", "chroma", "waveform", "vggish-logmel", "fma-statistics", "table")
CHROMA_BINS = 12
VERSIONS = (1, 2)
LATER = {"level": None, "version": 1}  # fields that older records lack, and their values there
# No model hears an hour at once; a stranger's checkpoint may say so, and would fill the memory.
MAX_SIZE = 1 << 26
FMA_STATISTICS = 518  # 74 series x (mean, std, skew, kurtosis, median, min, max)


@dataclass(frozen=True)
class FeatureSpec:
    """One front end and the window it is cut into.

    `frames` is the length of one window in frames and `step_frames` the distance between the starts of
    consecutive windows at full coverage. Frequencies are in Hz; `f_max` None means half the sample rate.
    A waveform is described with n_fft = hop_length = 1, so that its frames are samples. A table is not
    computed from audio: its rows come from a features file, with n_coefficients columns.

    `version` is that of the front end between the decoded samples and the features, part of the key under
    which scores are cached. Version 1 takes samples as they are or, with `level`, raises each window whose
    RMS is below so many dB re full scale to it. Version 2 applies one gain to the whole track, so that its
    loud parts have an RMS of `level`, removes DC offsets, and leaves silence out.

    Window k starts nominally at sample k * step_samples; what must be decoded for it begins `lead_samples`
    earlier (zeros outside the track) and is `window_samples` long. The un-centred STFT of these samples
    then equals the same frames of the centred STFT of the whole track.
    """

    kind: str
    sample_rate: int
    n_fft: int
    hop_length: int
    frames: int
    step_frames: int
    n_mels: int | None = None
    n_coefficients: int | None = None
    f_min: float = 0.0
    f_max: float | None = None
    level: float | None = None
    version: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise FeatureError(f"unknown features {self.kind!r}; known: {', '.join(KINDS)}")
        if self.version not in VERSIONS:
            raise FeatureError(
                f"features {self.kind}: front end version {self.version} is unknown; update genretag"
            )
        if self.version > 1 and self.level is None:
            raise FeatureError(f"features {self.kind}: front end version {self.version} needs a level")
        sizes = (self.sample_rate, self.n_fft, self.hop_length, self.frames, self.step_frames)
        all_sizes = [size for size in (*sizes, self.n_mels, self.n_coefficients) if size is not None]
        if min(all_sizes) < 1:
            raise FeatureError(f"features {self.kind}: every size must be at least 1")
        if max(*all_sizes, self.window_samples, self.frames * (self.n_mels or 1)) > MAX_SIZE:
            raise FeatureError(f"features {self.kind}: a size or a window is larger than {MAX_SIZE:,}")

    @property
    def window_samples(self) -> int:
        """Samples that one window needs, STFT context included."""
        return (self.frames - 1) * self.hop_length + self.n_fft

    @property
    def lead_samples(self) -> int:
        """Samples of context before the window's nominal start."""
        return self.n_fft // 2

    @property
    def step_samples(self) -> int:
        """Samples between the nominal starts of consecutive windows at full coverage."""
        return self.step_frames * self.hop_length

    @property
    def window_seconds(self) -> float:
        """Nominal length of one window in seconds."""
        return self.frames * self.hop_length / self.sample_rate

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one window: (frames, mels or coefficients), (samples,), (statistics,) or (columns,)."""
        if self.kind == "waveform":
            return (self.frames,)
        if self.kind == "fma-statistics":
            return (FMA_STATISTICS,)
        if self.kind == "chroma":
            return (self.frames, CHROMA_BINS)
        width = self.n_coefficients if self.kind in ("mfcc", "table") else self.n_mels
        if width is None:
            raise FeatureError(f"features {self.kind}: the number of mels or coefficients is missing")
        return (width,) if self.kind == "table" else (self.frames, width)

    def to_dict(self) -> dict[str, Any]:
        # Without the later fields a record is as it was before they existed.
        return {k: v for k, v in asdict(self).items() if k not in LATER or v != LATER[k]}

    def cache_key(self, coverage: object) -> str:
        """Return the key of a coverage in the cache of scores: with the front end's version, if not 1."""
        return str(coverage) if self.version == 1 else f"{coverage} v{self.version}"

    @classmethod
    def from_dict(cls, document: object) -> FeatureSpec:
        """The record that `to_dict` wrote; FeatureError on anything else."""
        names = {field.name for field in fields(cls)}
        if not isinstance(document, dict) or not names - set(LATER) <= set(document) <= names:
            raise FeatureError("features: the record does not have the expected keys")
        for name, value in document.items():
            if not _fits(name, value):
                raise FeatureError(f"features: {name} cannot be {value!r}")
        return cls(**document)


def table_features(columns: int) -> FeatureSpec:
    """The front end of a model that is trained on a features file: it cannot be computed from audio."""
    return FeatureSpec("table", 1, n_fft=1, hop_length=1, frames=1, step_frames=1, n_coefficients=columns)


def _fits(name: str, value: object) -> bool:
    if name == "kind":
        return isinstance(value, str)
    if value is None:
        return name in ("n_mels", "n_coefficients", "f_max", "level")
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) if name in ("f_min", "f_max", "level") else isinstance(value, int)
