"""Where the trials of a search are kept: a file in its folder, a journal, or a database that nodes share."""

from __future__ import annotations

import json
import re
import secrets
import socket
from pathlib import Path
from typing import Any

from genretag.errors import TrainingError, install_hint
from genretag.training.state import write_durably

STUDY, TOKEN = "study.sqlite3", "study.token"
LOCK_SECONDS = 60.0  # for what is done under a lock, which takes moments
_HOME = "home"


def load_optuna() -> Any:
    """The library; TrainingError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise TrainingError(f"tune needs Optuna, which is not installed; {install_hint('tune')}") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def open_study(
    folder: Path, storage: str | None, name: str | None, *, resume: bool, sampler: Any, pruner: Any
) -> Any:
    """The study of `folder`, begun if it is not there yet. One process at a time may do this.

    `storage` is a database (a URL as SQLAlchemy takes it), a journal (the path of a file, which may lie on a
    network file system), or None: a file in the folder. `name` is the study's among others in there (default:
    the folder's). TrainingError where it cannot be used, where the study is there and `resume` is not asked
    for, or where its trials lie in another folder.
    """
    optuna = load_optuna()
    shown = str(folder) if storage is None else _without_password(storage)
    name = name or ("genretag" if storage is None else folder.resolve().name)
    _require_no_other(folder, storage, name)
    try:
        study = optuna.create_study(
            storage=_storage(optuna, storage or f"sqlite:///{folder / STUDY}"),
            study_name=name,
            direction="maximize",
            load_if_exists=resume,
            sampler=sampler,
            pruner=pruner,
        )
    except optuna.exceptions.DuplicatedStudyError:
        which, other = ("", "--out") if storage is None else (f" {name}", "--study")
        raise TrainingError(
            f"{shown} holds a study{which}; go on with --resume, or give another {other}"
        ) from None
    except _refusals(optuna) as error:
        reason = _without_password(" ".join(str(error.__cause__ or error).split()))
        raise TrainingError(f"{shown}: cannot be used as --storage ({reason})") from None
    if storage is not None:
        _require_home(study, folder)
    return study


def _storage(optuna: Any, where: str) -> Any:
    if "://" not in where:
        journal = optuna.storages.journal
        # A file made by one process alone: holds between machines (NFS from version 3 on) and needs no links.
        backend = journal.JournalFileBackend(where, lock_obj=journal.JournalFileOpenLock(where))
        return optuna.storages.JournalStorage(backend)
    # Another process may hold the one file of SQLite for a moment; a server may have dropped a connection.
    options = (
        {"connect_args": {"timeout": LOCK_SECONDS}} if where.startswith("sqlite") else {"pool_pre_ping": True}
    )
    return optuna.storages.RDBStorage(where, engine_kwargs=options)


def _refusals(optuna: Any) -> tuple[type[Exception], ...]:
    """What a storage raises that cannot be used."""
    from sqlalchemy.exc import SQLAlchemyError

    return ImportError, OSError, ValueError, optuna.exceptions.OptunaError, SQLAlchemyError


def _require_home(study: Any, folder: Path) -> None:
    """Refuse a folder that is not the one in which the study's trials are trained.

    Locks in it tell which of them are still at work, and the best one's weights are taken from there.
    """
    token = _token(folder)
    home = study.user_attrs.get(_HOME)
    if home is None:
        if token is None or token["study"] != study.study_name:
            token = {"study": study.study_name, "key": secrets.token_hex(8)}
            write_durably(folder / TOKEN, json.dumps(token).encode(), "the study's mark")
        where = f"{socket.gethostname()}:{folder.resolve()}"
        study.set_user_attr(_HOME, {"token": token, "where": where})
    elif token != home["token"]:
        raise TrainingError(
            f"the trials of study {study.study_name} lie in {home['where']}, not in {folder}; give an --out "
            "that all its processes see, or another --study"
        )


def _require_no_other(folder: Path, storage: str | None, name: str) -> None:
    """Refuse a folder with the trials of another study: their numbers are the names of its folders."""
    token = _token(folder)
    if (storage is not None and (folder / STUDY).exists()) or (
        token is not None and (storage is None or token["study"] != name)
    ):
        held = "a study of its own" if token is None else f"study {token['study']} of a --storage"
        raise TrainingError(f"{folder} holds {held}; give another --out, or the --storage and --study it had")


def _token(folder: Path) -> dict[str, str] | None:
    """What the folder says of the study that it is of."""
    try:
        return dict(json.loads((folder / TOKEN).read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        raise TrainingError(f"{folder / TOKEN}: cannot be read; give another --out") from None


def _without_password(text: str) -> str:
    return re.sub(r"(://[^/\s:@]*):[^@\s]*@", r"\1:***@", text)
