"""The song in a page: a small copy within it, or a link to the file."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import av

from genretag.predict.timeline import open_source

Choice = Literal["embed", "link", "none"]

RATE = 48_000  # Hz, Opus's own
BIT_RATE = 48_000  # for one channel: 0.36 MB a minute, 0.48 as base64
_OPTIONS = {"compression_level": "4"}  # of 10: half the time, no audible loss at this rate
LONGEST = 3600.0  # seconds that are embedded; a longer recording makes a page that browsers open slowly


@dataclass(frozen=True)
class Sound:
    """What a page plays: `address` of a file or `content`, the base64 of one; neither: nothing."""

    address: str | None = None
    content: str | None = None
    type: str | None = None


def link(song: Path, page: Path) -> Sound:
    """The file itself, by the way to it from the page's folder: both may be moved together."""
    try:
        way = os.path.relpath(song.resolve(), page.resolve().parent)
    except ValueError:  # on another drive of Windows, to which no way leads
        return Sound(address=song.resolve().as_uri())
    # Bytes, because a name need not be valid in any encoding; "./" keeps "a:b.mp3" from being a scheme.
    return Sound(address="./" + quote(os.fsencode(way.replace(os.sep, "/"))))


def embed(song: Path) -> Sound:
    """A small copy that every browser plays, whatever the file is: one channel, as the model hears it.

    Opus in WebM, without the file's tags and pictures. DecodeError where the file cannot be decoded.
    """
    target = io.BytesIO()
    source = open_source(song)
    try:
        # bitexact: the same song gives the same page, without the time and a random number.
        with av.open(target, "w", format="webm", container_options={"fflags": "+bitexact"}) as container:
            stream = container.add_stream(
                "libopus", rate=RATE, layout="mono", bit_rate=BIT_RATE, options=_OPTIONS
            )
            resampler = av.AudioResampler("flt", "mono", RATE)
            for _, block in source.blocks():
                frame = av.AudioFrame.from_ndarray(block[None], format="flt", layout="mono")
                frame.sample_rate = source.rate
                for part in resampler.resample(frame):
                    container.mux(stream.encode(part))
            for part in resampler.resample(None):
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
    finally:
        source.close()
    return Sound(content=base64.b64encode(target.getvalue()).decode("ascii"), type="audio/webm; codecs=opus")
