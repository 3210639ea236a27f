"""Fixtures of the contract tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.library import Library, make_library
from tests.contract.program import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A program without files, for one test."""
    return Program(tmp_path)


@pytest.fixture(scope="module")
def shared_program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A program without files, for all tests of a module."""
    return Program(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """A library that was tagged and partly undone. Tests must not change it."""
    return make_library(Program(tmp_path_factory.mktemp("library")))
