"""Files on remote storage: the same sound and names as on a disk, by ranges; a real object store here."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("moto", reason="moto is not installed")
pytest.importorskip("s3fs", reason="s3fs is not installed (extra remote)")

from benchmarks.object_store import BUCKET, ObjectStore
from command import Answer, in_own_process
from genretag import checkpoint
from genretag.audio import remote as audio_remote
from genretag.audio.audiofile import AudioFile
from genretag.audio.decode import decode, decode_whole
from genretag.audio.payload import identify
from genretag.audio.remote import place
from genretag.errors import DecodeError
from genretag.predict.engine import EngineOptions, Job, Predictor, TrackScores
from genretag.store import Store
from genretag.tagging import tags
from genretag.tagging.look import read
from genretag.tagging.plan import Existing, Record
from genretag.tagging.scan import Found, ScanOptions, scan
from genretag.tagging.tag import Tagging, TagOptions
from sounds import FIXTURES, FORMATS, RECORDED, make_sound

SPEC = checkpoint.read_meta(checkpoint.resolve("musicnn-msd")).features
SUFFIXES = (*FORMATS, *RECORDED)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song of every format, one long one, and files that are none."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "songs").mkdir()
    (folder / "long").mkdir()
    for number, suffix in enumerate(FORMATS):
        make_sound(folder / "songs" / f"é {number}{suffix}", 40 if suffix == ".mp3" else 5, seed=number)
    for suffix in RECORDED:
        (folder / "songs" / f"two{suffix}").write_bytes((FIXTURES / f"two_seconds{suffix}").read_bytes())
    (folder / "songs" / "broken.mp3").write_bytes(b"no sound at all " * 99)
    (folder / "songs" / "empty.flac").touch()
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 44100)
    soundfile.write(folder / "long" / "two minutes.flac", np.tile(noise, 120), 44100)
    for mode in ("CONSTANT", "VARIABLE"):
        path, loudness = folder / "long" / f"{mode}.mp3", np.repeat(np.linspace(0.01, 1, 120), 44100)
        soundfile.write(path, np.tile(noise, 120) * loudness, 44100, bitrate_mode=mode, compression_level=0.6)
    return folder


@pytest.fixture(scope="module")
def store(library: Path) -> Iterator[ObjectStore]:
    with pytest.MonkeyPatch.context() as patch, ObjectStore() as store:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        store.put_folder(library)
        yield store


def remote(key: str) -> Path:
    return place(f"s3://{BUCKET}/{key}")


@pytest.mark.parametrize("coverage", ["fast", "full", 2])
def test_the_same_windows_and_names_come_from_a_store_as_from_a_disk(
    store: ObjectStore, library: Path, coverage: object
) -> None:
    for path in sorted((library / "songs").iterdir()):
        there = remote(f"songs/{path.name}")
        assert identify(there) == identify(path)
        if path.name in ("broken.mp3", "empty.flac"):
            for place_ in (path, there):
                with pytest.raises(DecodeError) as error:
                    decode_whole(place_, SPEC, coverage)
                assert error.value.code in ("not-audio", "empty")
            continue
        assert tags.read(there) == tags.read(path)
        (heard, length), (wanted, wanted_length) = (decode_whole(p, SPEC, coverage) for p in (there, path))
        np.testing.assert_array_equal(heard.waves, wanted.waves)
        np.testing.assert_array_equal(heard.starts, wanted.starts)
        assert length == wanted_length


def test_only_what_the_windows_need_is_fetched_and_once(store: ObjectStore, library: Path) -> None:
    stored = (library / "long" / "two minutes.flac").stat().st_size
    song = remote("long/two minutes.flac")
    store.relay.reset()
    identify(song)
    tags.read(song)
    assert store.relay.fetched < 350_000
    decode_whole(song, SPEC, 4)
    assert store.relay.fetched < stored / 3
    decode_whole(song, SPEC, "full")
    # Headers of some requests come on top; what was fetched for the four windows is not fetched again.
    assert store.relay.fetched < 1.05 * stored
    assert store.relay.requests < 40


@pytest.mark.parametrize(("mode", "share"), [("CONSTANT", 0.5), ("VARIABLE", 1.05)])
def test_places_in_an_mp3_are_reckoned_only_where_that_is_exact(
    store: ObjectStore, library: Path, mode: str, share: float
) -> None:
    path, song = library / "long" / f"{mode}.mp3", remote(f"long/{mode}.mp3")
    store.relay.reset()
    heard, wanted = (decode_whole(place_, SPEC, 4)[0] for place_ in (song, path))
    np.testing.assert_array_equal(heard.waves, wanted.waves)
    assert store.relay.fetched < share * path.stat().st_size


def test_a_web_server_will_do(store: ObjectStore, library: Path) -> None:
    path = library / "songs" / "two.ape"
    song = place(f"http://127.0.0.1:{store.relay.port}/{BUCKET}/songs/two.ape")
    assert identify(song) == identify(path)
    np.testing.assert_array_equal(
        decode_whole(song, SPEC, "fast")[0].waves, decode_whole(path, SPEC, "fast")[0].waves
    )
    assert song.stat() == place(str(song)).stat()


def test_a_folder_is_listed_as_on_a_disk(store: ObjectStore, library: Path, tmp_path: Path) -> None:
    for name in ("b.mp3", "a.flac", "notes.txt", ".hidden.mp3", "live/x.ogg", "ignored/.genretagignore",
                 "ignored/y.ogg", "...And/z.mp3", "Bonus/q.mp3"):  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
        store.put(file, f"tree/{name}")
    options = ScanOptions(exclude=("Bonus", "live/*.mp3"))
    on_disk = [found.path.relative_to(tmp_path).as_posix() for found in scan([tmp_path], options)]
    root = remote("tree")
    assert [str(found.path) for found in scan([root], options)] == [f"{root}/{name}" for name in on_disk]
    assert on_disk == ["a.flac", "b.mp3", "...And/z.mp3", "live/x.ogg"]
    (gone,) = scan([remote("nothing/here")])
    assert gone.error is not None
    assert gone.error.code == "missing"


def test_a_broken_network_is_no_verdict_on_a_song(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = remote("songs/é 0.mp3")
    song.stat()
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setattr(audio_remote, "_KEPT", type(audio_remote._KEPT)(8))
    store.relay.cut = True
    try:
        with pytest.raises(DecodeError) as error:
            decode_whole(song, SPEC, "fast")
    finally:
        store.relay.cut = False
    assert error.value.code == "unreadable"
    decode_whole(song, SPEC, "fast")


def test_a_song_replaced_while_it_is_decoded_gives_nothing(store: ObjectStore, library: Path) -> None:
    first, second = (library / "long" / f"{mode}.mp3" for mode in ("CONSTANT", "VARIABLE"))
    store.put(first, "replaced/a.mp3")
    song = remote("replaced/a.mp3")
    todo = [lambda: store.put(second, "replaced/a.mp3")]

    def progress(seconds: float) -> None:
        while todo:
            todo.pop()()

    with pytest.raises(DecodeError) as error:
        decode(song, SPEC, "full", lambda chunk: None, progress=progress)
    assert error.value.code == "changed"
    # Nothing is left of what was fetched under the wrong version: the first comes back with the same one.
    store.put(first, "replaced/a.mp3")
    again = remote("replaced/a.mp3")
    assert again.stat() == song.stat()
    wanted, heard = (decode_whole(path, SPEC, 4)[0] for path in (first, again))
    np.testing.assert_array_equal(heard.waves, wanted.waves)


def test_a_song_replaced_before_it_is_decoded_is_not_taken_for_the_other(
    store: ObjectStore, library: Path, tmp_path: Path
) -> None:
    first, second = (library / "long" / f"{mode}.mp3" for mode in ("CONSTANT", "VARIABLE"))
    store.put(first, "between/a.mp3")
    options = TagOptions(model="musicnn-msd", write=False, existing=Existing.REPLACE)

    def meddled(jobs: Iterable[Job[Any]]) -> Iterator[Job[Any]]:
        for job in jobs:
            store.put(second, "between/a.mp3")
            yield job

    class Meddling(Predictor):
        def predict(self, jobs: Iterable[Job[Any]]) -> Generator[tuple[Any, TrackScores | None], None, None]:
            yield from super().predict(meddled(jobs))

    def record(path: Path, predictor: Predictor) -> Record:
        with closing(predictor), Store.open(tmp_path / "home") as known:
            (one,) = Tagging(options, known, predictor=predictor).records([Found(path)])
        return one

    model, engine = checkpoint.resolve("musicnn-msd"), EngineOptions(workers=1)
    failed = record(remote("between/a.mp3"), Meddling(model, engine))
    assert failed.error is not None
    assert failed.error.code == "changed"
    scores = [record(path, Predictor(model, engine)).scores for path in (first, second)]
    assert scores[0] != scores[1]
    assert record(remote("between/a.mp3"), Predictor(model, engine)).scores == scores[1]


def test_a_song_replaced_while_it_is_looked_at_is_not_remembered(store: ObjectStore, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 20 * 44100)
    first, second = tmp_path / "a.wav", tmp_path / "b.wav"
    soundfile.write(first, noise, 44100)
    soundfile.write(second, -noise, 44100)
    store.put(first, "look/a.wav")
    song = remote("look/a.wav")
    song.stat()
    store.put(second, "look/a.wav")
    seen = read(song)
    assert seen.known is None
    assert seen.error is not None
    assert seen.error.code == "changed"
    assert read(remote("look/a.wav")).known == read(second).known


def test_without_versions_the_bytes_of_a_song_are_compared(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 20 * 44100)
    for name, sound in (("a.wav", noise), ("b.wav", -noise)):
        soundfile.write(tmp_path / name, sound, 44100)
    handler = functools.partial(Versionless, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        song = place(f"http://127.0.0.1:{server.server_port}/a.wav")
        opened: list[AudioFile] = []
        decode(song, SPEC, "full", lambda chunk: None, opened=opened.append)
        assert opened[0].state.audio_id == identify(tmp_path / "a.wav")

        def progress(seconds: float) -> None:
            if (tmp_path / "b.wav").exists():
                (tmp_path / "b.wav").replace(tmp_path / "a.wav")

        with pytest.raises(DecodeError) as error:
            decode(place(str(song)), SPEC, "full", lambda chunk: None, progress=progress)
        assert error.value.code == "changed"
        server.shutdown()


class Versionless(SimpleHTTPRequestHandler):
    """A web server that gives ranges, and says nothing of versions."""

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last or len(content)) + 1]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(part)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(Path(self.translate_path(self.path)).stat().st_size))
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


def tag(*arguments: object, **more: object) -> Answer:
    return in_own_process("tag", "--model", "musicnn-msd", "--existing", "replace", *arguments, **more)


def test_a_plan_made_from_a_store_is_carried_out_on_the_mounted_files(
    store: ObjectStore, library: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.jsonl"
    there, here = tag("--plan", plan, "--json", remote("songs")), tag("-n", "--json", library / "songs")
    assert there.code == here.code == 1

    def but_for_place(answer: Answer, root: object) -> list[dict[str, object]]:
        text = answer.out.replace(f"{root}/", "")
        return [{**json.loads(line), "seconds": None} for line in text.splitlines()]

    assert but_for_place(there, remote("songs")) == but_for_place(here, library / "songs")
    store.relay.reset()
    again = tag("-n", "--json", remote("songs"))
    assert but_for_place(again, "x") == [
        {**record, "seconds": None, "error": known["error"]}
        for record, known in zip(there.records, again.records, strict=True)
    ]
    assert store.relay.requests < 5  # the listing
    mounted = plan.read_text("utf-8").replace(str(remote("songs")), str(library / "songs"))
    done = in_own_process("apply", "-", "--json", input=mounted)
    assert {record["status"] for record in done.records} == {"written"}
    assert len(done.records) == sum(record["status"] == "planned" for record in there.records)


def test_remote_files_are_never_written(store: ObjectStore) -> None:
    named = tag(remote("songs"))
    assert (named.code, named.out) == (2, "")
    assert named.err.startswith(
        "genretag: s3://music/songs: remote storage is read, never written; add --plan"
    )
    listed = tag("--files-from", "-", "--json", input=f"{remote('songs/two.ape')}\n")
    assert [(r["status"], r["error"]["code"]) for r in listed.records] == [("failed", "remote")]
