"""Makes docs/tour.md by really walking it.

    python -m tools.tour --gtzan ../shared/data/gtzan --music DIR --work NEW-FOLDER

The music is GTZAN clips (valid part to tag, 20 train clips of each genre to learn from) and songs of Debian's
music packages, unpacked in the folder `--music`. Debian's Chromium takes the pictures, through playwright.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
FIGURES = DOCS / "figures"
GENRES = ("classical", "jazz", "rock")
SONGS = {"Naev": "naev-data", "Wesnoth": "wesnoth-1.16-music", "Warzone": "warzone2100-music"}
MOST_LINES = 14  # of what a command says; the middle of more is left out
MAP = """allow = ["Rock", "Metal", "Jazz", "Classical", "Electronic", "Soundtrack"]
broaden = true

[rename]
"Ambient" = "Soundtrack"
"""

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Look first. Nothing is written.", ("genretag tag --dry-run Music",)),
    ("Write, and see what the files hold now.", ("genretag tag Music", "genretag report Music")),
    (
        "Why that genre? One song over time, here and as a page with a player.",
        ("genretag inspect --html song.html {song}",),
    ),
    ("The library as a page.", ("genretag report --html library.html Music",)),
    ("Take it back: the very bytes that were there before.", ("genretag undo", "genretag history")),
    (
        "Not the words you use? A map bends them to your taste.",
        (
            "cat taste.toml",
            "genretag map check taste.toml",
            "genretag tag --map taste.toml --top 1 Music",
            "genretag undo",
        ),
    ),
    (
        "Or teach it your own genres: here from 60 clips in three folders.",
        ("genretag learn --name tour Sorted", "genretag tag -n Music/Unsorted", "genretag config"),
    ),
    ("And back to the model that genretag came with.", ("genretag config unset tag.model",)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gtzan", type=Path, required=True)
    parser.add_argument("--music", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    work = options.work.absolute()
    work.mkdir(parents=True)
    lay_out(work, options.gtzan.absolute(), options.music.absolute())
    before = _hashes(work / "Music")
    parts = [*walk(work)]
    if _hashes(work / "Music") != before:
        raise SystemExit("the music is not what it was before the tour")
    text = "\n\n".join((INTRODUCTION, *parts, END))
    (DOCS / "tour.md").write_text(text + "\n", encoding="utf-8")
    for page, picture in (("song.html", "tour-song.png"), ("library.html", "tour-library.png")):
        photograph(work / page, FIGURES / picture)


INTRODUCTION = """# A tour

Every line was run as it stands by `python -m tools.tour`, in a folder with some music: clips of GTZAN's
valid part (rock, jazz, classical), and songs of free games out of Debian's packages. Long answers are cut in
the middle."""
END = "After the tour every file of `Music` has the SHA-256 that it had before: the script fails otherwise."


def lay_out(work: Path, gtzan: Path, music: Path) -> None:
    """Music to tag and clips to learn from."""
    parts: dict[str, list[str]] = {}
    for row in json.loads(gzip.decompress((gtzan / "split_filtered.json.gz").read_bytes())).values():
        parts.setdefault(row["split"], []).append(row["extra"]["id"])
    clips = {path.stem: path for path in sorted((gtzan / "genres").rglob("*")) if path.is_file()}
    for genre in GENRES:
        for part, count, folder in (("valid", 4, "Music/Unsorted"), ("train", 20, f"Sorted/{genre}")):
            names = sorted(name for name in parts[part] if name.startswith(genre) and name in clips)[:count]
            (work / folder).mkdir(parents=True, exist_ok=True)
            for name in names:
                shutil.copyfile(clips[name], work / folder / clips[name].name)
    artists = json.loads((gtzan / "artists.json").read_text(encoding="utf-8"))
    named = {f"{name.partition('.')[0]}/{name}": artist for name, artist in artists.items()}
    (work / "Sorted" / "artists.json").write_text(json.dumps(named), encoding="utf-8")
    for folder, package in SONGS.items():
        songs = sorted(path for path in (music / package).rglob("*") if path.suffix in (".ogg", ".opus"))
        (work / "Music" / folder).mkdir()
        for song in songs[:4]:
            shutil.copyfile(song, work / "Music" / folder / song.name)
    (work / "taste.toml").write_text(MAP, encoding="utf-8")


def walk(work: Path) -> Iterator[str]:
    """Each step as Markdown: what was said, what was typed, what came."""
    song = next(path for path in sorted((work / "Music" / "Warzone").iterdir())).relative_to(work)
    for title, commands in STEPS:
        lines = []
        for command in commands:
            command = command.format(song=song)
            lines += [f"$ {command}", *_shortened(_answer(command, work))]
        block = "\n".join(lines)
        pictures = "".join(
            f"\n\n![{alt}](figures/{name})"
            for page, alt, name in (
                ("song.html", "One song over time", "tour-song.png"),
                ("library.html", "A library at a glance", "tour-library.png"),
            )
            if any(f"--html {page}" in command for command in commands)
        )
        yield f"{title}\n\n```console\n{block}\n```{pictures}"


def _answer(command: str, work: Path) -> list[str]:
    """What a person reads: both streams as they come."""
    environment = os.environ | {"GENRETAG_HOME": str(work / "home"), "COLUMNS": "100", "NO_COLOR": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        command,
        shell=True,
        cwd=work,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    sys.stdout.write(f"$ {command}\n{done.stdout}")
    if done.returncode > 1:
        raise SystemExit(f"{command}: exit code {done.returncode}")
    return [line.rstrip().replace(f"{work}/", "") for line in done.stdout.strip("\n").splitlines()]


def _shortened(lines: list[str]) -> list[str]:
    whole = any(re.match(r"\s*(─|━|▁|█|[A-Z].*[█▁▂▃▄▅▆▇])", line) for line in lines)
    if whole or len(lines) <= MOST_LINES:
        return lines
    return [*lines[: MOST_LINES - 6], "...", *lines[-5:]]


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def photograph(page: Path, picture: Path) -> None:
    """The top of a page, as a browser shows it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        tab = browser.new_page(viewport={"width": 1120, "height": 800})
        tab.goto(page.as_uri())
        tab.wait_for_timeout(1500)
        tab.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main()
