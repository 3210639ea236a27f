"""`genretag playlists`: a playlist for each genre."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from genretag.cli import options
from genretag.cli.output import say, table
from genretag.errors import UsageError
from genretag.escapes import json_line, printable
from genretag.tagging.scan import ScanOptions, require_any, scan


def playlists(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the playlists.")],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Files and folders; default: this folder.", show_default=False),
    ] = None,
    *,
    min_tracks: Annotated[
        int, typer.Option(metavar="N", help="No playlist for genres with fewer tracks.")
    ] = 1,
    absolute: Annotated[
        bool, typer.Option("--absolute", help="Absolute paths; default: relative to OUT.")
    ] = False,
    exclude: options.Exclude = None,
    follow_symlinks: options.FollowSymlinks = False,
    json: options.JsonDocument = False,
    quiet: options.Quiet = False,
) -> int:
    """Write an M3U8 playlist for each genre.

    The genres are those that stand in the files, whoever wrote them; nothing is analysed, no music file is
    changed. Playlists made earlier are written anew; one that somebody else made is never overwritten.

    Example: genretag playlists ~/Music/Genres ~/Music
    """
    from genretag.library.playlists import collect, left_over, write_playlists

    if min_tracks < 1:
        raise UsageError(f"--min-tracks {min_tracks}: give a whole number from 1 up")
    named = paths or [Path()]
    require_any(named)
    collected = collect(scan(named, ScanOptions(tuple(exclude or ()), follow_symlinks)))
    for error in collected.errors:
        say(f"[{error.code}] {error.message}")
    written = list(write_playlists(collected, out, least=min_tracks, absolute=absolute))
    if json:
        rows = [{"genre": one.genre, "path": str(one.path), "tracks": one.tracks} for one in written]
        print(json_line(rows))
    elif written:
        table(
            ("genre", "tracks", "playlist"),
            ((one.genre, f"{one.tracks:,}", str(one.path)) for one in written),
        )
    if not quiet:
        if collected.unlisted:
            count, first = len(collected.unlisted), collected.unlisted[0]
            say(f"{count:,} left out, whose names a playlist cannot hold (rename them), such as {first!r}")
        for path in left_over(out, (one.path for one in written)):
            say(f"{path}: no longer made from these files; delete it if you do not want it")
        lists = "1 playlist" if len(written) == 1 else f"{len(written):,} playlists"
        print(f"{collected.files:,} files, {lists} in {printable(str(out))}", file=sys.stderr)
        if not collected.by_genre:
            print("no file there has a genre; write some with: genretag tag", file=sys.stderr)
    return 1 if collected.errors else 0
