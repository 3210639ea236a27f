"""A player gets the same packets from a file after a genre was written as before, in every format."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from command import in_own_process
from genretag.audio.packets import same_packets
from genretag.audio.payload import identify
from genretag.tagging import tags
from mp4_layouts import LAYOUTS, make_layout, packets, packets_after_seek
from sounds import FORMATS, RECORDED, any_sound

SURE = ("--model", "musicnn-msd", "--threshold", "0", "--existing", "replace")


@pytest.mark.parametrize(
    "suffix", [suffix for suffix in (*FORMATS, *RECORDED) if suffix not in (".aac", ".au")]
)
def test_every_format_yields_the_same_packets(tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    before = packets(path)
    assert before
    state = tags.read(path)
    for genre in ("a", "b" * 500, "c" * 40_000):
        tags.write(path, [genre], provenance="model")
        after = packets(path)
        if suffix == ".ape":
            # FFmpeg takes the tag at the end of the file for a part of the last packet.
            *start, data = after[-1]
            after[-1] = (*start, data[: len(before[-1][-1])])
        assert after == before
    tags.restore(path, state.raw)
    assert packets(path) == before


def test_a_fragmented_file_plays_to_its_end_after_a_run_and_its_undo(tmp_path: Path) -> None:
    """Every layout is tagged by the command, demuxed, and restored byte for byte by undo."""
    folder = tmp_path / "music"
    folder.mkdir()
    found = {}
    for number, layout in enumerate(LAYOUTS):
        if "encrypted" in layout:  # cannot be decoded
            continue
        path = make_layout(folder / f"{number}.m4a", layout, 3.0 + number / 10)
        found[path] = (path.read_bytes(), packets(path), packets_after_seek(path, 2.0), identify(path))
    answer = in_own_process("tag", "--json", "--provenance", "--top", "3", *SURE, folder)
    assert {record["status"] for record in answer.records} == {"written"}, answer.err
    assert len(answer.records) == len(found)
    for path, (content, expected, late, name) in found.items():
        assert path.read_bytes() != content
        assert packets(path) == expected
        assert packets_after_seek(path, 2.0) == late
        assert identify(path) == name
        with av.open(str(path)) as container:
            assert container.metadata["genre"]
    assert in_own_process("undo").code == 0
    for path, (content, *_) in found.items():
        assert path.read_bytes() == content


def test_a_file_whose_offsets_cannot_be_updated_is_refused(tmp_path: Path) -> None:
    path = make_layout(tmp_path / "song.m4a", "absolute")
    content = bytearray(path.read_bytes())
    at = content.index(b"tfra") + 16
    content[at : at + 4] = b"\0\xff\xff\xff"  # more entries than the box holds
    path.write_bytes(content)
    answer = in_own_process("tag", "--json", *SURE, path)
    (record,) = answer.records
    assert (record["status"], record["error"]["code"]) == ("failed", "not-taggable")
    assert "song.m4a: cannot be tagged safely: its tfra box is damaged" in record["error"]["message"]
    assert path.read_bytes() == content


def test_value_level_undo_moves_the_fragments_back(tmp_path: Path) -> None:
    """Another program changed a field after the run: only the genre goes back, and all fragments play."""
    path = make_layout(tmp_path / "song.m4a", "absolute")
    plain = tmp_path / "plain"
    plain.write_bytes(path.read_bytes())
    assert in_own_process("tag", "--provenance", *SURE, path).code == 0
    assert path.stat().st_size > plain.stat().st_size
    changed = path.read_bytes().replace(b"Lavf", b"Mine")
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    answer = in_own_process("undo", "--json")
    assert [(record["status"], record["how"]) for record in answer.records] == [("undone", "values")]
    assert same_packets(plain, path)
    assert packets_after_seek(path, 2.0) == packets_after_seek(plain, 2.0)
    assert path.read_bytes() == plain.read_bytes().replace(b"Lavf", b"Mine")
