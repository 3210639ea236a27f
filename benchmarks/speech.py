"""Tracks of nothing but speech, made of the voices that Debian's packages carry.

    apt-get download asterisk-core-sounds-{en,es,fr,it,ru}-g722 ktuberling-data \\
        asterisk-prompt-es-co asterisk-prompt-fr-armelle asterisk-prompt-it-menardi-wav
    for deb in *.deb; do dpkg -x "$deb" voices; done
    python -m benchmarks.speech --voices voices --out speech

writes `learn/` (telephone prompts, and espeak-ng where it is installed) and `check/` (other speakers, from a
children's game), as flac files SPEAKER-NUMBER of about a minute: sounds of one speaker, short pauses between.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from benchmarks import sounds
from benchmarks.sounds import RATE, Samples

PARTS = {"learn": "usr/share/asterisk/sounds", "check": "usr/share/ktuberling/sounds"}
SUFFIXES = {".g722", ".gsm", ".wav", ".ogg"}
TRACKS = 6
SECONDS = 60.0
PAUSE = np.zeros((round(0.3 * RATE), 2), np.int16)
LONGEST = 30.0
SYNTHETIC = {"en": 150, "en-us+f3": 170, "de": 150, "fr+m3": 160, "es+f2": 180, "en-gb+m7": 140}
"""Voices of espeak-ng, and their words a minute."""


def tracks(speaker: Path) -> list[Samples]:
    """A speaker's sounds in a fixed random order, joined to tracks; what does not fill one is left."""
    files = sorted(path for path in speaker.iterdir() if path.suffix in SUFFIXES)
    random.Random(0).shuffle(files)
    made: list[Samples] = []
    parts: list[Samples] = []
    for path in files:
        try:
            parts += [sounds.excerpt(path, 0, LONGEST), PAUSE]
        except av.FFmpegError:
            continue
        if sum(map(len, parts)) >= SECONDS * RATE:
            made.append(np.concatenate(parts))
            parts = []
        if len(made) == TRACKS:
            break
    return made


def synthetic(voice: str, words: int, text: str, out: Path) -> None:
    """One track by espeak-ng."""
    subprocess.run(["espeak-ng", "-v", voice, "-s", str(words), "-w", str(out), text], check=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voices", type=Path, required=True, help="where the packages were unpacked")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    for part, place in PARTS.items():
        (options.out / part).mkdir(parents=True, exist_ok=True)
        for speaker in sorted(path for path in (options.voices / place).iterdir() if path.is_dir()):
            for number, samples in enumerate(tracks(speaker)):
                sounds.encode(samples, options.out / part / f"{speaker.name}-{number}.flac", "flac")
    if shutil.which("espeak-ng"):
        text = (Path(__file__).resolve().parents[1] / "LICENSE").read_text(encoding="utf-8")[:1000]
        for voice, words in SYNTHETIC.items():
            synthetic(voice, words, text, options.out / "learn" / f"espeak-{voice}.wav")
    for part in PARTS:
        print(f"{part}: {len(list((options.out / part).iterdir()))} tracks")


if __name__ == "__main__":
    main()
