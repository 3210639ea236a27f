"""The frame of every HTML page: one document that holds its styles, its script and its data, and no more.

A page is three files beside this module, `NAME.html` (what stands in `<main>`), `NAME.css` and `NAME.js`, set
into `shell.html` after `shell.css` and `shell.js`. They are the package's own and are trusted. What comes
from strangers, names and tags, travels as JSON only and is put on the page as text by the script.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import string
from importlib.resources import files

from genretag import __version__
from genretag.escapes import printable

# Inside a script "</script" and "<!--" mean something to HTML, whatever its type; as escapes they do not.
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def document(name: str, title: str, data: object) -> bytes:
    """A whole page, UTF-8: the assets called `name` with a title and the `data` (anything JSON can hold).

    A script finds the data as `genretag.data`. The page may run and show only what it was made with: its own
    script and styles (by their hashes), and sound or pictures out of itself or from files beside it.
    ValueError where the data holds numbers that are none.
    """
    style = _asset("shell.css") + _asset(f"{name}.css")
    script = _asset("shell.js") + _asset(f"{name}.js")
    return (
        string.Template(_asset("shell.html"))
        .substitute(
            policy=html.escape(_policy(script, style)),
            title=html.escape(printable(title)),
            version=html.escape(__version__),
            name=name,
            style=style,
            main=_asset(f"{name}.html"),
            data=embedded(data),
            script=script,
        )
        .encode()
    )


def embedded(data: object) -> str:
    """JSON in ASCII that cannot leave the script element it is written into, whatever its texts hold."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def _policy(script: str, style: str) -> str:
    """Content-Security-Policy: nothing from the network, no script but ours, even if a text became markup."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            # 'self' and file: are the song beside the page, as it is served and as it is opened from a disk.
            "media-src 'self' file: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _asset(name: str) -> str:
    return files("genretag.pages").joinpath(name).read_text(encoding="utf-8")
