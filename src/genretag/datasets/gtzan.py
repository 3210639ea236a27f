"""GTZAN: 1,000 clips of 30 s in ten genres, with the fault-filtered split that torchaudio carries."""

from __future__ import annotations

import re
from pathlib import Path

from genretag.audio._torchaudio import torchaudio
from genretag.datasets.base import (
    PARTS,
    Catalogue,
    Clip,
    DatasetInfo,
    FeatureTable,
    Request,
    Size,
    data_folder,
    feature_table,
    lacking,
    read_artists,
    read_rows,
)
from genretag.errors import DatasetError
from genretag.labels import genre_labels

INFO = DatasetInfo(
    name="gtzan",
    title="GTZAN genre collection",
    variants={
        "filtered": "the 930 clips of the fault-filtered lists, with their split",
        "full": "all clips, repeated, mislabelled and distorted ones included; no official split",
    },
    tasks=("single",),
    where="https://huggingface.co/datasets/marsyas/gtzan (or genres_original of its copies on Kaggle)",
    layout="DIR/genres/<genre>/<genre>.000NN.au (or .wav, .mp3, .flac ...)",
    licence="none was given: recordings by their artists, collected for research without asking them",
    citation="Tzanetakis and Cook, IEEE TSAP 10(5), 2002; faults: Sturm, arXiv:1306.1461",
    split="the fault-filtered lists (Kereliuk, Sturm and Larsen, 2015), published as artist-filtered",
    sizes=(Size("filtered", 10, (443, 197, 290)), Size("full", 10, (1000,))),
    leaks=(
        "a plain split puts clips of one artist, and repetitions of one recording, on both sides",
        "of the 312 artists found by fingerprint, 13 stand in two parts of even the filtered split",
        "jazz.00054 does not open in the popular copy; it is left out there and kept where it opens",
    ),
)

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
_NAME = re.compile(rf"(?:.*[/\\])?({'|'.join(GENRES)})\.(000\d\d)(?:\.\w+)?")
_UNLISTED = "in none of the fault-filtered lists (repeated, mislabelled or distorted)"
_SUSPECTS = {"jazz/jazz.00054.au": "does not open, as in the popular copy"}


def clip_id(name: str) -> str | None:
    """`blues/blues.00029.au` for that clip under any folder, in any format; None for anything else."""
    match = _NAME.fullmatch(name)
    return f"{match[1]}/{match[1]}.{match[2]}.au" if match else None


def filtered_split() -> dict[str, str]:
    """Part of every clip of the fault-filtered lists: 443 train, 197 valid, 290 test."""
    lists = torchaudio().datasets.gtzan
    return {
        f"{_genre(name)}/{name}.au": part for part in PARTS for name in getattr(lists, f"filtered_{part}")
    }


def catalogue(request: Request) -> Catalogue:
    """All 1,000 clips; which of them are here is for the caller to find out."""
    audio = None if request.ids is not None else _audio_folder(data_folder(INFO, request.data))
    near = [folder for folder in (request.data, audio) if folder is not None]
    known = read_artists([*near, *(folder.parent for folder in near)])
    artists = {clip_id(name): artist for name, artist in known.items()}
    filtered = request.variant == "filtered"
    split = filtered_split() if filtered else {}
    ids = [f"{genre}/{genre}.{number:05d}.au" for genre in GENRES for number in range(100)]
    return Catalogue(
        clips=tuple(
            Clip(clip, None, (_genre(clip),), artists.get(clip), clip.removesuffix(".au"), split.get(clip))
            for clip in ids
        ),
        labels=genre_labels(GENRES, "single"),
        find=clip_id,
        audio=audio,
        faults={clip: _UNLISTED for clip in ids if filtered and clip not in split},
        suspects=_SUSPECTS,
        official="fault-filtered" if filtered else None,
        artist_filtered=filtered,
    )


def load_feature_table(path: Path) -> FeatureTable:
    """The 57 librosa features of the popular `features_30_sec.csv`; `features_3_sec.csv` has ten rows a clip.

    The column `length` (samples of the file) says nothing about the music and is dropped.
    """
    rows = read_rows(path)
    header = next(rows, [])
    if header[:2] != ["filename", "length"] or header[-1] != "label":
        raise DatasetError(
            f"{path}: is no GTZAN feature table; its columns must be filename,length,...,label"
        )
    # "blues.00000.3.wav" is the fourth segment of blues.00000.
    named = ((clip_id(re.sub(r"(\.\d{5})\.\d+\.", r"\1.", row[0])), row[2:-1]) for row in rows)
    return feature_table(path, tuple(header[2:-1]), ((clip, texts) for clip, texts in named if clip))


def _genre(clip: str) -> str:
    return clip.split(".")[0].split("/")[0]


def _audio_folder(data: Path) -> Path:
    for folder in (data / "genres", data / "genres_original", data):
        if any((folder / genre).is_dir() for genre in GENRES):
            return folder
    raise lacking(INFO, f"{data} has no folder of a genre")
