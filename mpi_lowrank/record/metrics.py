"""What is measured of a model: each metric declared once, for records, targets and reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

Scale = Literal["decades", "plain", "percent"]


@dataclass(frozen=True)
class Metric:
    """One number per row of a record: how it ends a case, and how tables and figures show it."""

    name: str
    meaning: str
    falls: bool
    """Whether less is better: it reaches a target by falling to it; if not, by rising to it."""
    heading: str
    """Its name in tables."""
    label: str
    """Its name in figures. Metrics of one label share a panel; a case shows its last recorded."""
    scale: Scale = "plain"
    """decades: a log axis; plain: one only if values span decades; percent: a share, times 100."""
    units: str = "1"
    """In UDUNITS spelling, "1" for none."""
    variant: str = ""
    """What tells it from other metrics of its label."""
    every_row: bool = False
    """Whether it is measured in every row, not only every `loss_every` rounds."""
    held_out: bool = False
    """Whether it needs held-out rows."""

    @property
    def sign(self) -> str:
        """How a value that has reached a target compares to it: "<=" or ">="."""
        return "<=" if self.falls else ">="

    def reached(self, values: np.ndarray | float, target: float) -> np.ndarray | bool:
        """Which of the values have reached the target; NaN has not."""
        return values <= target if self.falls else values >= target

    def best(self, values: np.ndarray) -> float:
        """The best of the values, some of which may be NaN."""
        return float((np.nanmin if self.falls else np.nanmax)(values))


ACCURACY: dict[str, Any] = {"falls": False, "label": "accuracy (%)", "scale": "percent"}

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "loss",
            "f at the model; NaN where it was not measured",
            falls=True,
            heading="loss",
            label="loss f(x)",
        ),
        Metric(
            "grad_norm_sq",
            "squared Euclidean norm of the gradient of f",
            falls=True,
            heading="|grad|^2",
            label=r"$\|\nabla f(x)\|^2$",
            scale="decades",
            every_row=True,
        ),
        Metric(
            "train_accuracy",
            "share of the training rows classified rightly",
            heading="train %",
            variant="training",
            **ACCURACY,
        ),
        Metric(
            "test_accuracy",
            "share of the held-out rows; NaN where there are none",
            heading="test %",
            variant="test",
            held_out=True,
            **ACCURACY,
        ),
    )
}

THEORY: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "realised_alpha",
            "1 less the square of C(v) - v over that of v in the last exchange; the worst "
            "worker's, or the mean vector's where C is Allreduced",
            falls=False,
            heading="alpha",
            label="alpha, realised",
            variant="worst",
            every_row=True,
        ),
        Metric(
            "realised_alpha_mean",
            "the same, mean over the workers that sent",
            falls=False,
            heading="mean alpha",
            label="alpha, realised",
            variant="mean",
            every_row=True,
        ),
        Metric(
            "estimate_error",
            "G, the mean squared distance of g_i, before the next exchange, from grad f_i(x); of g "
            "from grad f(x) where it stands for all g_i",
            falls=True,
            heading="G",
            label="G",
            scale="decades",
            every_row=True,
        ),
        Metric(
            "lyapunov",
            "f(x) - f_inf and the method's errors before the next exchange, weighted: at least the "
            "theorem's, which has those after it, and falls by gamma/2 grad_norm_sq a round",
            falls=True,
            heading="Lyapunov",
            label="Lyapunov function",
        ),
        Metric(
            "grad_bound",
            "the theorem's bound on the mean of grad_norm_sq over the rounds before; that of the "
            "theory's stepsize where this one is larger and nothing is proved of it",
            falls=True,
            heading="bound",
            label="bound",
            scale="decades",
            every_row=True,
        ),
        Metric(
            "linear_lyapunov",
            "the Lyapunov function of the theorem of a linear rate: f(x) - f*, or the square of x "
            "- x*, and the method's errors, weighted",
            falls=True,
            heading="linear Lyapunov",
            label="Lyapunov function of the linear rate",
            scale="decades",
        ),
        Metric(
            "linear_bound",
            "that theorem's bound on linear_lyapunov; of a smaller stepsize as in grad_bound",
            falls=True,
            heading="linear bound",
            label="bound of the linear rate",
            scale="decades",
            every_row=True,
        ),
    )
}
"""What a case with `theory` has besides, NaN where its method or compressor gives no meaning."""


def declared(name: str, attributes: Mapping[str, Any]) -> Metric:
    """The metric that a column's attributes declare; TypeError or ValueError for nonsense."""
    metric = Metric(name, **attributes)
    texts = (metric.meaning, metric.heading, metric.label, metric.units, metric.variant)
    flags = (metric.falls, metric.every_row, metric.held_out)
    if (
        not all(isinstance(text, str) for text in texts)
        or not all(isinstance(flag, bool) for flag in flags)
        or metric.scale not in get_args(Scale)
    ):
        raise ValueError(f"{name} declares an impossible metric")
    return metric
