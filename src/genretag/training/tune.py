"""The best options of a preset by Hyperband: many trainings begun, few finished, the valid part judging.

Source: L. Li et al., "Hyperband: a novel bandit-based approach to hyperparameter optimization", JMLR 18(185),
2018, as Optuna implements it; what is tried is proposed by its tree-structured Parzen estimator.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock, Timeout

from genretag import checkpoint as checkpoints
from genretag.errors import FileError, ModelError, TrainingError
from genretag.labels import Kind
from genretag.models.records import Choice, LogRange, Preset, Range, Recipe
from genretag.models.registry import preset
from genretag.predict.engine import EngineOptions
from genretag.training.evaluate import Measurement, evaluate_run
from genretag.training.history import FILE as HISTORY
from genretag.training.history import NOT_FINITE, EpochScores, Nobody, Watcher
from genretag.training.loop import STATE
from genretag.training.options import TrainOptions
from genretag.training.report import write_report
from genretag.training.run import CHECKPOINT
from genretag.training.splits import make_split
from genretag.training.state import require_same, write_durably
from genretag.training.studies import LOCK_SECONDS, load_optuna, open_study
from genretag.training.target import dataset_of
from genretag.training.train import train

TRIALS, TABLE, LOCK = "trials", "trials.csv", ".tune.lock"
# Of the trainings of a round, one in three goes on to three times as many epochs.
REDUCTION = 3
_SCORES: Mapping[Kind, str] = {"single": "accuracy", "multi": "roc_auc"}
_FOLDER, _ERROR, _SETTINGS = "folder", "error", "settings"


@dataclass(frozen=True)
class Trial:
    """One training of the study: `score` of the valid part's tracks, None where it was ended early or failed.

    `error` is the one line of a training that failed.
    """

    number: int
    state: Literal["complete", "pruned", "failed", "running"]
    values: Mapping[str, Any]
    epochs: int
    score: float | None
    error: str | None


@dataclass(frozen=True)
class Tuning:
    """A finished study; `measurement` is of the best trial's checkpoint, on a part that did not choose it.

    `left_out`: the clips that gave no windows in the trials of this process.
    """

    trials: tuple[Trial, ...]
    best: Trial
    checkpoint: Path
    measurement: Measurement
    left_out: tuple[FileError, ...] = ()


def tune(
    options: TrainOptions,
    trials: int,
    engine: EngineOptions,
    watcher: Watcher | None = None,
    *,
    storage: str | None = None,
    study: str | None = None,
) -> Tuning | None:
    """Try `trials` values of the preset's search space, all in the folder of `options`, and keep the best.

    Epochs, seed, split and so on are those of `options`; `options.resume` goes on with a study, and several
    processes with it may work on the same one, on several machines if all see the folder. `storage` and
    `study`: see `studies.open_study`. What a killed process left is gone on with. The valid part
    chooses; the test part (or valid, where there is none) is measured once, at the end, by the process that
    finishes last; the others get None. TrainingError where there is nothing to search, the folder holds
    another study, no trial succeeded, or Optuna is not installed.
    """
    work = _Study(options, trials, watcher or Nobody(), storage, study)
    while work.one_more():
        pass
    return work.finish(engine)


class _Study:
    def __init__(
        self, options: TrainOptions, trials: int, watcher: Watcher, storage: str | None, name: str | None
    ) -> None:
        self.options, self.trials, self.watcher = options, trials, watcher
        self.folder = options.folder
        self.optuna = load_optuna()
        self.preset = preset(options.model)
        if not self.preset.search:
            raise TrainingError(f"{options.model} has no search space; see genretag models {options.model}")
        # What cannot be loaded or split is said before anything is written.
        make_split(dataset_of(options), options.split, seed=options.seed).part("valid")
        recipe = self.preset.recipe
        self.epochs = (options.epochs or recipe.epochs) if isinstance(recipe, Recipe) else 1
        try:
            (self.folder / TRIALS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"{self.folder}: cannot be written ({error.strerror})") from None
        self.left_out: dict[str, FileError] = {}
        self.lock = FileLock(self.folder / LOCK, timeout=LOCK_SECONDS)
        with self.lock:
            self.study = self._open(storage, name)

    def one_more(self) -> bool:
        """Train one trial; False where enough were begun."""
        with self.lock:
            self._take_up_the_killed()
            if len(self._begun()) >= self.trials:
                return False
            trial = self.study.ask()
            # By its number, so that neither a restart nor a second process proposes the same again.
            self.study.sampler = self._sampler(trial.number)
            values = _proposed(trial, self.preset)
            name = trial.user_attrs.get(_FOLDER, f"{trial.number:03d}")
            trial.set_user_attr(_FOLDER, name)
            mine = FileLock(self.folder / TRIALS / f"{trial.number:03d}.lock", timeout=0)
            mine.acquire()
        try:
            self._train(trial, values, self.folder / TRIALS / name)
        finally:
            mine.release()
        return True

    def finish(self, engine: EngineOptions) -> Tuning | None:
        """The best trial's checkpoint in the study's folder, with a report; None while others still train."""
        with self.lock:
            done = tuple(self._begun())
            if any(trial.state == "running" for trial in done):
                self.watcher.news("no more to begin here; another process still trains and will report")
                return None
            finished = [trial for trial in done if trial.state == "complete"]
            if not finished:
                last = next((trial.error for trial in reversed(done) if trial.error), "all were ended early")
                raise TrainingError(f"{self.folder}: none of {len(done):,} trials was finished ({last})")
            best = max(finished, key=lambda trial: (trial.score or 0.0, -trial.number))
            write_durably(self.folder / TABLE, _table(done), "the table of trials")
            source = self.folder / TRIALS / self._folder_of(best)
            checkpoint = self._keep(best, done, source / CHECKPOINT)
        measurement = self._measure(checkpoint, engine)
        history = source / HISTORY
        write_report(measurement.evaluation, self.folder, history=history if history.is_file() else None)
        return Tuning(done, best, checkpoint, measurement, tuple(self.left_out.values()))

    def _open(self, storage: str | None, name: str | None) -> Any:
        pruner = self.optuna.pruners.HyperbandPruner(
            min_resource=1, max_resource=self.epochs, reduction_factor=REDUCTION
        )
        study = open_study(
            self.folder,
            storage,
            name,
            resume=self.options.resume,
            sampler=self._sampler(0),
            pruner=pruner,
        )
        settings = self._settings()
        if before := study.user_attrs.get(_SETTINGS):
            require_same(before, settings, self.folder)
        else:
            study.set_user_attr(_SETTINGS, settings)
        return study

    def _settings(self) -> dict[str, Any]:
        options = self.options
        return {
            "--dataset": options.dataset,
            "--variant": options.variant,
            "--model": options.model,
            "--features": None if options.features is None else str(options.features.resolve()),
            "--split": options.split,
            "--seed": options.seed,
            "--epochs": self.epochs,
            "--init": options.init,
        }

    def _sampler(self, number: int) -> Any:
        # Trials of other processes that are not done yet count as bad, so that it looks elsewhere.
        return self.optuna.samplers.TPESampler(seed=self.options.seed + number, constant_liar=True)

    def _take_up_the_killed(self) -> None:
        """Trials whose process is gone are given up and, with the same values and folder, queued again."""
        state = self.optuna.trial.TrialState
        for frozen in self.study.get_trials(deepcopy=False, states=(state.RUNNING,)):
            lock = FileLock(self.folder / TRIALS / f"{frozen.number:03d}.lock", timeout=0)
            try:
                lock.acquire()
            except Timeout:
                continue
            try:
                # Its process may have finished it, and only then let go of it, since the trials were listed.
                if self.study.get_trials(deepcopy=False)[frozen.number].state != state.RUNNING:
                    continue
                name = frozen.user_attrs.get(_FOLDER, f"{frozen.number:03d}")
                self.study.tell(frozen.number, state=state.FAIL)
                if set(frozen.params) == set(self.preset.search):
                    self.study.enqueue_trial(frozen.params, user_attrs={_FOLDER: name})
            finally:
                lock.release()

    def _train(self, trial: Any, values: Mapping[str, Any], folder: Path) -> None:
        state = self.optuna.trial.TrialState
        said = ", ".join(f"{name} {_short(value)}" for name, value in values.items())
        self.watcher.news(f"trial {trial.number + 1}: {said}")
        one = replace(
            self.options,
            out=folder,
            values={**self.options.values, **values},
            measure="valid",
            report=False,
            resume=(folder / STATE).exists(),
        )
        told = _Judge(self.watcher, trial, self.epochs, self.optuna.TrialPruned)
        try:
            result = train(one, told)
        except self.optuna.TrialPruned:
            self.watcher.news(f"ended after epoch {told.epoch}: others are ahead")
            self.study.tell(trial, state=state.PRUNED)
            return
        except (TrainingError, ModelError, torch.OutOfMemoryError) as error:
            if isinstance(error, TrainingError) and error.code != NOT_FINITE:
                raise
            # A proposal that cannot be trained says something of the space, and the next may do better.
            line = str(error).splitlines()[0]
            self.watcher.warns(f"trial {trial.number + 1} failed: {line}")
            trial.set_user_attr(_ERROR, line)
            self.study.tell(trial, state=state.FAIL)
            return
        if result is None or result.checkpoint is None:
            raise TrainingError(
                "start tune without torchrun; several processes may share a study by --resume"
            )
        self.left_out.update({error.message: error for error in result.left_out})
        meta = checkpoints.read_meta(result.checkpoint)
        name = _SCORES[meta.labels.kind]
        if name not in meta.scores:
            raise TrainingError(f"{self.folder}: without a valid part nothing can choose among trials")
        score = float(meta.scores[name])
        self.watcher.news(f"trial {trial.number + 1}: {name.replace('_', '-')} {100 * score:.1f} % on valid")
        self.study.tell(trial, score)

    def _begun(self) -> list[Trial]:
        """All trials but those that were given up or wait; a given-up one failed without an error."""
        state = self.optuna.trial.TrialState
        found = [
            self._trial(one) for one in self.study.get_trials(deepcopy=False) if one.state != state.WAITING
        ]
        return [one for one in found if one.state != "failed" or one.error is not None]

    def _trial(self, frozen: Any) -> Trial:
        state = self.optuna.trial.TrialState
        words: dict[Any, Literal["complete", "pruned", "failed", "running"]] = {
            state.COMPLETE: "complete",
            state.PRUNED: "pruned",
            state.FAIL: "failed",
        }
        return Trial(
            number=frozen.number,
            state=words.get(frozen.state, "running"),
            values=dict(frozen.params),
            epochs=max(frozen.intermediate_values, default=0),
            score=frozen.value if frozen.state == state.COMPLETE else None,
            error=frozen.user_attrs.get(_ERROR),
        )

    def _folder_of(self, trial: Trial) -> str:
        return str(self.study.trials[trial.number].user_attrs[_FOLDER])

    def _keep(self, best: Trial, done: tuple[Trial, ...], source: Path) -> Path:
        found = checkpoints.load(source)
        states = Counter(trial.state for trial in done)
        about = {"trials": dict(states), "values": dict(best.values), "trial": best.number}
        meta = replace(
            found.meta, name=f"{found.meta.name}-tuned", extra={**found.meta.extra, "tuning": about}
        )
        checkpoints.save(self.folder / CHECKPOINT, meta, found.state)
        return self.folder / CHECKPOINT

    def _measure(self, checkpoint: Path, engine: EngineOptions) -> Measurement:
        options = self.options
        meta = checkpoints.read_meta(checkpoint)
        part: Literal["test", "valid"] = "test" if meta.extra["tracks"]["test"] else "valid"
        return evaluate_run(checkpoint, dataset_of(options), part, options, engine)


class _Judge:
    """A watcher that reports every epoch to Optuna and ends a training that others are ahead of."""

    def __init__(self, told: Watcher, trial: Any, epochs: int, pruned: type[Exception]) -> None:
        self._told, self._trial, self._epochs, self._pruned = told, trial, epochs, pruned
        self.epoch, self._score = 0, 0.0
        self.news, self.warns = told.news, told.warns
        self.epoch_begins, self.step_done = told.epoch_begins, told.step_done

    def epoch_done(self, scores: EpochScores, kind: Kind, best: bool) -> None:
        self._told.epoch_done(scores, kind, best)
        self.epoch = scores.epoch
        # What counts in the end is the best epoch, so a training is judged by its best one so far.
        if best:
            self._score = scores.valid_score or 0.0
        self._trial.report(self._score, scores.epoch)
        if scores.epoch < self._epochs and self._trial.should_prune():
            raise self._pruned


def _proposed(trial: Any, chosen: Preset) -> dict[str, Any]:
    """A value for everything in the preset's search space."""
    values: dict[str, Any] = {}
    for name, space in chosen.search.items():
        match space:
            case Choice(options):
                values[name] = trial.suggest_categorical(name, options)
            case Range(low, high, step):
                values[name] = trial.suggest_int(name, low, high, step=step)
            case LogRange(low, high):
                values[name] = trial.suggest_float(name, low, high, log=True)
    return values


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _table(trials: tuple[Trial, ...]) -> bytes:
    """trials.csv: one row a trial, one column a value."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.values))
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["trial", "state", "epochs", "valid_score", *names, "error"])
    for trial in trials:
        values = [trial.values.get(name, "") for name in names]
        score = "" if trial.score is None else f"{trial.score:.6g}"
        rows.writerow([trial.number + 1, trial.state, trial.epochs, score, *values, trial.error or ""])
    return text.getvalue().encode()
