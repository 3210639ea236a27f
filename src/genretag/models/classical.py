"""Fitted by scikit-learn, kept as tensors: principal components, support vectors, dense layers.

Nothing here is trained by gradient. scikit-learn fits, `Decision.adopt` takes its numbers over, and the
module then gives the same decisions. Numbers live in buffers that take the shape of what a checkpoint holds,
because how many components or support vectors there are is known only after fitting.

Sources: B. Schölkopf, A. J. Smola, "Learning with kernels", 2002; the votes between pairs of classes and
their confidence are those of scikit-learn's SVC with decision_function_shape="ovr".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from genretag.errors import ModelError
from genretag.models.standardise import Standardise

HEADS = ("svm-rbf", "svm-linear", "linear", "mlp")
# Logit of a label that the training set never, or always, carries.
CERTAIN = 10.0

Array = NDArray[np.floating]


class Decision(nn.Module):
    """Rows (windows, columns) to logits (windows, labels): standardise, principal components, head.

    `components` says whether there are principal components; `head` is "svm-rbf", "svm-linear", "linear" or
    "mlp". A module that is neither fitted nor loaded refuses to work with a ModelError.
    """

    def __init__(
        self, columns: int, labels: int, head: str, *, components: bool = False, layers: int = 1
    ) -> None:
        super().__init__()
        self.labels = labels
        if head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}, not {head!r}")
        self.standardise = Standardise(columns)
        self.pca = Pca() if components else None
        self.head: Svm | Dense
        if head in ("svm-rbf", "svm-linear"):
            self.head = Svm("rbf" if head == "svm-rbf" else "linear")
        else:
            self.head = Dense(layers if head == "mlp" else 1)

    def forward(self, rows: Tensor) -> Tensor:
        rows = self.standardise(rows)
        if self.pca is not None:
            rows = self.pca(rows)
        logits: Tensor = self.head(rows)
        return logits

    def adopt(self, steps: Iterable[Any]) -> None:
        """Take over what scikit-learn fitted: a Pipeline, or its estimators in the same order.

        StandardScaler, PCA and SVC, LogisticRegression, LinearSVC or MLPClassifier are known; for several
        labels the classifiers inside OneVsRestClassifier, and MLPClassifier as it is. ModelError where they
        are not of this module's kind.
        """
        estimators = [step[1] if isinstance(step, tuple) else step for step in getattr(steps, "steps", steps)]
        names = [type(estimator).__name__ for estimator in estimators]
        expected = ["StandardScaler", *(["PCA"] if self.pca is not None else [])]
        if names[:-1] != expected:
            raise ModelError(
                f"fitted were {', '.join(names)}; this model has {', '.join(expected)} and a head"
            )
        scaler, classifier = estimators[0], estimators[-1]
        self.standardise.load_state_dict(
            {"mean": torch.from_numpy(scaler.mean_), "scale": torch.from_numpy(scaler.scale_)}
        )
        if self.pca is not None:
            self.pca.fill(mean=estimators[1].mean_, components=estimators[1].components_)
        self.head.adopt(classifier)
        if self.head.outputs != self.labels:
            raise ModelError(
                f"{self.head.outputs} of {self.labels} labels were fitted; each needs clips in the train part"
            )


class Fitted(nn.Module):
    """A module whose buffers take the shape of what is filled in or loaded."""

    def fill(self, **arrays: Array) -> None:
        for name, array in arrays.items():
            device = self.get_buffer(name).device
            setattr(self, name, torch.tensor(array, dtype=torch.float32, device=device))

    def need(self, buffer: Tensor) -> None:
        if not buffer.numel():
            raise ModelError("the model is not fitted yet; train it, or load a checkpoint")

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        for name, buffer in list(self.named_buffers(recurse=False)):
            loaded = state_dict.get(prefix + name)
            if loaded is not None and loaded.ndim == buffer.ndim:
                setattr(self, name, torch.empty_like(loaded, device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class Pca(Fitted):
    """Principal components: (windows, columns) to (windows, components)."""

    mean: Tensor
    components: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("components", torch.empty(0, 0))

    def forward(self, rows: Tensor) -> Tensor:
        self.need(self.components)
        return (rows - self.mean) @ self.components.T


class Svm(Fitted):
    """Support-vector machine, one against one for a single label, one against the rest for several.

    One against one, a logit is the number of classes that a class wins against and, between classes that win
    equally often, its summed margin squeezed into -1/3..1/3: scikit-learn's decision_function, and its
    predict with break_ties=True. One against the rest it is the margin.
    """

    vectors: Tensor
    weights: Tensor
    offsets: Tensor
    gamma: Tensor
    winners: Tensor
    losers: Tensor

    def __init__(self, kernel: Literal["rbf", "linear"]) -> None:
        super().__init__()
        self.kernel = kernel
        self.register_buffer("vectors", torch.empty(0, 0))  # (vectors, columns)
        self.register_buffer("weights", torch.empty(0, 0))  # (vectors, decisions)
        self.register_buffer("offsets", torch.empty(0))  # (decisions,)
        self.register_buffer("gamma", torch.empty(0))
        # (decisions, classes): 1 where a positive decision, or a negative one, votes for the class; empty
        # where decisions are logits themselves.
        self.register_buffer("winners", torch.empty(0, 0))
        self.register_buffer("losers", torch.empty(0, 0))

    def forward(self, rows: Tensor) -> Tensor:
        self.need(self.offsets)
        margins = self.similarity(rows) @ self.weights + self.offsets
        if not self.winners.numel():
            return margins
        positive = (margins >= 0).to(margins.dtype)
        votes = positive @ self.winners + (1.0 - positive) @ self.losers
        sums = margins @ (self.winners - self.losers)
        return votes + sums / (3.0 * (sums.abs() + 1.0))

    @property
    def outputs(self) -> int:
        """Logits that it gives."""
        return self.winners.shape[1] or len(self.offsets)

    def similarity(self, rows: Tensor) -> Tensor:
        """The kernel between rows and support vectors: (windows, vectors)."""
        if self.kernel == "linear":
            return rows @ self.vectors.T
        # The shortcut by matrix product loses digits where two rows nearly agree.
        distances = torch.cdist(rows, self.vectors, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.exp(-self.gamma * distances.square())

    def adopt(self, classifier: Any) -> None:
        """Take over an SVC, or a OneVsRestClassifier of them."""
        several = hasattr(classifier, "estimators_")
        machines = classifier.estimators_ if several else [classifier]
        fitted = [machine for machine in machines if hasattr(machine, "support_vectors_")]
        if not fitted or any(machine.kernel != self.kernel for machine in fitted):
            raise ModelError(f"no support-vector machine with the kernel {self.kernel!r} was fitted")
        parts = (several_machines if several else one_machine)(*machines)
        gamma = np.array([fitted[0]._gamma])
        self.fill(gamma=gamma, **parts)


def one_machine(machine: Any) -> dict[str, Array]:
    """Tensors of an SVC: one decision for each pair of classes, positive for the first of the two."""
    classes = len(machine.classes_)
    pairs = list(itertools.combinations(range(classes), 2))
    dual = machine.dual_coef_  # (classes - 1, vectors), by the other class of the pair
    bounds = np.concatenate([[0], np.cumsum(machine.n_support_)])
    weights = np.zeros((len(machine.support_vectors_), len(pairs)))
    winners, losers = np.zeros((len(pairs), classes)), np.zeros((len(pairs), classes))
    for column, (first, second) in enumerate(pairs):
        of_first, of_second = slice(*bounds[first : first + 2]), slice(*bounds[second : second + 2])
        weights[of_first, column] = dual[second - 1, of_first]
        weights[of_second, column] = dual[first, of_second]
        winners[column, first] = losers[column, second] = 1.0
    # With two classes scikit-learn turns the sign round, so that positive means the second.
    sign = -1.0 if classes == 2 else 1.0
    return {
        "vectors": machine.support_vectors_,
        "weights": sign * weights,
        "offsets": sign * machine.intercept_,
        "winners": winners,
        "losers": losers,
    }


def several_machines(*machines: Any) -> dict[str, Array]:
    """Tensors of one SVC a label: each decision is a label's logit; vectors that labels share stand once."""
    fitted = [machine for machine in machines if hasattr(machine, "support_vectors_")]
    vectors, places = np.unique(
        np.concatenate([machine.support_vectors_ for machine in fitted]), axis=0, return_inverse=True
    )
    weights, offsets = np.zeros((len(vectors), len(machines))), np.zeros(len(machines))
    start = 0
    for label, machine in enumerate(machines):
        if not hasattr(machine, "support_vectors_"):
            offsets[label] = constant_logit(machine)
            continue
        stop = start + len(machine.support_vectors_)
        np.add.at(weights[:, label], places.ravel()[start:stop], machine.dual_coef_[0])
        offsets[label] = machine.intercept_[0]
        start = stop
    none = np.empty((0, 0))
    return {"vectors": vectors, "weights": weights, "offsets": offsets, "winners": none, "losers": none}


class Dense(Fitted):
    """Dense layers with ReLU between them, as LogisticRegression, LinearSVC and MLPClassifier have."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = layers
        for layer in range(layers):
            self.register_buffer(f"weight{layer}", torch.empty(0, 0))
            self.register_buffer(f"bias{layer}", torch.empty(0))

    def forward(self, rows: Tensor) -> Tensor:
        for layer in range(self.layers):
            weight, bias = self.get_buffer(f"weight{layer}"), self.get_buffer(f"bias{layer}")
            self.need(bias)
            rows = F.linear(rows.relu() if layer else rows, weight, bias)
        return rows

    @property
    def outputs(self) -> int:
        """Logits that it gives."""
        return len(self.get_buffer(f"bias{self.layers - 1}"))

    def adopt(self, classifier: Any) -> None:
        """Take over a linear classifier, a OneVsRestClassifier of them, or an MLPClassifier."""
        weights, biases = layers_of(classifier)
        if len(weights) != self.layers:
            raise ModelError(f"{len(weights)} dense layers were fitted; this model has {self.layers}")
        # Two classes of which one is true need only one number: its half speaks for one, against the other.
        halves = len(biases[-1]) == 1 and not hasattr(classifier, "estimators_")
        if halves:
            weights[-1] = np.concatenate([-weights[-1], weights[-1]]) / 2
            biases[-1] = np.concatenate([-biases[-1], biases[-1]]) / 2
        self.fill(**{f"weight{layer}": weight for layer, weight in enumerate(weights)})
        self.fill(**{f"bias{layer}": bias for layer, bias in enumerate(biases)})


def layers_of(classifier: Any) -> tuple[list[Array], list[Array]]:
    """Weights (outputs, inputs) and biases of every layer of a fitted classifier."""
    if hasattr(classifier, "coefs_"):
        if classifier.activation != "relu":
            raise ModelError(f"an MLP with {classifier.activation!r} was fitted; only relu is known")
        return [weight.T for weight in classifier.coefs_], list(classifier.intercepts_)
    machines: Sequence[Any] = getattr(classifier, "estimators_", [classifier])
    known = [machine for machine in machines if hasattr(machine, "coef_")]
    if not known:
        raise ModelError(f"a {type(classifier).__name__} was fitted; no dense layers are in it")
    zero = np.zeros((1, known[0].coef_.shape[1]))
    weight = np.concatenate([machine.coef_ if machine in known else zero for machine in machines])
    bias = np.concatenate(
        [
            np.ravel(machine.intercept_) if machine in known else [constant_logit(machine)]
            for machine in machines
        ]
    )
    return [weight], [bias]


def constant_logit(machine: Any) -> float:
    """Logit of a label for which scikit-learn had nothing to tell apart."""
    return CERTAIN if float(np.ravel(machine.y_)[0]) > 0 else -CERTAIN
