"""What pyproject.toml, constraints.txt and the documentation say of installing genretag agrees."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from genretag.diagnosis import PYTHONS

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [
    Requirement(text)
    for text in (*PROJECT["dependencies"], *(one for extra in EXTRAS.values() for one in extra))
    if not text.startswith("genretag")
]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py")])


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda one: one.name)
def test_constraints_pin_an_accepted_version(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pinned()[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda one: one.name)
def test_an_upper_bound_has_its_reason_in_a_comment(requirement: Requirement) -> None:
    bounds = {specifier.operator for specifier in requirement.specifier}
    if bounds <= {">="}:
        return
    lines = PYPROJECT.splitlines()
    (number,) = (number for number, line in enumerate(lines) if f'"{requirement.name}' in line)
    assert lines[number - 1].strip().startswith("#")


def test_supported_versions_of_python_are_the_same_everywhere() -> None:
    named = re.findall(r"Python :: (3)\.(\d+)", "\n".join(PROJECT["classifiers"]))
    versions = [(int(major), int(minor)) for major, minor in named]
    assert (versions[0], versions[-1]) == PYTHONS
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={versions[0][0]}.{versions[0][1]}")
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    for listed in re.findall(r"python: \[(.*)\]", workflow):
        assert [f'"{major}.{minor}"' for major, minor in versions] == listed.split(", ")


def test_extras_named_anywhere_exist_and_no_index_is_claimed() -> None:
    named = {
        extra
        for page in PAGES
        for extras in re.findall(r"'\.\[([\w,]+)\]'", page.read_text(encoding="utf-8"))
        for extra in extras.split(",")
    }
    assert {"tune", "cluster", "remote", "beets"} <= named <= set(EXTRAS)
    claims = [page for page in PAGES if re.search(r"install '?genretag\b", page.read_text(encoding="utf-8"))]
    assert claims == []
