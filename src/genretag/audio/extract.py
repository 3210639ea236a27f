"""Samples to features, as a torch module that runs on any device."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genretag.audio._torchaudio import torchaudio
from genretag.audio.features import CHROMA_BINS, FeatureSpec
from genretag.audio.statistics import statistics
from genretag.errors import FeatureError

HALF_MAX = 65504.0  # largest finite float16
DECIBEL_FLOOR = 1e-10  # librosa's amin for power_to_db
DECIBEL_RANGE = 80.0  # librosa's top_db
VGGISH_WINDOW = 400  # 25 ms at 16 kHz
VGGISH_OFFSET = 0.01
LARGEST_GAIN = 100.0  # 40 dB: what is quieter still is not music but noise


class Extractor(nn.Module):
    """Features of windows of samples, for the front end that a FeatureSpec describes.

    Takes float32 (windows, spec.window_samples) in -1..1 at spec.sample_rate, with the STFT context that
    FeatureSpec explains; gives float32 (windows, *spec.shape). FeatureError where the length does not fit or
    the kind is not computed here.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        self.spec = spec
        self.front = _front(spec)

    def forward(self, waves: Tensor) -> Tensor:
        if waves.ndim != 2 or waves.shape[1] != self.spec.window_samples:
            raise FeatureError(
                f"features {self.spec.kind}: windows of {self.spec.window_samples} samples are needed, "
                f"not {tuple(waves.shape)}"
            )
        # From version 2 on, the decoder has brought the whole track to the level.
        level = self.spec.level if self.spec.version == 1 else None
        features: Tensor = self.front(_raised(waves, level))
        return features


def _raised(waves: Tensor, level: float | None) -> Tensor:
    """Windows (windows, samples) brought up to an RMS of `level` dB; silence stays silence."""
    if level is None:
        return waves
    rms = waves.square().mean(dim=1, keepdim=True).sqrt()
    gain = (10 ** (level / 20) / rms.clamp(min=1e-9)).clamp(min=1.0, max=LARGEST_GAIN)
    return waves * gain


class MusicnnLogMel(nn.Module):
    """Log-mel of musicnn: power mel rounded to float16, then log10(10000 x + 1) in float32.

    Source: musicnn/extractor.py of musicnn 0.1.0, as numpy 1 computed it.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        self.mel = MelPower(spec)

    def forward(self, waves: Tensor) -> Tensor:
        mel = self.mel(waves).clamp(max=HALF_MAX)  # (windows, frames, mels)
        return torch.log10(10000.0 * mel.half().float() + 1.0)


class LogMel(nn.Module):
    """Mel power in decibels re 1, floored at -100 dB: librosa's power_to_db(ref=1, top_db=None)."""

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        self.mel = MelPower(spec)

    def forward(self, waves: Tensor) -> Tensor:
        return 10.0 * torch.log10(self.mel(waves).clamp(min=DECIBEL_FLOOR))


class Mfcc(nn.Module):
    """Mel-frequency cepstrum as librosa computes it: orthonormal DCT-II of the mel spectrogram in decibels.

    What is more than 80 dB below the window's loudest value is raised to that floor.
    """

    dct: Tensor

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        mels = _required(spec, spec.n_mels, "n_mels")
        coefficients = _required(spec, spec.n_coefficients, "n_coefficients")
        self.decibels = LogMel(spec)
        dct = torchaudio().functional.create_dct(coefficients, mels, "ortho")
        self.register_buffer("dct", dct, persistent=False)  # (mels, coefficients)

    def forward(self, waves: Tensor) -> Tensor:
        decibels = self.decibels(waves)  # (windows, frames, mels)
        floor = decibels.amax(dim=(1, 2), keepdim=True) - DECIBEL_RANGE
        return torch.maximum(decibels, floor) @ self.dct


class VggishLogMel(nn.Module):
    """Log-mel of VGGish: log(x + 0.01) of a mel magnitude spectrogram, 25 ms windows.

    Filters are triangles on the mel axis, not on the frequency axis. Source: mel_features.py of VGGish,
    https://github.com/tensorflow/models/tree/master/research/audioset/vggish
    """

    filters: Tensor

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        self.power = PowerSpectrum(spec, VGGISH_WINDOW)
        self.register_buffer("filters", _vggish_filters(spec), persistent=False)  # (bins, mels)

    def forward(self, waves: Tensor) -> Tensor:
        return torch.log(self.power(waves).sqrt() @ self.filters + VGGISH_OFFSET)


class Chroma(nn.Module):
    """Energy of the twelve pitch classes in each frame, the loudest of them 1: (windows, frames, 12).

    librosa's chroma_stft with tuning=0; its default guesses the tuning, and with it the filters, of every
    window anew.
    """

    filters: Tensor

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        # Costs a second to import and is needed by few models.
        from librosa.filters import chroma

        self.power = PowerSpectrum(spec, spec.n_fft)
        filters = chroma(sr=spec.sample_rate, n_fft=spec.n_fft, n_chroma=CHROMA_BINS, tuning=0.0)
        self.register_buffer("filters", torch.from_numpy(filters.T).contiguous(), persistent=False)

    def forward(self, waves: Tensor) -> Tensor:
        chroma: Tensor = self.power(waves) @ self.filters
        loudest = chroma.amax(dim=2, keepdim=True)
        # As librosa does, a silent frame is left as it is.
        return chroma / torch.where(loudest < torch.finfo(chroma.dtype).tiny, 1.0, loudest)


class FmaStatistics(nn.Module):
    """The 518 statistics of FMA: (windows, 518). Computed on the CPU."""

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, waves: Tensor) -> Tensor:
        # The statistics make their own context of zeros.
        lead = self.spec.lead_samples
        clips = waves.detach().cpu().numpy()[:, lead : self.spec.window_samples - lead]
        rows = np.stack([statistics(clip, self.spec) for clip in clips])
        return torch.from_numpy(rows).to(waves.device)


class MelPower(nn.Module):
    """Power mel spectrogram with Slaney's scale and norm, librosa's default: (windows, frames, mels)."""

    filters: Tensor

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        self.power = PowerSpectrum(spec, spec.n_fft)
        with warnings.catch_warnings():
            # The short-chunk networks have more bands than their short window tells apart; some stay empty.
            warnings.filterwarnings("ignore", message="At least one mel filterbank has all zero values")
            filters = torchaudio().functional.melscale_fbanks(
                n_freqs=spec.n_fft // 2 + 1,
                f_min=spec.f_min,
                f_max=_f_max(spec),
                n_mels=_required(spec, spec.n_mels, "n_mels"),
                sample_rate=spec.sample_rate,
                norm="slaney",
                mel_scale="slaney",
            )
        self.register_buffer("filters", filters, persistent=False)  # (bins, mels)

    def forward(self, waves: Tensor) -> Tensor:
        mel: Tensor = self.power(waves) @ self.filters
        return mel


class PowerSpectrum(nn.Module):
    """Power STFT, not centred, with a periodic Hann window amid each frame: (windows, frames, bins)."""

    window: Tensor

    def __init__(self, spec: FeatureSpec, length: int) -> None:
        super().__init__()
        self.n_fft, self.hop_length = spec.n_fft, spec.hop_length
        left = (spec.n_fft - length) // 2
        window = nn.functional.pad(torch.hann_window(length), (left, spec.n_fft - length - left))
        self.register_buffer("window", window, persistent=False)

    def forward(self, waves: Tensor) -> Tensor:
        frames = waves.unfold(-1, self.n_fft, self.hop_length)  # (windows, frames, n_fft)
        spectrum = torch.fft.rfft(frames * self.window)
        # As a sum over pairs of numbers this would be the slowest step of the front end.
        power: Tensor = spectrum.real.square().add_(spectrum.imag.square())
        return power


_FRONTS: dict[str, Any] = {
    "musicnn-logmel": MusicnnLogMel,
    "logmel": LogMel,
    "mfcc": Mfcc,
    "vggish-logmel": VggishLogMel,
    "chroma": Chroma,
    "fma-statistics": FmaStatistics,
}


def _front(spec: FeatureSpec) -> nn.Module:
    if spec.kind == "waveform":
        return nn.Identity()
    if spec.kind not in _FRONTS:
        raise FeatureError(f"features {spec.kind}: not computed from audio; give them with --features FILE")
    front: nn.Module = _FRONTS[spec.kind](spec)
    return front


def _f_max(spec: FeatureSpec) -> float:
    return spec.sample_rate / 2 if spec.f_max is None else spec.f_max


def _required(spec: FeatureSpec, value: int | None, name: str) -> int:
    if value is None:
        raise FeatureError(f"features {spec.kind}: {name} is missing")
    return value


def _vggish_filters(spec: FeatureSpec) -> Tensor:
    bins, mels = spec.n_fft // 2 + 1, _required(spec, spec.n_mels, "n_mels")
    pitch = _htk_mel(torch.linspace(0.0, spec.sample_rate / 2, bins, dtype=torch.float64))[:, None]
    low, high = (_htk_mel(torch.tensor(f, dtype=torch.float64)) for f in (spec.f_min, _f_max(spec)))
    edges = torch.linspace(float(low), float(high), mels + 2, dtype=torch.float64)
    rising = (pitch - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - pitch) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rising, falling).clamp(min=0.0)
    filters[0] = 0.0  # the zeroth bin carries no music
    return filters.float()


def _htk_mel(frequency: Tensor) -> Tensor:
    return 1127.0 * torch.log1p(frequency / 700.0)
