"""MP4: every file offset follows the bytes that it points at, whatever the layout, or the file is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from genretag.audio.packets import same_audio
from genretag.audio.payload import identify
from genretag.errors import TagError
from genretag.tagging import tags
from mp4_layouts import LAYOUTS, atom, atoms, make_layout, packets, packets_after_seek

GENRES = (["a"], ["b" * 300], ["c" * 30_000], ["d"])


def without_items(path: Path) -> None:
    """Hide the box of the item list: the next one is put in front of everything that is in the moov box."""
    path.write_bytes(path.read_bytes().replace(b"udta", b"skip"))


@pytest.mark.parametrize("items", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_packets_stay_after_every_move(tmp_path: Path, layout: str, items: bool) -> None:
    path = make_layout(tmp_path / "song.m4a", layout)
    if not items:
        without_items(path)
    plain = tmp_path / "plain"
    plain.write_bytes(path.read_bytes())
    all_packets, late = packets(plain), packets_after_seek(plain, 2.0)
    assert len(all_packets) > 40
    assert 5 < len(late) < len(all_packets)
    state, name = tags.read(path), identify(path)
    for genres in GENRES:
        tags.write(path, genres, provenance="model")
        assert tags.read(path).genres == tuple(genres)
        assert packets(path) == all_packets
        assert packets_after_seek(path, 2.0) == late
        assert same_audio(plain, path)
        assert identify(path) == name
    tags.restore(path, state.raw)
    assert packets(path) == all_packets
    assert packets_after_seek(path, 2.0) == late
    if b"ilst" in plain.read_bytes() and items:  # a list that was not there stays, empty
        assert path.read_bytes() == plain.read_bytes()


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if "absolute" in name])
def test_the_random_access_index_names_the_fragments(tmp_path: Path, layout: str) -> None:
    path = make_layout(tmp_path / "song.m4a", layout)
    for genres in GENRES:
        tags.write(path, genres)
        data = path.read_bytes()
        fragments = {start for name, start, _ in atoms(data) if name == b"moof"}
        at = data.index(b"tfra")
        version, count = data[at + 4], struct.unpack_from(">I", data, at + 16)[0]
        assert (version, count > 3) == (1, True)
        entries = range(at + 20, at + 20 + count * 19, 19)
        assert {struct.unpack_from(">Q", data, entry + 8)[0] for entry in entries} == fragments


@pytest.mark.parametrize("layout", ["encrypted", "absolute encrypted"])
def test_encrypted_samples_find_their_vectors(tmp_path: Path, layout: str) -> None:
    path = make_layout(tmp_path / "song.m4a", layout)
    without_items(path)
    plain = packets(path, decryption_key="01" * 16)
    assert plain != packets(path)
    # Without its senc boxes FFmpeg reads the vectors from where saio says they are.
    path.write_bytes(path.read_bytes().replace(b"senc", b"skip"))
    assert packets(path, decryption_key="01" * 16) == plain
    for genres in GENRES:
        tags.write(path, genres)
        assert packets(path, decryption_key="01" * 16) == plain


def grown(data: bytes, at: int, length: int, new: bytes, parents: tuple[bytes, ...]) -> bytes:
    """An MP4 file with its moov box at the end, some bytes of that replaced."""
    assert data.index(b"mdat") < at
    whole = bytearray(data)
    whole[at : at + length] = new
    for name in parents:
        place = data.index(name, data.index(b"moov")) - 4
        struct.pack_into(">I", whole, place, struct.unpack_from(">I", whole, place)[0] + len(new) - length)
    return bytes(whole)


def with_wide_chunk_offsets(data: bytes) -> bytes:
    """The same file with co64 in the place of stco."""
    at = data.index(b"stco") - 4
    size, _, _, count = struct.unpack_from(">4I", data, at)
    offsets = struct.unpack_from(f">{count}I", data, at + 16)
    new = atom(b"co64", bytes(4), struct.pack(f">I{count}Q", count, *offsets))
    return grown(data, at, size, new, (b"moov", b"trak", b"mdia", b"minf", b"stbl"))


def moov_first(data: bytes) -> bytes:
    """The same file with its moov box in front, offsets unchanged but for those of co64."""
    order = {name: data[start:end] for name, start, end in atoms(data)}
    moov = bytearray(order[b"moov"])
    at = moov.index(b"co64")
    for place in range(at + 12, at + 12 + 8 * struct.unpack_from(">I", moov, at + 8)[0], 8):
        struct.pack_into(">Q", moov, place, struct.unpack_from(">Q", moov, place)[0] + len(moov))
    return order[b"ftyp"] + bytes(moov) + order.get(b"free", b"") + order[b"mdat"]


def test_wide_chunk_offsets_follow(tmp_path: Path) -> None:
    path = make_layout(tmp_path / "song.m4a", "moov last")
    expected = packets(path)
    for content in (wide := with_wide_chunk_offsets(path.read_bytes()), moov_first(wide)):
        path.write_bytes(content)
        assert packets(path) == expected
        for genres in GENRES:
            tags.write(path, genres)
            assert packets(path) == expected


def iloc(version: int, *items: tuple[int, int, int, list[int]]) -> bytes:
    """An iloc box; items are (construction method, data reference, base offset, extent offsets)."""
    sizes = b"\x44\x40"
    body = sizes + struct.pack(">H" if version < 2 else ">I", len(items))
    for number, (method, reference, base, extents) in enumerate(items):
        body += struct.pack(">H" if version < 2 else ">I", number)
        body += struct.pack(">H", method) if version else b""
        body += struct.pack(">HIH", reference, base, len(extents))
        body += b"".join(struct.pack(">II", extent, 4) for extent in extents)
    return atom(b"iloc", bytes((version, 0, 0, 0)), body)


def meta(*content: bytes) -> bytes:
    return atom(b"meta", bytes(4), atom(b"hdlr", bytes(8), b"pict", bytes(13)), *content)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_items_of_the_file_are_found(tmp_path: Path, version: int) -> None:
    """Items before and behind the item list, by base and extents, and those that are not file offsets."""
    path = make_layout(tmp_path / "song.m4a", "moov first")
    data = path.read_bytes()
    behind, before = len(data), data.index(b"ftyp")
    methods = [(1, 0, behind, [behind])] if version else []
    # (base, extents): one base in front of the list with extents on both sides of it, and one behind.
    found = [(0, 0, 0, [before, behind + 8]), (0, 0, behind, [8, 12]), (0, 0, 8, [0, behind])]
    added = atom(b"free", b"ITEMmore")
    path.write_bytes(data + added + meta(iloc(version, *found, *methods)))
    for genres in GENRES:
        tags.write(path, genres)
        data = path.read_bytes()
        entries = list(parsed_iloc(data, version))
        at = data.index(b"ITEMmore")
        assert entries[0] == (0, [before, at])
        assert entries[1][0] + entries[1][1][0] == at
        assert entries[1][0] + entries[1][1][1] == at + 4
        assert entries[2] == (8, [0, at - 8])
        assert entries[3:] == [(behind, [behind])] * len(methods)


def parsed_iloc(data: bytes, version: int) -> list[tuple[int, list[int]]]:
    at = data.index(b"iloc") + 10
    wide = 2 if version < 2 else 4
    count, at = int.from_bytes(data[at : at + wide], "big"), at + wide
    found = []
    for _ in range(count):
        at += wide + (2 if version else 0)
        _, base, extents = struct.unpack_from(">HIH", data, at)
        at += 8
        found.append((base, [struct.unpack_from(">I", data, at + 8 * n)[0] for n in range(extents)]))
        at += 8 * extents
    return found


def sidx(first: int, *sizes: int, version: int = 0) -> bytes:
    head = bytes((version, 0, 0, 0)) + struct.pack(">II", 1, 16000)
    times = struct.pack(">II" if version == 0 else ">QQ", 0, first)
    references = b"".join(struct.pack(">III", size, 16000, 1 << 31) for size in sizes)
    return atom(b"sidx", head, times, struct.pack(">HH", 0, len(sizes)), references)


@pytest.mark.parametrize("version", [0, 1])
def test_a_segment_index_in_front_of_the_moov_box_follows(tmp_path: Path, version: int) -> None:
    path = make_layout(tmp_path / "song.m4a", "moof as base")
    data = path.read_bytes()
    starts = {name: start for name, start, _ in reversed(list(atoms(data)))}
    distance = starts[b"moof"] - starts[b"moov"]
    index = sidx(distance, len(data) - starts[b"moof"], version=version)
    path.write_bytes(data[: starts[b"moov"]] + index + data[starts[b"moov"] :])
    for genres in GENRES:
        tags.write(path, genres)
        now = path.read_bytes()
        at = now.index(b"sidx") - 4
        width, form = (4, ">I") if version == 0 else (8, ">Q")
        (first,) = struct.unpack_from(form, now, at + 20 + width)
        assert now[at + len(index) + first :][4:8] == b"moof"
        (size,) = struct.unpack_from(">I", now, at + 24 + 2 * width)
        assert size == len(data) - starts[b"moof"]


def test_a_fragment_whose_data_is_behind_the_moov_box_follows(tmp_path: Path) -> None:
    """A base offset of 0 with data offsets counted from the start of the file."""
    path = make_layout(tmp_path / "song.m4a", "absolute")
    expected = packets(path)
    data = bytearray(path.read_bytes())
    for name, start, end in list(atoms(bytes(data))):
        if name == b"moof":
            base_at = data.index(b"tfhd", start, end) + 12
            offset_at = data.index(b"trun", start, end) + 12
            (base,), (offset,) = (
                struct.unpack_from(">Q", data, base_at),
                struct.unpack_from(">i", data, offset_at),
            )
            struct.pack_into(">Q", data, base_at, 0)
            struct.pack_into(">i", data, offset_at, base + offset)
    path.write_bytes(data)
    assert packets(path) == expected
    for genres in GENRES:
        tags.write(path, genres)
        assert packets(path) == expected


def test_a_fragment_in_front_of_the_moov_box_stays(tmp_path: Path) -> None:
    """Offsets that point in front of the item list stay as they are."""
    path = make_layout(tmp_path / "song.m4a", "absolute")
    data = path.read_bytes()
    order = list(atoms(data))
    moov = next(data[start:end] for name, start, end in order if name == b"moov")
    rest = b"".join(data[start:end] for name, start, end in order if name not in (b"moov", b"ftyp", b"mfra"))
    path.write_bytes(atom(b"ftyp", b"M4A ", bytes(4)) + rest + moov)
    for genres in GENRES:
        tags.write(path, genres)
        assert path.read_bytes().startswith(atom(b"ftyp", b"M4A ", bytes(4)) + rest)


@pytest.mark.parametrize(
    ("layout", "mark", "offset", "form", "value", "reason"),
    [
        ("moov first", b"stco", 12, ">I", 0xFFFFFF00, "stco .* too large"),
        ("moov first", b"stco", 8, ">I", 0xFFFFFF, "stco .* damaged"),
        ("moov first", b"dref", 16, ">4s", b"imdt", "dref"),
        ("moov first", b"mvhd", 0, ">4s", b"cmov", "cmov"),
        ("absolute", b"tfra", 16, ">I", 0xFFFFFF, "tfra .* damaged"),
        ("absolute", b"tfhd", 12, ">Q", (1 << 64) - 1, "tfhd .* too large"),
        ("encrypted", b"saio", 8, ">I", 0xFFFFFF, "saio .* damaged"),
        ("encrypted", b"saio", 12, ">I", 0xFFFFFFFF, "saio .* too large"),
    ],
)
def test_what_cannot_be_updated_is_refused(
    tmp_path: Path, layout: str, mark: bytes, offset: int, form: str, value: int | bytes, reason: str
) -> None:
    path = make_layout(tmp_path / "song.m4a", layout)
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, content.index(mark) + offset, value)
    path.write_bytes(content)
    with pytest.raises(TagError, match=rf"song\.m4a: cannot be tagged safely: .*{reason}") as caught:
        tags.write(path, GENRES[2])
    assert caught.value.code == "not-taggable"
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("entry", "refused"),
    [
        (atom(b"url ", bytes(4), b"file:///other\0"), True),
        (atom(b"alis", bytes(10), b"\x01\x20"), True),
        (atom(b"url ", bytes(4), b"\0"), False),
        (atom(b"url ", b"\0\0\0\1", b"file:///this\0"), False),
    ],
)
def test_samples_in_another_file_are_not_moved(tmp_path: Path, entry: bytes, refused: bool) -> None:
    path = make_layout(tmp_path / "song.m4a", "moov last")
    wide = with_wide_chunk_offsets(path.read_bytes())
    parents = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    last = grown(wide, wide.index(b"dref") + 12, 12, entry, parents)
    path.write_bytes(last)
    tags.write(path, GENRES[2])  # nothing that is pointed at moves
    path.write_bytes(moov_first(last))
    if refused:
        with pytest.raises(TagError, match="refers to another file"):
            tags.write(path, GENRES[2])
    else:
        tags.write(path, GENRES[2])


def test_a_size_of_32_bits_that_is_full_is_refused(tmp_path: Path) -> None:
    """The file is sparse, so its 4 GiB take no space."""
    path = make_layout(tmp_path / "song.m4a", "moov first")
    data = path.read_bytes()
    order = list(atoms(data))
    start, end = next((start, end) for name, start, end in order if name == b"moov")
    filler = 0xFFFFFFFF - (end - start) - 100
    with path.open("wb") as file:
        file.write(data[:start] + struct.pack(">I", 0xFFFFFFFF - 100) + data[start + 4 : end])
        file.write(struct.pack(">I4s", filler, b"free"))
        file.truncate(start + 0xFFFFFFFF - 100)
    with pytest.raises(TagError, match=r"moov .* too large"):
        tags.write(path, GENRES[1])
