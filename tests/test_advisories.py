"""The libraries here have no known advisory; the snapshot of advisories is read and gathered rightly."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.advisories import affects, findings, from_osv, from_pip_audit, installed, load

PROJECT = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
RECORD = {
    "id": "PYSEC-1",
    "aliases": ["CVE-2", "CVE-1"],
    "details": "Reads\nwhat it should not.",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Some_Lib"},
            "ranges": [
                {"type": "GIT", "events": [{"introduced": "0"}, {"fixed": "c0ffee"}]},
                {
                    "type": "ECOSYSTEM",
                    "events": [{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2.0"}],
                },
            ],
            "versions": ["1.5"],
        },
        {"package": {"ecosystem": "npm", "name": "some-lib"}, "versions": ["9"]},
    ],
}


def test_no_library_here_has_a_known_advisory() -> None:
    found = findings(load(), installed())
    assert not found, (
        "update the library, raise its bound in pyproject.toml or, where genretag is not touched by it, "
        f"write why under 'accepted' in benchmarks/advisories.json: {found}"
    )


def test_the_libraries_of_libraries_are_among_them() -> None:
    assert {"mutagen", "numpy", "torch", "filelock", "urllib3", "cffi"} <= set(installed())
    assert not {"genretag", "pytest", "ruff"} & set(installed())


def test_no_bound_allows_a_version_with_a_known_advisory() -> None:
    bounds = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["tune"]]
    lowest = {}
    for requirement in map(Requirement, bounds):
        (start,) = [part.version for part in requirement.specifier if part.operator == ">="]
        lowest[canonicalize_name(requirement.name)] = start
    assert findings(load(), lowest) == []


def test_what_is_accepted_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in load()["accepted"].values())


def test_a_record_of_osv() -> None:
    (advisory,) = from_osv(RECORD, {"some-lib"})
    assert advisory == {
        "id": "PYSEC-1",
        "package": "some-lib",
        "summary": "Reads what it should not.",
        "aliases": ["CVE-1", "CVE-2"],
        "ranges": [["0", "1.2"], ["2.0", None]],
        "versions": ["1.5"],
        "fixed": ["1.2"],
    }
    assert list(from_osv(RECORD, {"other"})) == []
    assert list(from_osv(RECORD | {"withdrawn": "2026-01-01"}, {"some-lib"})) == []


@pytest.mark.parametrize(
    ("version", "hit"),
    [
        ("0.1", True),
        ("1.1.9", True),
        ("1.2", False),
        ("1.5", True),
        ("1.5.0+cpu", True),
        ("1.9", False),
        ("2.1", True),
    ],
)
def test_versions_are_compared_as_versions(version: str, hit: bool) -> None:
    (advisory,) = from_osv(RECORD, {"some-lib"})
    assert affects(advisory, version) is hit
    snapshot: dict[str, Any] = {"advisories": [advisory], "accepted": {}}
    assert bool(findings(snapshot, {"some-lib": version, "other": version})) is hit
    assert findings(snapshot | {"accepted": {"PYSEC-1": "not used"}}, {"some-lib": version}) == []


def test_the_report_of_pip_audit() -> None:
    vulnerability = {"id": "GHSA-1", "fix_versions": ["3"], "aliases": [], "description": "Bad."}
    report = {
        "dependencies": [
            {"name": "A_b", "version": "2", "vulns": [vulnerability]},
            {"name": "c", "version": "1"},
        ]
    }
    (advisory,) = from_pip_audit(report)
    assert (advisory["package"], advisory["versions"], advisory["fixed"]) == ("a-b", ["2"], ["3"])
    assert affects(advisory, "2.0")
