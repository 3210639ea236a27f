"""A library in, records out: look at each file, analyse what is not known yet, decide, and write or plan."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genretag import checkpoint
from genretag.audio.payload import identify
from genretag.audio.remote import RemotePath
from genretag.errors import DecodeError, FileError, GenretagError, StoreError, TagError
from genretag.predict.decide import DecisionRule, decide
from genretag.predict.engine import EngineOptions, Job, PredictorLike, TrackScores, predict
from genretag.store import CachedScores, FileKey, KnownFile, Store
from genretag.tagging import tags
from genretag.tagging.genremap import GenreMap
from genretag.tagging.lookahead import looked_ahead
from genretag.tagging.plan import Existing, Record, merge
from genretag.tagging.scan import Found
from genretag.tagging.writer import GenreWriter, WriteOptions

# Failures of the sound itself: the same bytes fail again, so they are not tried at every run.
_LASTING = frozenset({"empty", "not-audio", "decode-failed", "too-short", "silent", "timeout", "worker-died"})


@dataclass(frozen=True)
class TagOptions:
    """Everything that `genretag tag` can be told about a run."""

    model: str = "auto"
    write: bool = True
    existing: Existing = Existing.KEEP
    rule: DecisionRule = field(default_factory=DecisionRule)
    genre_map: GenreMap = field(default_factory=GenreMap)
    writing: WriteOptions = field(default_factory=WriteOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)
    use_cache: bool = True


@dataclass(frozen=True)
class _Candidate:
    """One file on its way: what is known of it before the model has spoken."""

    path: Path
    key: FileKey | None = None
    known: KnownFile | None = None
    error: FileError | None = None
    kept: bool = False
    cached: CachedScores | None = None


class Tagging:
    """One run of `tag`: iterate over `records(found)`; afterwards `writer` tells what was written.

    With a `predictor` its checkpoint and its engine are used, and stay ready for the next run.
    """

    def __init__(self, options: TagOptions, store: Store, predictor: PredictorLike | None = None) -> None:
        self.options = options
        self.store = store
        self.predictor = predictor
        self.model_path = predictor.checkpoint if predictor else checkpoint.resolve(options.model)
        self.meta = checkpoint.read_meta(self.model_path)
        self.model_hash = checkpoint.file_hash(self.model_path)
        self.writer = GenreWriter(store, "tag", self.meta.name, options.writing)

    def records(self, found: Iterable[Found]) -> Generator[Record, None, None]:
        """A record for every file, in the order of `found`; a file is finished when its record comes."""
        jobs = map(self._prepare, looked_ahead(found, self._look))
        if self.predictor is None:
            results = predict(jobs, self.model_path, self.options.engine)
        else:
            results = self.predictor.predict(jobs)
        with contextlib.closing(results), self.writer:
            for candidate, track in results:
                yield self._finish(candidate, track)

    # Before the model

    def _prepare(self, candidate: _Candidate) -> Job[_Candidate]:
        """A job; with a path only where the genres are wanted and the scores are not known."""
        known = candidate.known
        if candidate.error or known is None:
            return Job(candidate, None)
        if known.taggable and self._left_alone(candidate.path, known):
            return Job(replace(candidate, kept=True), None)
        if known.error and known.error.code == "too-large":  # made to hold up whoever opens it
            return Job(replace(candidate, error=known.error), None)
        if self.options.use_cache:
            coverage = str(self.options.engine.coverage)
            if cached := self.store.cached_scores(known.audio_id, self.model_hash, coverage):
                return Job(replace(candidate, cached=cached), None)
            if failure := self.store.cached_failure(_state(candidate.key, known)):
                return Job(replace(candidate, error=_again(failure, candidate.path)), None)
        return Job(candidate, candidate.path)

    def _look(self, found: Found) -> _Candidate:
        """What the store or else the file itself says of its recording and its genres."""
        path = found.path
        if found.error:
            return _Candidate(path, error=found.error)
        try:
            key = FileKey.of(path.stat())
            known = self.store.known_file(key) if self.options.use_cache else None
            if known is None:
                known = _read(path)
                self.store.remember_file(key, path, known)
        except DecodeError as error:
            return _Candidate(path, error=FileError.of(error))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            code = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            return _Candidate(path, error=FileError(code, f"{path}: cannot be read ({reason})"))
        return _Candidate(path, key, known)

    def _left_alone(self, path: Path, known: KnownFile) -> bool:
        """Whether the policy keeps the genres of this file, whatever the model would say."""
        if not known.genres:
            return False
        return merge(self.options.existing, known.genres, ("any",), self._ours(path, known)) is None

    def _ours(self, path: Path, known: KnownFile) -> tuple[str, ...] | None:
        """What genretag wrote last into this file; asked only where the policy wants to know."""
        if self.options.existing is not Existing.REFRESH:
            return None
        write = self.writer.journal.last_write(path, known.audio_id)
        return None if write is None else write.change.new_genres

    # After the model

    def _finish(self, candidate: _Candidate, track: TrackScores | None) -> Record:
        known, error = candidate.known, candidate.error
        base = Record(candidate.path, "failed", model=self.meta.name)
        if known is not None:
            base = replace(base, previous=known.genres, audio=known.audio_id)
        if track is not None:
            base = replace(base, seconds=track.seconds)
            error = track.error
        if error or known is None:
            if track is not None and known is not None and error and _is_lasting(error, candidate.path):
                self.store.remember_failure(_state(candidate.key, known), error)
            return replace(base, error=error)
        if candidate.kept:
            return replace(base, status="kept")
        return self._decided(base, candidate, known, self._scores(known, candidate.cached, track))

    def _scores(
        self, known: KnownFile, cached: CachedScores | None, track: TrackScores | None
    ) -> NDArray[np.float32]:
        if cached is not None:
            return cached.scores
        assert track is not None
        assert track.scores is not None
        fresh = CachedScores(track.scores, track.n_windows, track.duration)
        self.store.remember_scores(known.audio_id, self.model_hash, str(self.options.engine.coverage), fresh)
        return track.scores

    def _decided(
        self, base: Record, candidate: _Candidate, known: KnownFile, scores: NDArray[np.float32]
    ) -> Record:
        """The record of a file whose scores are known."""
        decision = decide(scores, self.meta.labels, self.meta.thresholds, self.options.rule)
        decided = self.options.genre_map.apply(decision.genres)
        named = dict(zip(self.meta.labels.names, scores.tolist(), strict=True))
        record = replace(base, scores=named)
        if not known.taggable:
            reason = known.error or FileError(
                "not-taggable", f"{base.path}: {known.format} files have no place for a genre"
            )
            return replace(record, genres=decided, error=reason)
        if not decided:
            return replace(record, status="unsure")
        wanted = merge(self.options.existing, known.genres, decided, self._ours(base.path, known))
        if wanted is None or known.genres == tags.as_stored(wanted, self.options.writing.separator):
            return replace(record, status="unchanged", genres=known.genres)
        record = replace(record, status="planned", genres=wanted)
        return self._written(record, candidate, known) if self.options.write else record

    def _written(self, record: Record, candidate: _Candidate, known: KnownFile) -> Record:
        assert candidate.key is not None
        if isinstance(record.path, RemotePath):
            reason = (
                "remote storage is read, never written; make a plan, and apply it where the files are mounted"
            )
            return replace(record, status="failed", error=FileError("read-only", f"{record.path}: {reason}"))
        note = provenance(record) if self.options.writing.provenance else None
        try:
            changed = self.writer.write(record.path, candidate.key, known, record.genres, note)
        except StoreError:
            raise
        except GenretagError as error:
            return replace(record, status="failed", error=FileError.of(error))
        return replace(record, status="written" if changed else "unchanged")


def provenance(record: Record) -> str:
    """Content of the GENRETAG field: model, version and the scores of at least 0.1, the highest first."""
    from genretag import __version__

    high = sorted((item for item in record.scores.items() if item[1] >= 0.1), key=lambda item: -item[1])
    scores = {label: round(score, 3) for label, score in high}
    return json.dumps({"model": record.model, "version": __version__, "scores": scores}, ensure_ascii=False)


def _read(path: Path) -> KnownFile:
    """Recording and genres of a file that the store does not know. Raises OSError, DecodeError."""
    audio_id = identify(path)
    try:
        state = tags.read(path)
    except TagError as error:
        if error.code == "unreadable":  # the disk or the network, and not what is in the file
            raise DecodeError(str(error), code=error.code) from error
        return KnownFile(audio_id, "", False, (), FileError.of(error))
    return KnownFile(audio_id, state.format, state.taggable, state.genres)


def _is_lasting(error: FileError, path: Path) -> bool:
    # What took too long may have waited for the network.
    return error.code in _LASTING and not (error.code == "timeout" and isinstance(path, RemotePath))


def _state(key: FileKey | None, known: KnownFile) -> str:
    """What failed: a recording in a file of this size and age. Another file may hold it undamaged."""
    assert key is not None
    return f"{known.audio_id} {key.size} {key.mtime_ns}"


def _again(failure: FileError, path: Path) -> FileError:
    """A failure of an earlier run, told of the file as it is named now."""
    reason = failure.message.partition(": ")[2] or failure.message
    return FileError(failure.code, f"{path}: {reason} (as before; --no-cache tries again)")
