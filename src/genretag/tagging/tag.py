"""A library in, records out: look at each file, analyse what is not known yet, decide, and write or plan."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genretag import checkpoint
from genretag.audio.remote import RemotePath
from genretag.errors import FileError, GenretagError, StoreError
from genretag.escapes import json_line
from genretag.interruption import held_off
from genretag.labels import split_genres
from genretag.places import Place
from genretag.predict.decide import REASON_FALLBACK, Decision, DecisionRule, decide
from genretag.predict.engine import EngineOptions, Job, PredictorLike, TrackScores, predict
from genretag.predict.heads import KnownScores
from genretag.store import CachedScores, FileKey, KnownFile, Store
from genretag.tagging import tags
from genretag.tagging.album import Albums, By, Track, Verdict
from genretag.tagging.arriving import arriving
from genretag.tagging.genremap import GenreMap
from genretag.tagging.look import (
    LASTING_FAILURES,
    Look,
    audio_failure,
    error_of,
    look_again,
    only_ctime_differs,
    state_of,
)
from genretag.tagging.lookahead import looked_ahead
from genretag.tagging.plan import Existing, Record, keeps, merge
from genretag.tagging.scan import Found
from genretag.tagging.writer import GenreWriter, WriteOptions

# Times that a file may be edited, its modification time restored, while it is being written.
ATTEMPTS = 3


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
    by: By = "track"


@dataclass(frozen=True)
class _Candidate(Look):
    """One file on its way: what is known of it before the model has spoken."""

    kept: bool = False
    cached: CachedScores | None = None


@dataclass(frozen=True)
class _Heard:
    """A file after the model has spoken, and its record so far: whole where there is nothing to decide."""

    candidate: _Candidate
    record: Record


class Tagging:
    """One run of `tag`: iterate over `records(found)`.

    Afterwards `writer` tells what was written and `albums`, where albums were decided, which tracks differ.
    `places` are what the person named: no other run may write there at the same time. With a `predictor` its
    checkpoint and its engine are used, and stay ready for the next run.
    """

    def __init__(
        self,
        options: TagOptions,
        store: Store,
        places: Iterable[Place] = (),
        predictor: PredictorLike | None = None,
    ) -> None:
        self.options = options
        self.store = store
        self.predictor = predictor
        self.model_path = predictor.checkpoint if predictor else checkpoint.resolve(options.model)
        self.meta = checkpoint.read_meta(self.model_path)
        self.known_scores = KnownScores(store, self.model_path, options.engine.coverage)
        self.writer = GenreWriter(store, "tag", self.meta.name, options.writing, places)
        self.albums: Albums | None = None
        self._new_failures: set[str] = set()
        if options.by == "album":
            self.albums = Albums(self.meta.labels, self._decision, options.genre_map)

    def records(self, found: Iterable[Found]) -> Generator[Record, None, None]:
        """A record for every file, in the order of `found`; a file is finished when its record comes.

        By album, records come when their folder is complete. BusyError, before anything is done, where
        another run writes in the same places.
        """
        elsewhere = self.predictor.elsewhere if self.predictor else None
        looks = looked_ahead(found, self.store, elsewhere, use_cache=self.options.use_cache)
        jobs = map(self._prepare, looks)
        if self.predictor is None:
            results = predict(jobs, self.model_path, self.options.engine)
        else:
            results = self.predictor.predict(jobs)
        with contextlib.closing(results), self.writer:
            if self.options.write:
                self.writer.begin()
            heard = (self._heard(candidate, track) for candidate, track in results)
            for track, verdict in self._judged(heard):
                # Until its record has been used: what is said of a file is what became of it.
                with held_off():
                    yield self._remembered(track.item.candidate, self._finish(track, verdict))

    # Before the model

    def _prepare(self, look: Look) -> Job[_Candidate]:
        """A job; with a path only where the genres are wanted and the scores are not known."""
        candidate, known = _Candidate(look.path, look.key, look.known, look.error), look.known
        if candidate.error or known is None:
            return Job(candidate, None)
        if self.options.write and isinstance(candidate.path, RemotePath):
            reason = "remote storage is read, never written; make a plan, and apply it where it is mounted"
            return Job(replace(candidate, error=FileError("remote", f"{candidate.path}: {reason}")), None)
        if known.taggable and self._left_alone(candidate.path, known):
            return Job(replace(candidate, kept=True), None)
        if known.error and known.error.code == "too-large":  # made to hold up whoever opens it
            return Job(replace(candidate, error=known.error), None)
        if self.options.use_cache:
            if cached := self.known_scores.get(known.audio_id):
                return Job(replace(candidate, cached=cached), None)
            if failure := audio_failure(self.store, candidate.key, known):
                return Job(replace(candidate, error=_again(failure, candidate.path)), None)
        return Job(candidate, candidate.path)

    def _left_alone(self, path: Path, known: KnownFile) -> bool:
        """Whether the policy keeps the genres of this file, whatever the model would say."""
        if not known.genres:
            return False
        return keeps(self.options.existing, known.genres, self._ours(path, known))

    def _ours(self, path: Path, known: KnownFile) -> tuple[str, ...] | None:
        """What genretag wrote last into this file; asked only where the policy wants to know."""
        return self._last_written(path, known) if self.options.existing is Existing.REFRESH else None

    def _last_written(self, path: Path, known: KnownFile) -> tuple[str, ...] | None:
        write = self.writer.journal.last_write(path, known.audio_id)
        return None if write is None else write.change.new_genres

    # After the model

    def _heard(self, candidate: _Candidate, track: TrackScores | None) -> Track[_Heard]:
        """What is known of a file once the model has spoken; its scores are remembered."""
        known, error = candidate.known, candidate.error
        base = Record(candidate.path, "failed", model=self.meta.name)
        if known is not None:
            base = replace(base, previous=known.genres, audio=known.audio_id)
        if track is not None:
            base = replace(base, seconds=track.seconds)
            error = error_of(candidate, track.state, track.error)
            if error is not None and error.code == "changed":
                if cached := self._scores_of_own_write(candidate):
                    candidate, error = replace(candidate, cached=cached), None
                else:
                    self.store.forget_file(candidate.path)
        if error or known is None:
            return Track(_Heard(candidate, replace(base, error=error)), candidate.path)
        if candidate.kept:
            return self._kept(_Heard(candidate, replace(base, status="kept")), candidate.path, known)
        found = self._scores(known, candidate.cached, track)
        named = dict(zip(self.meta.labels.names, found.scores.tolist(), strict=True))
        heard = _Heard(candidate, replace(base, scores=named))
        return Track(heard, candidate.path, found.scores, found.duration)

    def _scores_of_own_write(self, candidate: _Candidate) -> CachedScores | None:
        """Return the scores of a file that this run wrote under another name while it was analysed."""
        key, known = candidate.key, candidate.known
        if key is None or known is None or self.writer.key_now(key) == key:
            return None
        return self.known_scores.get(known.audio_id)

    def _kept(self, heard: _Heard, path: Path, known: KnownFile) -> Track[_Heard]:
        """Return the track of a file that keeps its genres.

        Genres that genretag wrote do not decide an album; the scores they came from do, as in the run that
        wrote them. Otherwise a second run could tag a track about which the first one was unsure.
        """
        ours = self.albums is not None and known.genres == self._last_written(path, known)
        if ours and (cached := self.known_scores.get(known.audio_id)):
            return Track(heard, path, cached.scores, cached.duration)
        return Track(heard, path, kept=split_genres(known.genres, self.options.writing.separator))

    def _scores(
        self, known: KnownFile, cached: CachedScores | None, track: TrackScores | None
    ) -> CachedScores:
        if cached is not None:
            return cached
        assert track is not None
        assert track.scores is not None
        fresh = CachedScores(track.scores, track.n_windows, track.duration)
        self.known_scores.remember(known.audio_id, fresh, track.encoded)
        return fresh

    def _decision(self, scores: NDArray[np.floating]) -> Decision:
        return decide(scores, self.meta.labels, self.meta.thresholds, self.options.rule)

    def _judged(self, heard: Iterable[Track[_Heard]]) -> Iterable[tuple[Track[_Heard], Verdict | None]]:
        """Every track in its order, with what was decided for its album, if that is asked for."""
        return ((track, None) for track in heard) if self.albums is None else self.albums.together(heard)

    def _finish(self, track: Track[_Heard], verdict: Verdict | None) -> Record:
        """The record of a file, decided by itself or with its album, and written where that is wanted."""
        candidate, record = track.item.candidate, track.item.record
        if verdict is not None:
            record = replace(record, album=verdict.to_dict())
        if track.scores is None or candidate.known is None or candidate.kept:
            return record
        if verdict is not None:
            return self._decided(record, candidate, candidate.known, verdict.genres)
        decision = self._decision(track.scores)
        if decision.by_fallback:
            record = replace(record, reason=REASON_FALLBACK)
        decided = self.options.genre_map.apply(decision.genres)
        return self._decided(record, candidate, candidate.known, decided)

    def _decided(
        self, record: Record, candidate: _Candidate, known: KnownFile, decided: tuple[str, ...]
    ) -> Record:
        """The record of a file whose genres are decided."""
        if self.options.write and decided:
            return self._decided_now(record, candidate, known, decided)
        return self._planned(record, known, decided)

    def _decided_now(
        self, record: Record, candidate: _Candidate, known: KnownFile, decided: tuple[str, ...]
    ) -> Record:
        """Write a file by the genres that it has now, which may be others than before its analysis."""
        assert candidate.key is not None
        for attempt in range(ATTEMPTS):
            key = self.writer.key_now(candidate.key)
            look = look_again(record.path, key, known, self.store, force=key != candidate.key)
            if look.error:
                return replace(record, status="failed", error=look.error)
            assert look.key is not None
            assert look.known is not None
            planned = self._planned(replace(record, previous=look.known.genres), look.known, decided)
            if planned.status != "planned":
                return planned
            written = self._written(planned, look.key, look.known)
            raced = written.error is not None and written.error.code == "changed"
            if not (raced and attempt < ATTEMPTS - 1 and only_ctime_differs(record.path, look.key)):
                return written
        raise AssertionError

    def _planned(self, record: Record, known: KnownFile, decided: tuple[str, ...]) -> Record:
        """Return the record with the genres that the file should have, by those that it has."""
        if not known.taggable:
            reason = known.error or FileError(
                "not-taggable", f"{record.path}: {known.format} files have no place for a genre"
            )
            return replace(record, genres=decided, error=reason)
        if not decided:
            return replace(record, status="unsure")
        ours, separator = self._ours(record.path, known), self.options.writing.separator
        wanted = merge(self.options.existing, known.genres, decided, ours, separator)
        if known.genres == tags.as_stored(decided if wanted is None else wanted, separator):
            return replace(record, status="unchanged", genres=known.genres)
        if keeps(self.options.existing, known.genres, ours):
            # Another program gave it a genre since it was looked at.
            return replace(record, status="kept")
        if wanted is None:
            return replace(record, status="unchanged", genres=known.genres)
        return replace(record, status="planned", genres=wanted)

    def _written(self, record: Record, key: FileKey, known: KnownFile) -> Record:
        note = provenance(record) if self.options.writing.provenance else None
        try:
            changed = self.writer.write(record.path, key, known, record.genres, note)
        except StoreError:
            raise
        except GenretagError as error:
            return replace(record, status="failed", error=FileError.of(error))
        return replace(record, status="written" if changed else "unchanged")

    def _remembered(self, candidate: _Candidate, record: Record) -> Record:
        """Remember a failure that follows from the bytes of the file, and mark it if an earlier run did."""
        error, known = record.error and arriving(record.path, record.error), candidate.known
        if error is None or known is None or error.code not in LASTING_FAILURES:
            return replace(record, error=error)
        state = state_of(candidate.key, known)
        current = self.store.cached_failure(state)
        before = current or self.store.cached_failure(state, any_version=True)
        if before is None or before.code != error.code:
            self._new_failures.add(state)  # copies of the file fail for the first time in this run too
        if current is None or current.code != error.code:
            self.store.remember_failure(state, error)
        # With --no-cache a retry was asked for, so its result is news.
        seen = self.options.use_cache and state not in self._new_failures
        return replace(record, error=replace(error, known=seen))


def provenance(record: Record) -> str:
    """Content of the GENRETAG field: model, version and the scores of at least 0.1, the highest first."""
    from genretag import __version__

    high = sorted((item for item in record.scores.items() if item[1] >= 0.1), key=lambda item: -item[1])
    scores = {label: round(score, 3) for label, score in high}
    # The names may come from a plan or a foreign model: control characters are stored as escapes.
    return json_line({"model": record.model, "version": __version__, "scores": scores})


def _again(failure: FileError, path: Path) -> FileError:
    """A failure of an earlier run, told of the file as it is named now."""
    reason = failure.message.partition(": ")[2] or failure.message
    return FileError(failure.code, f"{path}: {reason} (as before; --no-cache tries again)")
