"""Small trees in the exact layouts of the datasets, with a moment of real sound in every file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from genretag.datasets import gtzan
from sounds import make_sound

GTZAN_GENRES = ("blues", "jazz", "rock")
MTT_TAGS = ("no voice", "guitar", "techno", "rock", "harp")


def write_rows(path: Path, rows: Iterable[Sequence[object]], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def sound(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return make_sound(path, 0.6, rate=16000, channels=1)


def gtzan_tree(root: Path) -> Path:
    """Three genres: two clips of each part of the filtered lists, and one clip that is in none of them."""
    split = gtzan.filtered_split()
    for genre in GTZAN_GENRES:
        ids = [f"{genre}/{genre}.{number:05d}.au" for number in range(100)]
        for part in ("train", "valid", "test", None):
            for clip in [clip for clip in ids if split.get(clip) == part][: 2 if part else 1]:
                sound(root / "genres" / Path(clip).with_suffix(".wav"))
    return root


def fma_tree(root: Path) -> Path:
    """Eight tracks of small, one of medium, one of large without a top genre, and a damaged one."""
    write_rows(
        root / "fma_metadata" / "genres.csv",
        [
            ("genre_id", "#tracks", "parent", "title", "top_level"),
            (12, 5, 0, "Rock", 12),
            (21, 4, 0, "Hip-Hop", 21),
            (25, 1, 12, "Punk", 12),
            (4, 1, 0, "Jazz", 4),
        ],
    )
    tracks = [
        (number, part, "small", top, every, artist)
        for number, part, top, every, artist in [
            (2, "training", "Hip-Hop", "[21]", 1),
            (5, "training", "Hip-Hop", "[21]", 2),
            (1001, "validation", "Hip-Hop", "[21]", 3),
            (1002, "test", "Hip-Hop", "[21]", 4),
            (2001, "training", "Rock", "[25, 12]", 5),
            (2002, "training", "Rock", "[12]", 6),
            (2003, "validation", "Rock", "[12]", 7),
            (2004, "test", "Rock", "[12]", 8),
            (98565, "training", "Rock", "[12]", 9),
        ]
    ]
    tracks += [(3001, "training", "medium", "Jazz", "[4]", 10), (3002, "test", "large", "", "[4, 21]", 11)]
    bio = 'first line\nsecond line, with "quotes"'
    write_rows(
        root / "fma_metadata" / "tracks.csv",
        [
            ("", "album", "artist", "artist", "set", "set", "track", "track", "track"),
            ("", "title", "bio", "id", "split", "subset", "genre_top", "genres", "genres_all"),
            ("track_id", "", "", "", "", "", "", "", ""),
            *(
                (number, "an album", bio, artist, part, subset, top, every, every)
                for number, part, subset, top, every, artist in tracks
            ),
        ],
    )
    rank = ("small", "medium", "large", "full")
    for place, size in enumerate(rank):
        for number, _, subset, *_ in tracks:
            if rank.index(subset) <= place:
                sound(root / f"fma_{size}" / f"{number // 1000:03d}" / f"{number:06d}.mp3")
    return root


def magnatagatune_tree(root: Path) -> Path:
    """Eight clips of seven tracks, one of them without a tag and one whose mp3 is empty."""
    rows = [
        ("2", "0/ann-one-01-song-0-29.mp3", "01100", "Ann"),
        ("3", "0/ann-one-01-song-29-58.mp3", "01100", "Ann"),
        ("4", "3/bea-two-02-song-0-29.mp3", "00110", "Bea"),
        ("5", "b/cid-three-03-song-0-29.mp3", "10000", "Cid"),
        ("6", "c/dan-four-04-song-0-29.mp3", "01010", "Dan"),
        ("7", "d/eve-five-05-song-0-29.mp3", "00000", "Eve"),
        ("8", "f/ann-six-06-song-0-29.mp3", "01001", "Ann"),
        ("35644", "6/fay-seven-07-song-0-29.mp3", "01000", "Fay"),
    ]
    write_rows(
        root / "annotations_final.csv",
        [("clip_id", *MTT_TAGS, "mp3_path"), *((number, *tags, path) for number, path, tags, _ in rows)],
        delimiter="\t",
    )
    columns = ("clip_id", "track_number", "title", "artist", "album", "url", "segmentStart", "segmentEnd")
    write_rows(
        root / "clip_info_final.csv",
        [
            (*columns, "original_url", "mp3_path"),
            *((number, 1, "t", by, "a", "u", 0, 29, "o", path) for number, path, _, by in rows),
            ("9999", 1, "never annotated", "Gil", "a", "u", 0, 29, "", ""),
        ],
        delimiter="\t",
    )
    for _, path, _, _ in rows[:-1]:
        sound(root / path)
    (root / "6").mkdir()
    (root / rows[-1][1]).touch()
    return root


def folder_tree(root: Path) -> Path:
    """Two genres of four songs, by an artist each as artists.csv says; other files lie about."""
    rows = [("id", "artist")]
    for genre in ("Jazz", "Trip Hop"):
        for number in range(4):
            sound(root / genre / "an album" / f"song {number}.wav")
            rows.append((f"{genre}/an album/song {number}.wav", f"{genre} artist {number}"))
    (root / "Jazz" / "cover.jpg").write_bytes(b"no audio")
    (root / "Jazz" / "._song 0.wav").touch()
    (root / ".trash").mkdir()
    (root / ".trash" / "old.wav").touch()
    write_rows(root / "artists.csv", rows)
    return root


TREES: dict[str, Callable[[Path], Path]] = {
    "gtzan": gtzan_tree,
    "fma": fma_tree,
    "magnatagatune": magnatagatune_tree,
    "folder": folder_tree,
}
