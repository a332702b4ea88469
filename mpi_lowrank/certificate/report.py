"""A certificate as a table at most a hundred columns wide."""

from math import isfinite

from mpi_lowrank.certificate.findings import Finding
from mpi_lowrank.report.numbers import short

_WIDTHS = (38, 24, 10, 17)


def format_findings(findings: list[Finding], verbose: bool = False) -> str:
    """A line per promise that has a constant or that failed; the others are counted."""
    lines = [_line("compressor", "promise", "promised", "measured", "")]
    for spec in dict.fromkeys(finding.spec for finding in findings):
        own = [finding for finding in findings if finding.spec == spec]
        shown = [f for f in own if verbose or not f.passed or _has_constant(f)]
        for number, finding in enumerate(shown):
            lines.append(_finding_line(finding, spec if number == 0 else ""))
        if rest := len(own) - len(shown):
            more = f"{rest} more" if shown else f"{rest} promises"
            lines.append(_line("" if shown else spec, more, "", "", "pass"))
    failed = sum(not finding.passed for finding in findings)
    specs = len({finding.spec for finding in findings})
    verdict = f"{failed} failed" if failed else "all hold"
    lines.append(f"{specs} specifications, {len(findings)} promises: {verdict}")
    return "\n".join(lines)


def _has_constant(finding: Finding) -> bool:
    return finding.promise.split(" at ")[0] in ("1 - alpha", "omega", "alpha, omega", "bytes")


def _finding_line(finding: Finding, spec: str) -> str:
    measured = _number(finding.measured)
    if finding.bound:
        measured += f" +- {_number(finding.bound, 2)}"
    line = _line(
        spec,
        finding.promise,
        _number(finding.promised),
        measured,
        "pass" if finding.passed else "FAIL",
    )
    place = f"\n{'':<{_WIDTHS[0]}} on {finding.where}" if finding.where else ""
    return line if finding.passed else line + place


def _number(value: float | str, digits: int = 4) -> str:
    if isinstance(value, str) or not isfinite(value):
        return str(value)
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else short(value, digits)


def _line(spec: str, *cells: str) -> str:
    """A specification too long for its column gets a line of its own."""
    width = _WIDTHS[0]
    head = f"{spec}\n{'':<{width}}" if len(spec) > width else f"{spec:<{width}}"
    rest = [f"{cell:<{w}}" for cell, w in zip(cells, (*_WIDTHS[1:], 0), strict=True)]
    return f"{head} {' '.join(rest)}".rstrip()
