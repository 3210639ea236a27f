"""The song in a page: a copy that browsers play, or the way to the file."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

import av
import numpy as np
import pytest

from genretag.errors import DecodeError
from genretag.pages.sound import embed, link
from sounds import FIXTURES, make_sound


def decoded(content: str | None) -> tuple[av.container.InputContainer, np.ndarray]:
    assert content is not None
    container = av.open(io.BytesIO(base64.b64decode(content)))
    frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return container, np.concatenate(frames, axis=1)


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".wma", ".aiff", ".m4a", ".opus", ".ogg"])
def test_a_copy_is_opus_in_webm_of_the_same_length(tmp_path: Path, suffix: str) -> None:
    sound = embed(make_sound(tmp_path / f"song{suffix}", 3.0, rate=44100))
    assert sound.address is None
    container, samples = decoded(sound.content)
    assert container.format.name == "matroska,webm"
    stream = container.streams.audio[0]
    assert (stream.codec_context.name, stream.layout.nb_channels) == ("opus", 1)
    assert samples.shape[1] / 48000 == pytest.approx(3.0, abs=0.1)
    assert np.abs(samples).max() > 0.1


def test_a_copy_of_what_only_one_decoder_knows(tmp_path: Path) -> None:
    _, samples = decoded(embed(FIXTURES / "two_seconds.ape").content)
    assert samples.shape[1] / 48000 == pytest.approx(2.0, abs=0.2)


def test_the_same_song_gives_the_same_copy(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "song.flac", 2.0)
    assert embed(path) == embed(path)


def test_what_is_no_sound_cannot_be_copied(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_text("no music\n" * 100)
    with pytest.raises(DecodeError):
        embed(tmp_path / "song.mp3")


@pytest.mark.parametrize(
    ("song", "page", "way"),
    [
        ("a.mp3", "a.html", b"./a.mp3"),
        ("music/a b?#%.mp3", "pages/a.html", b"./../music/a b?#%.mp3"),
        ("javascript:alert(1).mp3", "a.html", b"./javascript:alert(1).mp3"),
        ("music/\"'<x>.mp3", "a.html", b"./music/\"'<x>.mp3"),
    ],
)
def test_a_link_is_the_way_from_page_to_song(tmp_path: Path, song: str, page: str, way: bytes) -> None:
    address = link(tmp_path / song, tmp_path / page).address
    assert address is not None
    assert address.startswith("./")
    assert address.isascii()
    assert not set(address) & set(" ?#\"'<>")
    assert unquote_to_bytes(address) == way


def test_a_link_to_a_name_that_is_no_text_keeps_its_bytes(tmp_path: Path) -> None:
    address = link(tmp_path / os.fsdecode(b"caf\xe9.mp3"), tmp_path / "a.html").address
    assert address == "./caf%E9.mp3"
