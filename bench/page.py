"""Size of the page by its number of cases, seconds to write it, to load it and to move its slider.

    python bench/page.py results/mushrooms.h5

The cases are those of the record, again and again under other names. To load is until Chromium has
drawn everything; without Debian's package chromium and Playwright these two columns are left out.
"""

import argparse
import copy
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

from mpi_lowrank.page import write_page
from mpi_lowrank.record import Record

MOVED = """() => {
  const slider = document.getElementById("stop"), began = performance.now();
  slider.value = slider.max / 2;
  slider.dispatchEvent(new Event("input"));
  return (performance.now() - began) / 1e3;
}"""
LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd / 1e3"
CHROMIUM = shutil.which("chromium")


def grown(record: Record, count: int) -> Record:
    """The record with `count` cases, the same ones again under other methods' names."""
    few = list(record.cases.values())
    many = copy.copy(record)
    many.cases = {}
    for number in range(count):
        turn, place = divmod(number, len(few))
        case = copy.copy(few[place])
        case.attributes = case.attributes | {"method": f"{case.attributes['method']} {turn}"}
        case.label = f"{case.label} {turn}"
        many.cases[case.label] = case
    return many


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium; None where it or Playwright is missing."""
    if CHROMIUM is None or find_spec("playwright") is None:
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=options)


def shown(chromium: Any, path: Path, repeats: int) -> list[str]:
    """Median seconds to load and to move the slider."""
    if chromium is None:
        return ["-", "-"]
    found = []
    for _ in range(repeats):
        page = chromium.new_page(viewport={"width": 1600, "height": 900})
        page.goto(path.as_uri())
        found.append((page.evaluate(LOADED), page.evaluate(MOVED)))
        page.close()
    return [f"{statistics.median(seconds):.2f}" for seconds in zip(*found, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("record", type=Path)
    parser.add_argument("--cases", type=int, nargs="+", default=[8, 200, 2000])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{'cases':>6}{'KB':>8}{'s to write':>12}{'s to load':>11}{'s per move':>12}")
    record = Record(options.record)
    with browser() as chromium, tempfile.TemporaryDirectory() as folder:
        for count in options.cases:
            began = perf_counter()
            path = write_page([grown(record, count)], Path(folder) / "page.html")
            written = perf_counter() - began
            size = path.stat().st_size / 1e3
            loaded, moved = shown(chromium, path, options.repeats)
            print(f"{count:6}{size:8.0f}{written:12.2f}{loaded:>11}{moved:>12}")


if __name__ == "__main__":
    main()
