"""The frame of the pages: nothing from a stranger becomes markup, and only what it was made with runs."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from genretag.pages.shell import document, embedded

ASSETS = {
    asset.name: asset.read_text(encoding="utf-8")
    for asset in files("genretag.pages").iterdir()
    if asset.is_file()
}
PAGES = sorted(name.removesuffix(".js") for name in ASSETS if name.endswith(".js") and name != "shell.js")
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>&lt;/script&gt;",
    "\" onload='x' `${1}` $data \\",
    "\x00\x1b[2J\u2028\u2029\u202e\udce9",
)


class Reader(HTMLParser):
    """What a browser would make of a page: its tags, and the text within each."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.tags[-1][0] if self.tags else "", data))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("text", HOSTILE)
def test_data_cannot_leave_its_element_and_comes_back_whole(text: str) -> None:
    written = embedded({text: [text]})
    assert not set(written) & set("<>&\u2028\u2029")
    assert written.isascii()
    assert json.loads(written) == {text: [text]}


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        embedded([float("nan")])


@pytest.mark.parametrize("name", PAGES)
def test_a_hostile_title_and_hostile_data_add_no_element(name: str) -> None:
    plain = Reader(document(name, "a song", {"name": "a song"}))
    hostile = Reader(document(name, "".join(HOSTILE), {"name": HOSTILE}))
    assert hostile.tags[5:] == plain.tags[5:]
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]


@pytest.mark.parametrize("name", PAGES)
def test_the_policy_allows_the_scripts_and_styles_of_the_page_alone(name: str) -> None:
    page = document(name, "t", {})
    text = page.decode("utf-8")
    (policy,) = (meta["content"] for meta in Reader(page).named("meta") if "http-equiv" in meta)
    for element, directive in (("script", "script-src"), ("style", "style-src")):
        (body,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in str(policy)
    assert "default-src 'none'" in str(policy)
    assert "unsafe" not in str(policy)
    assert "http" not in str(policy)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_nothing_of_the_network_and_styles_nothing_inline(name: str) -> None:
    page = Reader(document(name, "t", {}))
    for tag, attributes in page.tags:
        assert not any(key == "style" or key.startswith("on") for key in attributes), tag
        assert attributes.get("src") is None, tag
        assert attributes.get("href") in (None, "data:,"), tag
    assert not re.search(r"url\(|@import|https?:", "".join(ASSETS.values()))


@pytest.mark.parametrize("asset", sorted(name for name in ASSETS if name.endswith((".js", ".css"))))
def test_an_asset_cannot_end_its_own_element(asset: str) -> None:
    assert not re.search(r"</|<!--", ASSETS[asset])


@pytest.mark.parametrize("theme", [0, 1])
def test_the_heat_scale_is_even_to_the_eye(theme: int) -> None:
    """Equal distances in Oklab, and lightness that only goes one way: it reads the same without hues."""
    colour = r"oklch\(([\d.]+) ([\d.]+) ([\d.]+)\)"
    pairs = re.findall(rf"--heat-\d: light-dark\({colour}, {colour}\)", ASSETS["shell.css"])
    points = []
    for pair in pairs:
        lightness, chroma, hue = map(float, pair[3 * theme : 3 * theme + 3])
        angle = math.radians(hue)
        points.append((lightness, chroma * math.cos(angle), chroma * math.sin(angle)))
    steps = [math.dist(one, other) for one, other in itertools.pairwise(points)]
    assert len(steps) == 6
    assert max(steps) < 1.1 * min(steps)
    darker = [other[0] < one[0] for one, other in itertools.pairwise(points)]
    assert darker == [theme == 0] * 6
