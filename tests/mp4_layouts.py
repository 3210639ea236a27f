"""MP4 files in the layouts that muxers write: fragmented or not, with and without indexes, by PyAV."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av

from sounds import encoded

ENCRYPTED = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "01" * 16, "encryption_kid": "02" * 16}


class Layout(NamedTuple):
    """How to mux one layout; `suffixes` are the formats of its tracks, `fragment` is in microseconds."""

    options: dict[str, str]
    suffixes: tuple[str, ...] = (".m4a",)
    container: str = "mp4"
    fragment: int = 700_000


LAYOUTS = {
    "moov last": Layout({}, container="ipod"),
    "moov first": Layout({"movflags": "faststart"}, container="ipod"),
    "two tracks": Layout({"movflags": "faststart"}, (".m4a", ".alac.m4a")),
    "quicktime": Layout({"movflags": "faststart"}, container="mov"),
    "encrypted": Layout({"movflags": "faststart", **ENCRYPTED}),
    "absolute": Layout({"movflags": "empty_moov"}),
    "absolute two tracks": Layout({"movflags": "empty_moov"}, (".m4a", ".alac.m4a")),
    "absolute encrypted": Layout({"movflags": "empty_moov", **ENCRYPTED}),
    "implicit base two tracks": Layout({"movflags": "empty_moov+omit_tfhd_offset"}, (".m4a", ".alac.m4a")),
    "moof as base": Layout({"movflags": "empty_moov+default_base_moof"}),
    "chunks and fragments": Layout({"movflags": "frag_keyframe"}),
    "a moof for each track": Layout({"movflags": "empty_moov+separate_moof"}, (".m4a", ".alac.m4a")),
    "index for each fragment": Layout({"movflags": "empty_moov+dash"}),
    "index of the file": Layout({"movflags": "empty_moov+dash+global_sidx"}),
    "hidden fragments": Layout({"movflags": "hybrid_fragmented"}),
}


def make_layout(path: Path, name: str, seconds: float = 3.0) -> Path:
    """Write a sound in one of LAYOUTS, 8 kHz to keep it small, and return `path`."""
    layout = LAYOUTS[name]
    options = dict(layout.options)
    if "faststart" not in options.get("movflags", "faststart"):
        options["frag_duration"] = str(layout.fragment)
    packets = []
    with av.open(str(path), "w", format=layout.container, options=options) as new:
        for seed, suffix in enumerate(layout.suffixes):
            source = path.with_name(f"source{seed}")
            source.write_bytes(encoded(suffix, seconds, 16000, 1, seed, 0.3))
            with av.open(str(source)) as old:
                stream = new.add_stream_from_template(old.streams.audio[0])
                for packet in old.demux(audio=0):
                    if packet.dts is not None:
                        packets.append((packet.dts * packet.time_base, seed, packet, stream))
            source.unlink()
        for _, _, packet, stream in sorted(packets, key=lambda entry: entry[:2]):
            packet.stream = stream
            new.mux(packet)
    return path


def atom(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name) + body


def atoms(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of the atoms between two offsets."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        yield name, start, start + size
        start += size


def packets(path: Path, **options: str) -> list[tuple[object, ...]]:
    """What FFmpeg demuxes: stream, times and content of every packet."""
    with av.open(str(path), options=options) as container:
        return [_seen(packet) for packet in container.demux() if packet.size]


def packets_after_seek(path: Path, seconds: float) -> list[tuple[object, ...]]:
    """What FFmpeg demuxes of the first sound track after a seek."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        container.seek(round(seconds / stream.time_base), stream=stream)
        return [_seen(packet) for packet in container.demux(stream) if packet.size]


def _seen(packet: av.Packet) -> tuple[object, ...]:
    return packet.stream_index, packet.pts, packet.dts, packet.duration, bytes(packet)
