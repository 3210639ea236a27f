"""Find the music in a track with silence, without decoding all of it if possible."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genretag.audio.features import FeatureSpec
from genretag.audio.loudness import ABSOLUTE_GATE, FAINT, QUIET, block_samples, power_of, remove_offset
from genretag.audio.window_reader import WindowReader

PROBES = 100  # positions that are probed first, spread over the whole length
ENOUGH = 16  # positions with music, after which no more are looked for
FINER = 8  # probes between two neighbours, around each position with music
ROUNDS = 3


def music_positions(reader: WindowReader) -> NDArray[np.int64]:
    """Return the first samples of blocks of 400 ms with music, ascending; none in a silent track.

    A short file, or one that cannot be sought in, is measured block by block. In others blocks at equal
    distances are probed by seeking, and more around those with music. Everything is decoded only if all of
    these are silent or as faint as noise.

    Raises:
        AstrayError: As in `WindowReader.read`.
    """
    block = block_samples(reader.spec.sample_rate)
    if not reader.loaded and PROBES * block < reader.samples:
        positions, powers = _probe(reader, block)
        if np.max(powers) > FAINT:
            return _with_music(positions, powers)
    measured = np.array([power_of(remove_offset(wave)) for _, wave in reader.blocks(block)])
    return _with_music(np.arange(len(measured)) * block, measured)


def starts_around(
    positions: NDArray[np.int64], length: int, spec: FeatureSpec, wanted: int
) -> NDArray[np.int64]:
    """Return at most `wanted` starts of windows around positions with music, ascending, on the hop grid.

    The positions are used evenly; windows overlap by half at most, so that there may be fewer.
    """
    if len(positions) > wanted:
        positions = positions[((np.arange(wanted) + 0.5) * len(positions) / wanted).astype(int)]
    nominal = spec.frames * spec.hop_length
    centres = positions + block_samples(spec.sample_rate) // 2
    starts = np.clip(centres - nominal // 2, 0, max(length - nominal, 0))
    chosen: list[int] = []
    for start in (starts // spec.hop_length * spec.hop_length).tolist():
        if not chosen or start - chosen[-1] >= nominal // 2:
            chosen.append(start)
    return np.array(chosen, np.int64)


def sound_between(reader: WindowReader, first: int, end: int, least: float) -> tuple[int, int]:
    """Return the first sample and the end of what sounds within a part of a track; the part if nothing does.

    Args:
        reader: The track.
        first: First sample of the part.
        end: End of the part.
        least: Mean power from which a block of 400 ms counts as sound.

    Raises:
        AstrayError: As in `WindowReader.read`.
    """
    block = block_samples(reader.spec.sample_rate)
    end = min(end, reader.samples)
    found: list[int] = []
    for start, wave in reader.stretches(np.arange(first, end, block), block):
        centred = remove_offset(wave)
        if power_of(centred) >= least:
            loud = start + np.flatnonzero(np.square(centred) >= least)
            found += [int(loud[0]), int(loud[-1]) + 1]
    return (found[0], min(found[-1], end)) if found else (first, end)


def _probe(reader: WindowReader, block: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Positions of probes and their powers, in ascending order of the positions."""
    step = reader.samples / PROBES
    found: dict[int, float] = {}
    wanted = {round((number + 0.5) * step) for number in range(PROBES)}
    for _ in range(ROUNDS):
        firsts = np.array(sorted(wanted - found.keys()), np.int64)
        found |= {first: power_of(remove_offset(wave)) for first, wave in reader.stretches(firsts, block)}
        positions = np.array(sorted(found), np.int64)
        powers = np.array([found[first] for first in positions.tolist()])
        music = _with_music(positions, powers)
        if not 0 < len(music) < ENOUGH or step <= block:
            break
        step /= FINER
        around = (music[:, None] + np.rint(np.arange(-FINER, FINER + 1) * step)).astype(np.int64).ravel()
        wanted = set(np.clip(around, 0, reader.samples - block).tolist())
    return positions, powers


def _with_music(positions: NDArray[np.int64], powers: NDArray[np.float64]) -> NDArray[np.int64]:
    return positions[powers > max(ABSOLUTE_GATE, QUIET * float(np.max(powers, initial=0.0)))]
