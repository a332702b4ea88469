"""What a configuration says, read and checked: cases, and the experiment that they make."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from mpi_lowrank.datasets import Data
from mpi_lowrank.registry import Choice


@dataclass(frozen=True)
class Tune:
    """What is best: the step from which the target takes least, in the median over seeds."""

    target: Annotated[
        Mapping[str, float], "a metric and its value; not given: what `stop` says"
    ] = field(default_factory=dict)
    by: Annotated[str, "the cost that decides"] = "total_bytes"

    @property
    def goal(self) -> tuple[str, float]:
        """The metric, and the value at which it is reached."""
        ((metric, value),) = self.target.items()
        return metric, value


@dataclass(frozen=True)
class Case:
    """One run. A key given at the top of the file holds for all cases; a list makes a sweep."""

    method: Annotated[Choice, "what workers compute and send"]
    compressor: Annotated[Choice, "of what workers send"] = field(
        default_factory=lambda: Choice("identity")
    )
    step: Annotated[Choice, "how x moves"] = field(default_factory=lambda: Choice("plain"))
    problem: Annotated[Choice, "f and its gradients"] = field(
        default_factory=lambda: Choice("logistic")
    )
    data: Annotated[Data, "rows, and which worker has which"] = field(default_factory=Data)
    workers: Annotated[int | None, "not given: one per rank"] = None
    rounds: Annotated[int, "after which a case has ended"] = 1000
    multiple: Annotated[
        float | None, "of the theory's stepsize; 1 if no stepsize is given either"
    ] = None
    stepsize: Annotated[
        float | str | None, 'a number, a multiple of 1/L such as "8/L", or "tuned": the best'
    ] = None
    tune: Annotated[Tune | None, 'by what `stepsize = "tuned"` finds the best'] = None
    topology: Annotated[str, "how messages travel"] = "allgather"
    reduction: Annotated[str, "how shared compressors' coefficients are averaged"] = "mpi"
    dtype: Annotated[
        Literal["float32", "float64"], "of the state; messages have their own `wire`"
    ] = "float64"
    x0: Annotated[Literal["normal", "zeros"], "normal: default_rng(seed).standard_normal(d)"] = (
        "normal"
    )
    seed: Annotated[int, "of all draws"] = 0
    evaluate_every: Annotated[int, "rounds; the last one is evaluated as well"] = 1
    loss_every: Annotated[
        int, "rounds between rows with loss and accuracy, if `stop` names neither"
    ] = 1
    theory: Annotated[bool, "rows have what theorems promise, and what came of it"] = False
    stop: Annotated[Mapping[str, float], "metrics and values, any of which ends the case"] = field(
        default_factory=dict
    )
    sync_every: Annotated[
        int, "rounds between two repairs of what drifts by round-off; 0: none"
    ] = 0
    time_limit: Annotated[float | None, "seconds after which it is stopped"] = None
    throttle: Annotated[str | None, 'a network such as "100mbit,50us" whose time calls take'] = None
    label: Annotated[str, "its name in tables; not given: what tells it from the others"] = ""


@dataclass(frozen=True)
class Experiment:
    """A configuration file: its cases, and the case that ratios are taken to."""

    name: str
    source: Path
    text: str
    cases: tuple[Case, ...]
    baseline: str
    chosen: tuple[int, ...]
    """The numbers of those cases that are to run, in their order; all, unless somebody chose."""
