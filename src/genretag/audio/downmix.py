"""The mono mix of a track: the mean of its channels, or the loudest one if they cancel each other.

A recording whose right channel is the inverted left one has an empty mono mix: what is left of it is the
noise of the codec.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CANCELLED = 10 ** (-10 / 10)  # power of the mix, relative to the loudest channel, below which it is not used
# The mix of many channels of which one is silent or all are unrelated is quiet too, yet nothing is lost.
UNRELATED = 0.5  # of the power that the mix of unrelated channels would have
AUDIBLE = 1e-8  # power below which a channel is silent: -80 dB
EQUAL = 0.9  # of the power of the loudest channel, from which another one counts as equally loud
STRIDE = 61  # every so many samples are measured; prime, so that no tone falls into step with it


class Downmix:
    """The channels of one track, measured as they are decoded, and the choice that follows from them.

    Frames with different numbers of channels are measured apart. Until `decide` chooses a channel, the mix is
    the mean of all, whatever was measured: the same track must not be mixed in two ways.
    """

    def __init__(self) -> None:
        # By number of channels: products of the channels, and of a constant 1 to remove the mean.
        self._products: dict[int, NDArray[np.float64]] = {}
        self._chosen: dict[int, int] = {}

    def channel(self, count: int) -> int | None:
        """Return the channel to use of `count`, or None for their mean."""
        return self._chosen.get(count)

    def measure(self, channels: Sequence[NDArray[Any]], full_scale: float = 1.0) -> None:
        """Add samples of all channels, each an array (samples,)."""
        count = len(channels)
        if count < 2 or count in self._chosen:
            return
        rows = np.ones((count + 1, -(-len(channels[0]) // STRIDE)), np.float32)
        for row, samples in zip(rows, channels, strict=False):
            row[:] = samples[::STRIDE]
        rows[:count] /= full_scale
        products = rows @ rows.T
        if np.isfinite(products).all():
            self._products[count] = self._products.get(count, 0.0) + products.astype(np.float64)

    def decide(self) -> bool:
        """Choose a channel if the mix cancels; return True if what was mixed before is void by that."""
        before = len(self._chosen)
        for count, products in self._products.items():
            if count not in self._chosen and (loudest := _loudest_of_cancelling(products)) is not None:
                self._chosen[count] = loudest
        return len(self._chosen) > before


def _loudest_of_cancelling(products: NDArray[np.float64]) -> int | None:
    """Return the loudest channel if the mean of all is far below it, else None."""
    count = len(products) - 1
    means = products[:count, count] / products[count, count]
    covariance = products[:count, :count] / products[count, count] - np.outer(means, means)
    powers, mix = np.diag(covariance), covariance.sum() / count**2
    most = powers.max()
    cancels = mix < CANCELLED * most and mix < UNRELATED * powers.sum() / count**2
    # Of channels that differ by a codec's noise alone always the same one.
    return int(np.argmax(powers >= EQUAL * most)) if cancels and most > AUDIBLE else None
