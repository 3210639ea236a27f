"""Known advisories about the libraries that genretag stands on: gather them, and compare what is installed.

    python -m benchmarks.advisories --check
    python -m benchmarks.advisories --registry --osv advisories/*.json --pip-audit audit.json

`--check` needs no network: it reads the committed snapshot. The others add to the snapshot: `--registry` asks
pip's index about the newest version of each library, `--osv` reads records in the format of osv.dev, and
`--pip-audit` what `pip-audit --format json` wrote.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

SNAPSHOT = Path(__file__).with_name("advisories.json")
EXTRAS = ("", "tune", "imagenet")
"""What users install; what only developers need runs on nobody's music."""


def installed() -> dict[str, str]:
    """Version of every library that genretag needs here, also by way of others."""
    versions: dict[str, str] = {}
    waiting = [("genretag", extra) for extra in EXTRAS]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        try:
            found = distribution(name)
        except PackageNotFoundError:  # an extra that is not installed
            continue
        versions[canonicalize_name(name)] = found.version
        for requirement in map(Requirement, found.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                wanted = {(requirement.name, more) for more in ("", *requirement.extras)}
                waiting += sorted(wanted - seen)
                seen |= wanted
    del versions["genretag"]
    return dict(sorted(versions.items()))


def affects(advisory: Mapping[str, Any], version: str) -> bool:
    """Whether an advisory of the snapshot is about this version: listed, or in one of its ranges."""
    here = Version(Version(version).public)  # "2.13.0+cpu" is a build of 2.13.0
    if any(Version(listed) == here for listed in advisory["versions"]):
        return True
    for introduced, fixed in advisory["ranges"]:
        if Version(introduced) <= here and (fixed is None or here < Version(fixed)):
            return True
    return False


def findings(snapshot: Mapping[str, Any], versions: Mapping[str, str]) -> list[str]:
    """A line for every library here with a known advisory that is not accepted."""
    return [
        f"{name} {version}: {advisory['id']} ({advisory['summary']}); "
        f"fixed in {', '.join(advisory['fixed']) or 'no version'}"
        for advisory in snapshot["advisories"]
        for name, version in versions.items()
        if advisory["package"] == name and advisory["id"] not in snapshot["accepted"]
        if affects(advisory, version)
    ]


def load(path: Path = SNAPSHOT) -> dict[str, Any]:
    """The committed snapshot."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


# Sources


def from_osv(record: Mapping[str, Any], names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """What a record in the format of osv.dev says about these libraries; nothing where it was withdrawn."""
    if record.get("withdrawn"):
        return
    for affected in record.get("affected", ()):
        name = canonicalize_name(affected["package"]["name"])
        if affected["package"]["ecosystem"] != "PyPI" or name not in names:
            continue
        ordered = [each for each in affected.get("ranges", ()) if each["type"] == "ECOSYSTEM"]
        ranges = [pair for each in ordered for pair in _pairs(each)]
        text = record.get("summary") or record.get("details", "")
        listed = affected.get("versions", ())
        yield _advisory(record["id"], name, text, record.get("aliases", ()), ranges, listed)


def _pairs(ranged: Mapping[str, Any]) -> Iterator[list[str | None]]:
    start: str | None = None
    for event in ranged["events"]:
        if "introduced" in event:
            start = event["introduced"]
        elif "fixed" in event and start is not None:
            yield [start, event["fixed"]]
            start = None
        elif "last_affected" in event:
            start = None  # the versions are listed then
    if start is not None:
        yield [start, None]


def from_pip_audit(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What pip-audit found, about the very versions that it looked at."""
    for library in document["dependencies"]:
        for found in library.get("vulns", ()):
            name, text = canonicalize_name(library["name"]), found.get("description", "")
            advisory = _advisory(found["id"], name, text, found.get("aliases", ()), (), [library["version"]])
            yield advisory | {"fixed": found.get("fix_versions", [])}


def from_registry(names: Iterable[str], asked: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What pip's index says about the newest version of each library; `asked` takes these versions."""
    for name in names:
        try:
            with urllib.request.urlopen(f"{_index()}/pypi/{name}/json", timeout=60) as answer:
                document = json.load(answer)
        except (urllib.error.URLError, ValueError) as error:
            print(f"{name}: not known there ({error})", file=sys.stderr)
            continue
        newest = asked[name] = document["info"]["version"]
        for found in document["vulnerabilities"]:
            if not found.get("withdrawn"):
                text = found.get("summary") or found.get("details") or ""
                advisory = _advisory(found["id"], name, text, found.get("aliases", ()), (), [newest])
                yield advisory | {"fixed": found.get("fixed_in", [])}


def _index() -> str:
    """Where pip looks, less the folder of plain listings."""
    from pip._internal.configuration import Configuration
    from pip._internal.models.index import PyPI

    configuration = Configuration(isolated=False)
    configuration.load()
    found = {key.partition(".")[2]: value for key, value in configuration.items()}
    return str(found.get("index-url", PyPI.simple_url)).rstrip("/").removesuffix("/simple")


def _advisory(
    name: str, package: str, text: str, aliases: Sequence[str], ranges: Sequence[Any], versions: Sequence[str]
) -> dict[str, Any]:
    return {
        "id": name,
        "package": package,
        "summary": " ".join(text.split())[:160],
        "aliases": sorted(aliases),
        "ranges": list(ranges),
        "versions": sorted(versions),
        "fixed": sorted({pair[1] for pair in ranges if pair[1]}),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--registry", action="store_true")
    parser.add_argument("--osv", type=Path, nargs="+", default=[])
    parser.add_argument("--pip-audit", type=Path)
    options = parser.parse_args(arguments)
    versions, snapshot = installed(), load()
    if not options.check:
        known = {(one["package"], one["id"]): one for one in snapshot["advisories"]}
        gathered = [one for path in options.osv for one in from_osv(load(path), versions)]
        gathered += from_pip_audit(load(options.pip_audit)) if options.pip_audit else []
        asked: dict[str, str] = {}
        gathered += from_registry(versions, asked) if options.registry else []
        known |= {(one["package"], one["id"]): one for one in gathered}
        snapshot["advisories"] = [known[key] for key in sorted(known)]
        if options.registry:
            snapshot["registry"] = {
                "day": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "asked": asked,
            }
        SNAPSHOT.write_text(json.dumps(snapshot, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    found = findings(snapshot, versions)
    asked_here = set(versions.items()) & set(snapshot["registry"]["asked"].items())
    print(
        f"{len(versions)} libraries, {len(snapshot['advisories'])} advisories known: {len(found)} apply; "
        f"of {len(asked_here)} the registry was asked about the version that is here"
    )
    for line in found:
        print(line)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
