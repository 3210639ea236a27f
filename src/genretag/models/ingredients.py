"""What presets share: front ends, recipes, search spaces, and how their authors measured. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from genretag.audio.features import FeatureSpec
from genretag.models.records import Choice, LogRange, Pretrained, Published, Range, Recipe, Start

Space = Mapping[str, Choice | Range | LogRange]

MUSICNN_FEATURES = FeatureSpec(
    "musicnn-logmel", 16000, n_fft=512, hop_length=256, frames=187, step_frames=187, n_mels=96
)
# 130 frames of 3 s; steps of 128 cut ten windows from a 30 s clip, as published.
MFCC_3S = FeatureSpec(
    "mfcc", 22050, n_fft=2048, hop_length=512, frames=130, step_frames=128, n_mels=128, n_coefficients=13
)
MFCC_CLIP = replace(MFCC_3S, frames=1279, step_frames=1279)  # 29.7 s
LOGMEL_CLIP = replace(MFCC_CLIP, kind="logmel", n_coefficients=None)
CHROMA_10S = FeatureSpec("chroma", 22050, n_fft=2048, hop_length=512, frames=430, step_frames=430)
WAVEFORM_3S = FeatureSpec("waveform", 22050, n_fft=1, hop_length=1, frames=66150, step_frames=66150)
FMA_STATISTICS = FeatureSpec(
    "fma-statistics", 44100, n_fft=2048, hop_length=512, frames=2583, step_frames=2583
)
VGGISH_FEATURES = FeatureSpec(
    "vggish-logmel",
    16000,
    n_fft=512,
    hop_length=160,
    frames=96,
    step_frames=96,
    n_mels=64,
    f_min=125.0,
    f_max=7500.0,
)
SHORT_CHUNK_FEATURES = FeatureSpec(
    "logmel", 16000, n_fft=512, hop_length=256, frames=231, step_frames=231, n_mels=128
)

MUSICNN_RECIPE = Recipe(
    optimiser="adam",
    learning_rate=1e-3,
    batch_size=32,
    epochs=600,
    weight_decay=1e-5,
    schedule="halve-on-plateau",
    schedule_options={"patience": 75},
)
SEGMENT_RECIPE = Recipe(
    optimiser="rmsprop",
    learning_rate=1e-3,
    batch_size=64,
    epochs=70,
    schedule="cyclic",
    schedule_options={"period": 2, "floor": 0.01},
    patience=20,
)
KOSTRZEWA_RECIPE = Recipe(
    optimiser="adam",
    learning_rate=1e-3,
    batch_size=32,
    epochs=50,
    augmentation={"spec-augment": {"frequency": 27, "time": 100}},
)
RESNET_RECIPE = Recipe(optimiser="adam", learning_rate=1e-4, batch_size=64, epochs=50)

STARTS: tuple[Start, ...] = ("scratch", "fine-tune", "frozen")
LEARNING_RATES = Choice((1e-2, 1e-3, 1e-4))
DROPOUTS = Choice((0.2, 0.25, 0.5))
MUSICNN_SEARCH: Space = {
    "learning_rate": LogRange(1e-4, 1e-2),
    "weight_decay": LogRange(1e-6, 1e-3),
    "dropout": DROPOUTS,
}
RECURRENT_SEARCH: Space = {
    "hidden": Range(64, 512, 64),
    "layers": Range(1, 3),
    "dropout": Choice((0.0, 0.2, 0.25, 0.5)),
    "learning_rate": LEARNING_RATES,
}
KOSTRZEWA_SEARCH: Space = {
    "kernel": Range(3, 6),
    **{f"filters.{layer}": Range(32, 256) for layer in range(4)},
    "dropout": DROPOUTS,
    "learning_rate": LEARNING_RATES,
}
RESNET_SEARCH: Space = {"size": Choice((64, 128, 224)), "learning_rate": LogRange(1e-5, 1e-3)}
# The grid that the FMA report searched.
GRID = {"c": (0.01, 0.1, 1.0, 10.0), "gamma": (1e-2, 1e-3, 1e-4), "alpha": (0.01, 0.03, 0.05)}
SVM_SEARCH: Space = {"c": LogRange(1e-2, 1e2), "gamma": LogRange(1e-5, 1e-1)}
IMAGENET_SEARCH: Space = {
    **SVM_SEARCH,
    "head": Choice(("svm-rbf", "svm-linear", "mlp")),
    "alpha": Choice((0.01, 0.03, 0.05)),
    "variance": Choice((0.9, 0.95, 0.99)),
}

GTZAN_REPORT = "report on GTZAN with 13 MFCC, 2022, https://github.com/ericodle/GRU_Classifying_GTZAN"
FMA_REPORT = (
    "Pietrasanta, Magazzù and Magazzù 2022, report on FMA small, "
    "https://github.com/saiteki-kai/music-classification"
)
WAVENET_REPORT = "report on GTZAN with WaveNet, 2019, https://github.com/jcroc32/music-genre-classification"
VGGISH_REPORT = "report on MagnaTagATune with VGGish"
MUSICNN_PAPER = "Pons and Serra 2019, https://arxiv.org/abs/1909.06654"

TORCHVISION = "url:https://download.pytorch.org/models"
IMAGENET_LICENCE = "BSD-3-Clause, trained on ImageNet"


def segments(score: float) -> tuple[Published, ...]:
    note = "3 s segments of one song stand on both sides"
    return (
        Published(
            score,
            "accuracy",
            "GTZAN",
            "random segments",
            leak_free=False,
            tracks_apart=False,
            artists_apart=False,
            note=note,
        ),
    )


def random_songs(score: float, note: str) -> Published:
    return Published(
        score,
        "accuracy",
        "GTZAN",
        "random songs",
        leak_free=True,
        tracks_apart=True,
        artists_apart=False,
        note=note,
    )


def fma_small(score: float, note: str = "") -> Published:
    return Published(
        score,
        "accuracy",
        "FMA small",
        "official",
        leak_free=True,
        tracks_apart=True,
        artists_apart=True,
        note=note,
    )


def magnatagatune(roc_auc: float, pr_auc: float) -> tuple[Published, ...]:
    note = "top 50 tags; artists stand on both sides of this split"
    first = Published(
        roc_auc,
        "roc_auc",
        "MagnaTagATune",
        "usual",
        leak_free=True,
        tracks_apart=True,
        artists_apart=False,
        note=note,
    )
    return first, replace(first, score=pr_auc, metric="pr_auc")


def imagenet(network: str, file: str) -> Pretrained:
    return Pretrained(
        f"torchvision {network}", f"{TORCHVISION}/{file}", IMAGENET_LICENCE, fresh=("decision",), part="body."
    )
