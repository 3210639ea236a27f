"""Album tags for real files, and albums whose tracks sound as a test wants them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import mutagen
import numpy as np
from mutagen.id3 import TALB, TPE1, TPE2

from command import Command
from genretag import checkpoint
from genretag.store import CachedScores, Store
from sounds import make_sound

MODEL = "musicnn-msd"
# Thresholds and number of genres that make the highest score the answer.
BY_HIGHEST_SCORE = ("--model", MODEL, "--threshold", "0.3", "--top", "1")


def set_album(path: Path, album: str = "", album_artist: str = "", artist: str = "") -> Path:
    """Write what is given into the main tag of any format, as other programs do."""
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    kind = type(file.tags).__name__
    names = {
        "MP4Tags": ("\xa9alb", "aART", "\xa9ART"),
        "ASFTags": ("WM/AlbumTitle", "WM/AlbumArtist", "Author"),
        "APEv2": ("Album", "Album Artist", "Artist"),
    }.get(kind, ("ALBUM", "ALBUMARTIST", "ARTIST"))
    for frame, name, value in zip((TALB, TPE2, TPE1), names, (album, album_artist, artist), strict=True):
        if not value:
            continue
        if "ID3" in kind:
            file.tags.add(frame(encoding=3, text=[value]))
        else:
            file.tags[name] = [value]
    file.save()
    return path


def make_songs(folder: Path, count: int, first_seed: int = 0) -> list[Path]:
    """Songs "01.mp3", "02.mp3", ... in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        make_sound(folder / f"{number + 1:02}.mp3", 2.0, seed=first_seed + number) for number in range(count)
    ]


def let_sound(genretag: Command, heard: Mapping[Path, Mapping[str, float]]) -> None:
    """Make the store remember these scores by label for the files, as if the model had heard them."""
    records = genretag("tag", "-n", "--json", *BY_HIGHEST_SCORE, "--existing", "replace", *heard).records
    path = checkpoint.resolve(MODEL)
    names, model = checkpoint.read_meta(path).labels.names, checkpoint.file_hash(path)
    with Store.open() as store:
        for record, scores in zip(records, heard.values(), strict=True):
            values = np.array([scores.get(name, 0.01) for name in names], dtype=np.float32)
            store.remember_scores(record["audio"], model, "fast", CachedScores(values, 4, 200.0))
