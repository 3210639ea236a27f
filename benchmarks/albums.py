"""What does `--by album` change? On real albums how many tracks, on clips of known genre how many are right.

    python -m benchmarks.albums --library ~/Music
    python -m benchmarks.albums --gtzan ../shared/data/gtzan

`--library` analyses folders and compares the genres by track and by album; nothing is written. `--gtzan`
takes the clips of the valid part whose audio is here and makes an album of the clips of one artist in one
genre, once by the folder alone and once with album tags. That is an assumption: clips of an artist come from
several albums. Clips of unknown artists stay alone. The test part is not touched.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mutagen

Records = Mapping[str, Mapping[str, Any]]


def tag(by: str, paths: Sequence[Path]) -> Records:
    """Records of a dry run by path."""
    command = [sys.executable, "-m", "genretag", "tag", "-n", "--json", "--existing", "replace", "--by", by]
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr.strip())
    return {record["path"]: record for record in map(json.loads, done.stdout.splitlines())}


def compare(alone: Records, together: Records) -> dict[str, int]:
    """How many tracks there are, and of how many the answer is another by album."""
    return {
        "files": len(alone),
        "in_an_album": sum(record["album"] is not None for record in together.values()),
        "first_genre_changed": sum(
            alone[path]["genres"][:1] != together[path]["genres"][:1] for path in alone
        ),
        "genres_changed": sum(alone[path]["genres"] != together[path]["genres"] for path in alone),
        "unsure_by_track": sum(record["status"] == "unsure" for record in alone.values()),
        "unsure_by_album": sum(record["status"] == "unsure" for record in together.values()),
        "outliers": sum(bool((record["album"] or {}).get("outlier")) for record in together.values()),
    }


def right(records: Records) -> int:
    """Clips whose first genre is the folder above the artist's."""
    return sum(
        record["genres"][:1] == [Path(path).parts[-3].capitalize()] for path, record in records.items()
    )


def pseudo_albums(data: Path, out: Path, *, tagged: bool) -> int:
    """Copy the valid clips that are here to `out`/genre/artist and return how many; `tagged` names albums."""
    rows = json.loads(gzip.decompress((data / "split_filtered.json.gz").read_bytes()))
    artists = json.loads((data / "artists.json").read_text(encoding="utf-8"))
    clips = 0
    for row in rows.values():
        name, genre = row["extra"]["id"], row["y"]
        for clip in (data / "genres" / genre).glob(f"{name}.*") if row["split"] == "valid" else ():
            artist = artists.get(name, f"unknown {name}")
            folder = out / genre / re.sub(r"[^\w ]", "_", artist)
            folder.mkdir(parents=True, exist_ok=True)
            copy = Path(shutil.copy(clip, folder))
            if tagged:
                file = mutagen.File(copy, easy=True)
                file["album"], file["albumartist"] = [f"{genre} of {artist}"], [artist]
                file.save()
            clips += 1
    return clips


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, nargs="+", default=[])
    parser.add_argument("--gtzan", type=Path)
    options = parser.parse_args(arguments)
    answer: dict[str, Any] = {}
    if options.library:
        answer["library"] = compare(tag("track", options.library), tag("album", options.library))
    for kind in ("folders", "tagged albums") if options.gtzan else ():
        with tempfile.TemporaryDirectory() as place:
            pseudo_albums(options.gtzan, Path(place), tagged=kind == "tagged albums")
            alone, together = tag("track", [Path(place)]), tag("album", [Path(place)])
        answer[kind] = compare(alone, together) | {
            "right_by_track": right(alone),
            "right_by_album": right(together),
        }
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
