"""How fast the page of a library opens and answers in Chromium: `python -m benchmarks.pages_speed`.

A made-up library of each size (seeded, and marked as made up on its page) is written, opened several times
and used: the time until the page is drawn, and what a search, a sort, a choice of a genre, a move over the
map and a scroll cost until the table is laid out again. `--real` adds the library that the store knows;
`--command N` times `genretag report --html` itself on N files that a store made for it knows.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genretag import checkpoint
from genretag.checkpoint import CheckpointMeta
from genretag.errors import FileError
from genretag.library.tracks import Library, LibraryTrack, Stranger, gather, known_files
from genretag.pages.report import page
from genretag.predict.decide import DecisionRule, decide
from genretag.store import CachedScores, FileKey, KnownFile, Store

SIZES = (1_000, 10_000, 50_000)
ROUNDS = 5
WORDS = ("night", "river", "glass", "north", "paper", "signal", "garden", "iron", "velvet", "echo")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
)

# Milliseconds of work for each change, its layout included.
_TIMED = """async () => {
  const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const timed = async (act) => { const from = performance.now(); act(); document.body.offsetHeight;
    const worked = performance.now() - from; await drawn(); all = performance.now() - from; return worked; };
  let all = 0;
  const type = (text) => { const box = document.getElementById("search"); box.value = text;
    box.dispatchEvent(new Event("input")); };
  const heads = () => [...document.querySelectorAll("#heads button")];
  const head = (name) => heads().find((button) => button.textContent.startsWith(name));
  const found = {};
  found["first search"] = await timed(() => type("night"));
  found["search"] = await timed(() => type("night river"));
  await timed(() => type(""));
  found["first sort by name"] = await timed(() => head("Track").click());
  found["sort by name, down"] = await timed(() => head("Track").click());
  found["sort by score"] = await timed(() => head("Score").click());
  found["first sort by genre"] = await timed(() => head("Heard").click());
  found["choose a genre"] = await timed(() => document.querySelector("[data-genre]").click());
  found["the same, map drawn"] = all;
  await timed(() => document.querySelector("[data-genre]").click());
  const map = document.getElementById("map"), box = map.getBoundingClientRect();
  found["point at the map"] = await timed(() => map.dispatchEvent(new PointerEvent("pointermove",
    { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 })));
  const scroll = document.getElementById("scroll");
  found["scroll"] = await timed(() => { scroll.scrollTop = scroll.scrollHeight / 2;
    scroll.dispatchEvent(new Event("scroll")); });
  found["rows in the document"] = document.querySelectorAll("#rows tr").length;
  return found;
}"""


def made_up(tracks: int, meta: CheckpointMeta, seed: int = 0) -> Library:
    """A library that nobody has: tracks around 40 sounds, albums of ten, some unsure, failed or unheard."""
    random = np.random.default_rng(seed)
    labels = len(meta.labels)
    centres = random.normal(-2.5, 2.0, (40, labels))
    albums = random.integers(0, 40, tracks // 10 + 1)
    others = centres[random.integers(0, 40, tracks)]
    odds = 0.75 * centres[np.repeat(albums, 10)[:tracks]] + 0.25 * others
    odds += random.normal(0, 1.2, (tracks, labels))
    broad = [meta.labels.names.index(label) for label in meta.labels.broad]
    scores: NDArray[np.float32] = (1 / (1 + np.exp(-odds))).astype(np.float32)
    if broad:
        peaks = np.exp(2 * odds[:, broad])
        scores[:, broad] = peaks / peaks.sum(axis=1, keepdims=True)
    made, rows, strangers = [], [], []
    for number in range(tracks):
        album = number // 10
        words = " ".join(WORDS[place] for place in random.integers(0, len(WORDS), 3))
        path = Path(f"/made-up/artist {album // 3}/album {album}/{number % 10 + 1:02} {words} {number}.mp3")
        kind = random.random()
        if kind < 0.02:
            made.append(LibraryTrack(path, error=FileError("too-short", f"{path}: 0.2 s of sound")))
            continue
        if kind < 0.05:
            made.append(LibraryTrack(path, ("Rock",)))
            continue
        decision = decide(scores[number], meta.labels, meta.thresholds, DecisionRule())
        rows.append(scores[number])
        made.append(
            LibraryTrack(
                path=path,
                genres=decision.genres,
                before=(("Other",) if kind < 0.5 else ()) if decision.genres else None,
                heard=decision.genres,
                guess=None if decision.genres else "Rock",
                confidence=decision.confidence,
                duration=float(random.uniform(90, 420)),
                row=len(rows) - 1,
            )
        )
        if decision.genres and kind > 0.995:
            strangers.append(Stranger(number, f"album {album}", "Classical", 10, True, True))
    return Library(tuple(made), np.array(rows, dtype=np.float32), meta, tuple(strangers))


def measure(library: Library, title: str, rounds: int) -> dict[str, float]:
    """Medians over the rounds, in milliseconds but for what its name says otherwise."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        out = Path(folder, "library.html")
        started = time.perf_counter()
        out.write_bytes(page(library, out, title))
        made = {"seconds to make": time.perf_counter() - started, "MB": out.stat().st_size / 1e6}
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        answers: list[dict[str, float]] = []
        for _ in range(rounds):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.goto(out.as_uri())
            opened = tab.evaluate(
                "new Promise((done) => requestAnimationFrame(() => setTimeout(() => done({'open: ready': "
                "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd, "
                "'open: a frame drawn': performance.now()}))))"
            )
            answers.append(opened | tab.evaluate(_TIMED))
            tab.close()
        browser.close()
    return made | {name: statistics.median(answer[name] for answer in answers) for name in answers[0]}


def time_command(tracks: int, meta: CheckpointMeta) -> str:
    """One run of the command over files that are empty but known: seconds and the most memory it held."""
    library = made_up(tracks, meta)
    model = checkpoint.file_hash(checkpoint.resolve("auto"))
    with tempfile.TemporaryDirectory() as folder:
        home, music = Path(folder, "home"), Path(folder, "music")
        with Store.open(home) as store:
            for number, track in enumerate(library.tracks):
                path = music / track.path.relative_to("/made-up")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                known = KnownFile(str(number), "mp3", True, track.genres)
                store.remember_file(FileKey.of(path.stat()), path, known)
                if track.row is not None:
                    scores = CachedScores(library.scores[track.row], 8, track.duration)
                    store.remember_scores(str(number), model, "fast", scores)
        command = [
            sys.executable,
            "-m",
            "genretag",
            "report",
            "-q",
            "--html",
            str(music / "out.html"),
            str(music),
        ]
        started = time.perf_counter()
        subprocess.run(command, check=True, env=os.environ | {"GENRETAG_HOME": str(home)})
        seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        f"genretag report --html, {tracks:,} known files: {seconds:.1f} s "
        f"({used.ru_utime + used.ru_stime:.1f} s of processor), {used.ru_maxrss / 1024:.0f} MB at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, metavar="N")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--real", action="store_true", help="also the library that the store knows")
    parser.add_argument("--command", type=int, metavar="N", help="time the command on N files instead")
    arguments = parser.parse_args()
    meta = checkpoint.read_meta(checkpoint.resolve("auto"))
    if arguments.command:
        print(time_command(arguments.command, meta))
        return
    found: dict[str, dict[str, float]] = {}
    for size in arguments.sizes:
        title = f"A made-up library of {size:,} tracks"
        found[f"{size:,} made up"] = measure(made_up(size, meta), title, arguments.rounds)
    if arguments.real:
        with Store.open() as store:
            library = gather(known_files(store)[0], store)
        found[f"{len(library.tracks):,} real"] = measure(library, "A real library", arguments.rounds)
    print("| ms, unless said otherwise | " + " | ".join(found) + " |")
    print("| --- |" + " ---: |" * len(found))
    for name in next(iter(found.values())):
        digits = 1 if name in ("MB", "seconds to make") else 0
        print(f"| {name} | " + " | ".join(f"{one[name]:,.{digits}f}" for one in found.values()) + " |")


if __name__ == "__main__":
    main()
