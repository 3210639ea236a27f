"""A library as a map: tracks that sound alike to the model lie close together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LANDMARKS = 1500  # tracks that are laid out exactly; the others find their place between them
NEIGHBOURS = 30  # of a track that decide where it lies
STEPS = 300  # 500 and 1,000 keep no more neighbours (benchmarks.map_layout)
DIMENSIONS = 12  # main directions of the scores in which tracks are compared
NEAREST = 4
LEAST_SCORE = 1e-3  # lower scores say no more about a track than this one
_BLOCK = 4096


def lay_out(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Places (tracks, 2), both from 0 to 1, of probabilities (tracks, labels); the same ones every time.

    t-SNE (van der Maaten and Hinton 2008) of the log-odds, begun from their two main directions, so that the
    large outline is kept too. Of a large library a sample is laid out and each other track goes between its
    nearest four of these, which takes time and memory in proportion to the tracks.
    """
    from sklearn.decomposition import PCA

    if len(scores) < 3:
        return np.full((len(scores), 2), 0.5)
    likely = np.clip(scores.astype(np.float64), LEAST_SCORE, 1 - LEAST_SCORE)
    odds = np.log(likely / (1 - likely))
    sample = _sample(len(odds))
    reduce = PCA(min(DIMENSIONS, *odds[sample].shape), svd_solver="full").fit(odds[sample])
    places = _between(_neighbourly(reduce.transform(odds[sample])), reduce.transform(odds), sample)
    low, high = places.min(axis=0), places.max(axis=0)
    # One scale for both directions: distances are to be seen as they are.
    middle, reach = (low + high) / 2, max(float(np.max(high - low)), 1e-9)
    framed: NDArray[np.float64] = (places - middle) / reach + 0.5
    return framed


def _sample(tracks: int) -> NDArray[np.intp]:
    if tracks <= LANDMARKS:
        return np.arange(tracks)
    chosen: NDArray[np.intp] = np.sort(np.random.default_rng(0).choice(tracks, LANDMARKS, replace=False))
    return chosen


def _neighbourly(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two dimensions (tracks, 2) that keep the neighbours of `points` (tracks, dimensions)."""
    from sklearn.manifold import TSNE

    spread = float(points[:, 0].std())
    # Too few to have neighbours, or all alike: their own first two directions say all there is.
    if len(points) < 10 or spread < 1e-6:
        return points[:, :2] if points.shape[1] > 1 else np.column_stack([points, np.zeros(len(points))])
    tsne = TSNE(
        perplexity=min(NEIGHBOURS, (len(points) - 1) / 3),
        init=(points[:, :2] / spread * 1e-4).astype(np.float32),
        max_iter=STEPS,
        random_state=0,
        n_jobs=1,
    )
    places: NDArray[np.float64] = tsne.fit_transform(points.astype(np.float32)).astype(np.float64)
    return places


def _between(
    landmarks: NDArray[np.float64], points: NDArray[np.float64], sample: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Places of all points, those of the sample being `landmarks`."""
    if len(sample) == len(points):
        return landmarks
    known = points[sample]
    lengths = (known**2).sum(axis=1)
    places = np.empty((len(points), 2))
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK]
        distances = lengths - 2 * block @ known.T + (block**2).sum(axis=1)[:, None]  # (block, landmarks)
        nearest = np.argpartition(distances, NEAREST, axis=1)[:, :NEAREST]
        weights = 1 / (np.take_along_axis(distances, nearest, axis=1).clip(min=0) + 1e-6)
        weights /= weights.sum(axis=1, keepdims=True)
        places[start : start + _BLOCK] = np.einsum("bn,bnd->bd", weights, landmarks[nearest])
    places[sample] = landmarks
    return places
