"""Scores from what a frozen encoder made of a recording: a new head on a known encoder analyses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genretag import checkpoint as checkpoints
from genretag.audio.windows import Coverage
from genretag.store import CachedEncoding, CachedScores, Store

if TYPE_CHECKING:
    from genretag.predict.score import Scorer


class KnownScores:
    """The scores of recordings by one checkpoint, as far as the store knows them or their encoding.

    Importing this module does not import torch; computing scores from an encoding does.

    Args:
        store: The store.
        checkpoint: The model.
        coverage: The windows that the scores are of.

    Raises:
        CheckpointError: The model cannot be read.
    """

    def __init__(self, store: Store, checkpoint: Path, coverage: Coverage) -> None:
        self._store = store
        self._checkpoint = checkpoint
        self._model_hash = checkpoints.file_hash(checkpoint)
        self._encoder_hash = checkpoints.encoder_hash(checkpoint)
        meta = checkpoints.read_meta(checkpoint)
        self._labels = len(meta.labels)
        self._coverage = str(coverage)  # of encodings, whose hash is of the front end too
        self._score_key = meta.features.cache_key(coverage)
        self._scorer: Scorer | None = None

    def get(self, audio_id: str) -> CachedScores | None:
        """Return the scores of a recording, or None if it must be analysed."""
        if cached := self._store.cached_scores(audio_id, self._model_hash, self._score_key, self._labels):
            return cached
        if self._encoder_hash is None:
            return None
        known = self._store.cached_encoding(audio_id, self._encoder_hash, self._coverage)
        if known is None or known.encoded.shape[1] != self._ready().encoded_width:
            return None
        scores = CachedScores(self._score(known.encoded), len(known.encoded), known.duration)
        self._store.remember_scores(audio_id, self._model_hash, self._score_key, scores)
        return scores

    def remember(
        self, audio_id: str, scores: CachedScores, encoded: NDArray[np.float32] | None = None
    ) -> None:
        """Remember the scores of a recording and, if it is given, its encoding (windows, width)."""
        self._store.remember_scores(audio_id, self._model_hash, self._score_key, scores)
        if self._encoder_hash is not None and encoded is not None:
            known = CachedEncoding(encoded, scores.duration)
            self._store.remember_encoding(audio_id, self._encoder_hash, self._coverage, known)

    def _score(self, encoded: NDArray[np.float32]) -> NDArray[np.float32]:
        scorer = self._ready()
        with scorer.lane():
            return scorer.track(encoded)

    def _ready(self) -> Scorer:
        if self._scorer is None:
            from genretag.predict.score import Scorer

            self._scorer = Scorer(checkpoints.load(self._checkpoint), "cpu")
        return self._scorer
