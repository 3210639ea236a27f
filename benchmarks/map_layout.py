"""How well the map of a library keeps neighbours: `python -m benchmarks.map_layout`.

Trustworthiness (of each track's ten neighbours on the map, how near they are in the scores; 1 is best) and
seconds, for two main directions (PCA), for t-SNE of so many steps, and for the layout of the page. On the
library that the store knows, and on a made-up one that is larger than the sample that is laid out exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from benchmarks.pages_speed import made_up
from genretag import checkpoint
from genretag.library.tracks import gather, known_files
from genretag.pages import layout
from genretag.store import Store

STEPS = (300, 500, 1000)
MADE_UP = 4000


def row(name: str, scores: NDArray[np.float32], place: Callable[[], NDArray[np.float64]]) -> None:
    likely = np.clip(scores.astype(np.float64), layout.LEAST_SCORE, 1 - layout.LEAST_SCORE)
    started = time.perf_counter()
    places = place()
    seconds = time.perf_counter() - started
    kept = trustworthiness(np.log(likely / (1 - likely)), places, n_neighbors=10)
    print(f"| {name} | {kept:.3f} | {seconds:.1f} |", flush=True)


def compare(title: str, scores: NDArray[np.float32]) -> None:
    print(f"\n{title}: {len(scores):,} heard tracks\n")
    print("| layout | trustworthiness | seconds |\n| --- | ---: | ---: |")
    likely = np.clip(scores, layout.LEAST_SCORE, 1 - layout.LEAST_SCORE)
    row("PCA", scores, lambda: PCA(2).fit_transform(np.log(likely / (1 - likely))).astype(np.float64))
    for steps in STEPS if len(scores) <= layout.LANDMARKS else STEPS[:1]:
        layout.STEPS = steps
        row(f"the page's, {steps} steps", scores, lambda: layout.lay_out(scores))
    layout.STEPS = STEPS[0]


def main() -> None:
    meta = checkpoint.read_meta(checkpoint.resolve("auto"))
    with Store.open() as store:
        library = gather(known_files(store)[0], store)
    if len(library.scores) > 20:
        compare("The library that the store knows", library.scores)
    compare("A made-up library", made_up(MADE_UP, meta).scores)


if __name__ == "__main__":
    main()
