"""The extractor against musicnn's own log-mel and against librosa."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from genretag.audio.extract import Extractor
from genretag.audio.features import FeatureSpec, table_features
from genretag.errors import FeatureError

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
MUSICNN = FeatureSpec("musicnn-logmel", 16000, 512, 256, frames=187, step_frames=187, n_mels=96)
LOGMEL = FeatureSpec("logmel", 22050, 2048, 512, frames=130, step_frames=130, n_mels=128)
MFCC = replace(LOGMEL, kind="mfcc", n_coefficients=20)
CHROMA = replace(LOGMEL, kind="chroma", n_mels=None)
STATISTICS = FeatureSpec("fma-statistics", 44100, 2048, 512, frames=260, step_frames=260)
VGGISH = FeatureSpec(
    "vggish-logmel", 16000, 512, 160, frames=96, step_frames=96, n_mels=64, f_min=125.0, f_max=7500.0
)
HALF_STEP = 2.2e-4  # what one step of float16 is worth after log10


def music(spec: FeatureSpec, windows: int = 1) -> torch.Tensor:
    """A chord with a quiet beginning: neither silence nor noise alone."""
    time = torch.arange(spec.window_samples) / spec.sample_rate
    chord = sum(torch.sin(2 * torch.pi * note * time) for note in (220.0, 277.2, 1318.5, 5000.0))
    noise = torch.randn(windows, spec.window_samples, generator=torch.Generator().manual_seed(7))
    return (0.1 * chord * time.clamp(max=1.0) + 0.01 * noise).float()


@pytest.fixture(scope="module")
def synthetic() -> NDArray[np.float32]:
    samples, rate = soundfile.read(FIXTURES / "synthetic.wav", dtype="float32")
    assert rate == MUSICNN.sample_rate
    return samples


def test_windows_equal_the_original_log_mel(synthetic: NDArray[np.float32]) -> None:
    with np.load(FIXTURES / "reference_synthetic.npz") as reference:
        expected = reference["logmel|synthetic.wav"][: 4 * 187].reshape(4, 187, 96)
    track = np.pad(synthetic, (MUSICNN.lead_samples, MUSICNN.window_samples))
    waves = np.stack([track[k * MUSICNN.step_samples :][: MUSICNN.window_samples] for k in range(4)])
    found = Extractor(MUSICNN)(torch.from_numpy(waves)).numpy()
    difference = np.abs(found - expected)
    assert difference.max() < 2 * HALF_STEP  # a float16 rounds up here and down there
    assert (difference > 1e-5).mean() < 0.01


def test_clipped_sound_stays_finite() -> None:
    # Beyond the largest float16 the original overflows.
    assert Extractor(MUSICNN)(1000 * music(MUSICNN)).isfinite().all()


def test_logmel_equals_librosa() -> None:
    wave = music(LOGMEL)
    mel = librosa.feature.melspectrogram(
        y=wave[0].numpy(), sr=22050, n_fft=2048, hop_length=512, n_mels=128, center=False
    )
    expected = librosa.power_to_db(mel, ref=1.0, top_db=None)
    np.testing.assert_allclose(Extractor(LOGMEL)(wave)[0].numpy().T, expected, atol=2e-3)


def test_mfcc_equals_librosa() -> None:
    wave = music(MFCC)
    expected = librosa.feature.mfcc(
        y=wave[0].numpy(), sr=22050, n_mfcc=20, n_fft=2048, hop_length=512, center=False
    )
    np.testing.assert_allclose(Extractor(MFCC)(wave)[0].numpy().T, expected, atol=1e-2)


def test_mfcc_of_one_window_does_not_depend_on_its_neighbours() -> None:
    quiet_and_loud = torch.cat([0.001 * music(MFCC), music(MFCC)])
    extractor = Extractor(MFCC)
    torch.testing.assert_close(extractor(quiet_and_loud)[:1], extractor(quiet_and_loud[:1]))


def test_thirteen_coefficients_of_three_seconds_equal_librosa() -> None:
    # As the GTZAN reports cut them: 130 frames of a centred STFT, of which this window holds the samples.
    spec = replace(MFCC, n_coefficients=13)
    wave = music(spec)
    expected = librosa.feature.mfcc(
        y=wave[0].numpy(), sr=22050, n_mfcc=13, n_fft=2048, hop_length=512, center=False
    )
    found = Extractor(spec)(wave)[0].numpy()
    assert found.shape == (130, 13)
    np.testing.assert_allclose(found.T, expected, atol=1e-2)


def test_chroma_equals_librosa_at_concert_pitch() -> None:
    wave = music(CHROMA)
    expected = librosa.feature.chroma_stft(
        y=wave[0].numpy(), sr=22050, n_fft=2048, hop_length=512, center=False, tuning=0.0
    )
    found = Extractor(CHROMA)(wave)[0].numpy()
    np.testing.assert_allclose(found.T, expected, atol=1e-4)


def test_chroma_of_silence_is_silent() -> None:
    assert torch.equal(Extractor(CHROMA)(torch.zeros(1, CHROMA.window_samples)), torch.zeros(1, 130, 12))


def test_more_bands_than_bins_say_nothing_about_it() -> None:
    spec = FeatureSpec("logmel", 16000, 512, 256, frames=231, step_frames=231, n_mels=128)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = Extractor(spec)(music(spec))
    assert features.isfinite().all()


def test_vggish_follows_its_published_formula() -> None:
    wave = music(VGGISH)
    # Frame 5 by hand: 400 samples amid the frame's 512, padded to 512, magnitude, filters, log.
    samples = wave[0, 5 * 160 + 56 :][:400].double().numpy() * np.hanning(401)[:-1]
    magnitude = np.abs(np.fft.rfft(samples, 512))
    pitch = 1127 * np.log(1 + np.linspace(0, 8000, 257) / 700)
    edges = np.linspace(*(1127 * np.log(1 + np.array([125.0, 7500.0]) / 700)), 66)
    filters = [np.interp(pitch, edges[k : k + 3], [0, 1, 0]) for k in range(64)]
    expected = np.log(np.array(filters) @ magnitude + 0.01)
    np.testing.assert_allclose(Extractor(VGGISH)(wave)[0, 5].numpy(), expected, atol=1e-4)


def test_waveform_is_handed_through() -> None:
    spec = FeatureSpec("waveform", 22050, 1, 1, frames=1000, step_frames=1000)
    wave = music(spec)
    assert torch.equal(Extractor(spec)(wave), wave)


@pytest.mark.parametrize(
    "spec", [MUSICNN, LOGMEL, MFCC, VGGISH, CHROMA, STATISTICS], ids=lambda spec: spec.kind
)
def test_features_have_the_shape_that_the_record_says(spec: FeatureSpec) -> None:
    assert Extractor(spec)(music(spec, windows=2)).shape == (2, *spec.shape)


def test_other_lengths_and_kinds_are_refused() -> None:
    with pytest.raises(FeatureError, match="48128"):
        Extractor(MUSICNN)(torch.zeros(1, 48000))
    with pytest.raises(FeatureError, match=r"table: .*--features"):
        Extractor(table_features(57))
    with pytest.raises(FeatureError, match="n_mels"):
        Extractor(replace(MUSICNN, n_mels=None))


def test_quiet_windows_are_raised_to_the_level_and_others_left() -> None:
    waves = music(MUSICNN, 2)
    loud = waves / waves.square().mean(dim=1, keepdim=True).sqrt() * 10 ** (-20 / 20)
    plain, raised = Extractor(MUSICNN), Extractor(replace(MUSICNN, level=-30.0))
    torch.testing.assert_close(raised(loud), plain(loud), atol=0, rtol=0)
    # 40 dB down is -60 dB; at -30 dB it is what 10 dB down would have been.
    torch.testing.assert_close(raised(loud * 10**-2), plain(loud * 10**-0.5), atol=2 * HALF_STEP, rtol=0)
    # Silence and the faintest noise do not become music.
    silence = torch.zeros_like(loud)
    torch.testing.assert_close(raised(silence), plain(silence), atol=0, rtol=0)
    torch.testing.assert_close(raised(loud * 10**-5), plain(loud * 10**-3), atol=2 * HALF_STEP, rtol=0)
