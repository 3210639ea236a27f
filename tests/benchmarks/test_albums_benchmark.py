"""Pseudo-albums of clips, and what is counted of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from benchmarks import albums
from genretag.tagging.heading import read_heading
from sounds import make_sound


@pytest.mark.parametrize("tagged", [False, True])
def test_clips_of_the_valid_part_become_albums_by_artist(tmp_path: Path, tagged: bool) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    (data / "genres" / "rock").mkdir(parents=True)
    rows = {}
    for number, split in enumerate(("valid", "valid", "train", "valid")):
        name = f"rock.0000{number}"
        make_sound(data / "genres" / "rock" / f"{name}.flac", 1.0, seed=number)
        rows[name] = {"extra": {"id": name}, "y": "rock", "split": split}
    (data / "split_filtered.json.gz").write_bytes(gzip.compress(json.dumps(rows).encode()))
    (data / "artists.json").write_text(json.dumps({"rock.00000": "A/B", "rock.00001": "A/B"}))
    assert albums.pseudo_albums(data, out, tagged=tagged) == 3
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.flac")) == [
        "rock/A_B/rock.00000.flac",
        "rock/A_B/rock.00001.flac",
        "rock/unknown rock_00003/rock.00003.flac",
    ]
    found = read_heading(out / "rock" / "A_B" / "rock.00000.flac")
    assert (found.album, found.album_artist) == (("rock of A/B", "A/B") if tagged else ("", ""))


def test_what_changes_is_counted() -> None:
    def record(status: str, *genres: str, outlier: bool | None = None) -> dict[str, object]:
        album = None if outlier is None else {"outlier": outlier}
        return {"status": status, "genres": list(genres), "album": album}

    alone = {
        "x/rock/A/1": record("planned", "Rock"),
        "x/rock/A/2": record("unsure"),
        "x/jazz/B/3": record("planned", "Pop"),
    }
    together = {
        "x/rock/A/1": record("planned", "Rock", "Indie", outlier=False),
        "x/rock/A/2": record("planned", "Rock", "Indie", outlier=True),
        "x/jazz/B/3": record("planned", "Pop"),
    }
    assert albums.compare(alone, together) == {
        "files": 3,
        "in_an_album": 2,
        "first_genre_changed": 1,
        "genres_changed": 2,
        "unsure_by_track": 1,
        "unsure_by_album": 0,
        "outliers": 1,
    }
    assert (albums.right(alone), albums.right(together)) == (1, 2)
