"""A real browser for the pages: Chromium where it is installed, and axe-core to judge what it shows."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest

from browser import Visit, Visitor

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@pytest.fixture(scope="module")
def visit() -> Iterator[Visitor]:
    """Open a file in a browser: `with visit(path, width=360, theme="dark") as page`."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=list(FLAGS))

        @contextlib.contextmanager
        def visitor(
            path: Path, *, width: int = 1280, theme: str = "light", **options: Any
        ) -> Iterator[Visit]:
            context = chromium.new_context(
                viewport={"width": width, "height": 800}, color_scheme=theme, **options
            )
            page = Visit(context.new_page())
            page.tab.on("console", lambda message: page.complaints.append(message.text))
            page.tab.on("pageerror", lambda error: page.complaints.append(str(error)))
            page.tab.on("request", lambda request: page.asked.append(request.url))
            page.tab.goto(path.as_uri())
            try:
                yield page
            finally:
                context.close()

        yield visitor
        chromium.close()


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> str:
    """The source of axe-core, from npm's registry into pytest's cache."""
    source = Path(pytestconfig.cache.mkdir("axe-core")) / "axe.min.js"
    with filelock.FileLock(source.with_suffix(".lock")):  # another process of the tests may want it too
        if not source.exists():
            _fetch_axe(source)
    return source.read_text(encoding="utf-8")


def _fetch_axe(source: Path) -> None:
    npm = shutil.which("npm") or pytest.skip("no npm to fetch axe-core with")
    command = [npm, "pack", "--silent", "--pack-destination", str(source.parent), "axe-core@4"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"axe-core cannot be fetched from npm ({type(error).__name__})")
    with tarfile.open(next(source.parent.glob("axe-core-*.tgz"))) as packed:
        member = packed.extractfile("package/axe.min.js")
        assert member is not None
        source.write_bytes(member.read())
