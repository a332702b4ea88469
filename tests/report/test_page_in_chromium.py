"""The page as a browser shows it: without a network, and with and without JavaScript."""

import copy
import csv
import io
import shutil

import numpy as np
import pytest
from test_best import TARGET, written

from mpi_lowrank.page import write_page
from mpi_lowrank.predict.rows import Grid, predict, prediction_table
from mpi_lowrank.report.best import best_rows, best_steps, best_tables, blocks_of, in_order
from mpi_lowrank.report.layout import as_latex
from mpi_lowrank.report.numbers import short

CHROMIUM = shutil.which("chromium")
KEYS = ("rounds", "uplink_bytes", "total_bytes", "uplink_bytes_ratio", "uplink_bytes_most")
FITS = "chart.querySelector('canvas').clientWidth === chart.clientWidth"
CELLS = """rows => rows.map(
  row => [...row.cells].slice(1).map(cell => [cell.dataset.value, cell.textContent]))"""
DRAWN = """() => {
  const canvas = chart.querySelector("canvas"), {width, height} = canvas;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  let drawn = 0;
  for (let i = 3; i < pixels.length; i += 4) drawn += pixels[i] > 0;
  return drawn / width / height;
}"""


READ = "willReadFrequently"  # Chromium about what the tests do, not the page
COLUMN = """x => {
  const canvas = chart.querySelector("canvas"), over = chart.querySelector(".u-over");
  const scale = canvas.width / canvas.clientWidth;
  const [left, top] = [over.offsetLeft * scale, over.offsetTop * scale];
  const [width, height] = [over.clientWidth * scale, over.clientHeight * scale];
  const place = Math.round(left + x * width);
  const {data} = canvas.getContext("2d").getImageData(place, top, 1, height);
  const pixels = Array.from({length: height}, (_, y) => [...data.slice(4 * y, 4 * y + 4)]);
  return pixels.map(([r, g, b]) => Math.max(r, g, b) - Math.min(r, g, b) > 40);
}"""


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs Debian's package chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        # Root, as whom CI runs, has no sandbox.
        options = ["--no-sandbox", "--disable-gpu"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return written(tmp_path_factory.mktemp("page") / "some.h5", settings=(4, 8))


@pytest.fixture(scope="module")
def address(record):
    return write_page([record], target=TARGET, by="uplink_bytes").as_uri()


@pytest.fixture
def open_page(browser, address):
    """Open it in a fresh context; a request, an error or a warning fails the test."""
    trouble, contexts, allowed = [], [], []

    def opened(address=address, **options):
        allowed.append(address)
        context = browser.new_context(viewport={"width": 1600, "height": 900}, **options)
        contexts.append(context)
        context.set_offline(True)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("request", lambda r: r.url in allowed or trouble.append(r.url))
        page.on("console", lambda m: READ in m.text or trouble.append(m.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert trouble == []


def copied(page, title, number=0, where="#best"):
    page.locator(f"{where} button", has_text=title).nth(number).evaluate("button => button.click()")
    return page.evaluate("navigator.clipboard.readText()")


def numbers(page, number):
    """The rows of that table, the KEYS that it has, as CSV has them."""
    rows = csv.DictReader(io.StringIO(copied(page, "Copy CSV", number)))
    return [(row["method"], row["stepsize"], *map(number_of, KEYS, [row] * 5)) for row in rows]


def number_of(key, row):
    return pytest.approx(float(row[key]), rel=1e-9) if row.get(key) else None


def expected(record, target, by):
    """What `best` has for it, a list per setting."""
    blocks = blocks_of(in_order(best_rows([record], target, by), by))
    return [
        [(r["name"], r["stepsize"], *(r[key] for key in KEYS)) for r in rows] for rows in blocks
    ]


def undominated(rows):
    """The names, by rounds, of those that no other undercuts in rounds and uplink."""
    arrived = sorted(
        (row["rounds"], row["uplink_bytes"], row["name"]) for row in rows if row["rounds"]
    )
    cheapest = [min(up for rounds, up, _ in arrived if rounds <= most) for most, _, _ in arrived]
    return [name for (_, up, name), least in zip(arrived, cheapest, strict=True) if up == least]


def move(page, place, slider="#stop"):
    page.locator(slider).evaluate(
        "(slider, place) => { slider.value = place; slider.dispatchEvent(new Event('input')); }",
        place,
    )


def test_scripts_show_what_stands_there_without_them(open_page, record):
    still, live = open_page(java_script_enabled=False), open_page()
    for number in range(3):  # curves, and of each setting the frontier
        assert still.locator(".still svg").nth(number).is_visible()
        assert not live.locator(".still svg").nth(number).is_visible()
    assert not still.locator("#controls").is_visible()
    for selector in ("#best tr", "#best .caption", "#verdict"):
        texts = [page.locator(selector).all_text_contents() for page in (still, live)]
        assert [" ".join(text.split()) for text in texts[0]] == [
            " ".join(text.split()) for text in texts[1]
        ]


def test_at_two_widths_by_day_and_night_curves_are_drawn_and_nothing_overflows(open_page):
    page = open_page()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (400, 1600):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function(FITS)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert 0.005 < page.evaluate(DRAWN) < 0.5


def test_numbers_follow_target_toggles_and_order_as_best_has_them(open_page, record):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    stops = page.evaluate("JSON.parse(data.textContent).metrics.grad_norm_sq.stops")
    for place, stop in enumerate(stops):
        move(page, place)
        for number, rows in enumerate(expected(record, ("grad_norm_sq", stop), "uplink_bytes")):
            assert rows == numbers(page, number)
    told = page.locator("#undominated").text_content()
    rows = in_order(best_rows([record], TARGET, "uplink_bytes"), "uplink_bytes")
    for workers, block in zip((4, 8), blocks_of(rows), strict=True):
        assert f"workers {workers}: on the frontier are {', '.join(undominated(block))}." in told
    tabular = as_latex(best_tables(rows, "uplink_bytes")[1:]).split("\n")
    begin, end = tabular.index(r"\begin{tabular}{lrrrrrrrrrr}"), tabular.index(r"\end{tabular}")
    assert (
        copied(page, "Copy LaTeX", 1).split("\n")[-(end - begin + 1) :] == tabular[begin : end + 1]
    )
    few = copy.copy(record)
    few.cases = {label: c for label, c in record.cases.items() if c.attributes["seed"] != 2}
    page.locator("input[data-kind=seed][data-value='2']").uncheck()
    page.locator("#by").select_option("rounds")
    rounds = expected(few, TARGET, "rounds")[0]
    assert [row[:5] for row in rounds] == [row[:5] for row in numbers(page, 0)]
    page.locator("input[data-kind=method][data-value='EF21']").uncheck()
    assert [row[0] for row in numbers(page, 0)] == ["GD + c", "DCGD + c"]
    page.locator("#best th", has_text="rounds").first.click()
    assert "ascending" in page.locator("#best th", has_text="rounds").first.get_attribute(
        "aria-sort"
    )
    page.locator("#best th", has_text="method").first.click()
    assert page.locator("#best tbody th").first.text_content() == "DCGD + c"


def predicted(page):
    """The tables of predictions: for each method its cells, as (number in full, text)."""
    keys, *rows = page.locator("#predicted tr").evaluate_all(CELLS)
    return [
        {key: cell for (_, key), cell in zip(keys, row, strict=True)} for row in rows if row != keys
    ]


def number_in(cell):
    return float(cell[0]) if cell[0] else None


def test_other_networks_have_the_numbers_of_predict(open_page, tmp_path):
    record = written(tmp_path / "one.h5", seeds=[1])
    page = open_page(write_page([record], target=TARGET).as_uri())
    sliders = page.evaluate("JSON.parse(data.textContent).network")
    steps = {step.row["name"]: step.cases[0].label for step in best_steps([record], TARGET)}
    labels = [steps[row["name"]] for row in in_order(best_rows([record], TARGET))]
    kept = ("bandwidths", "latencies", "ranks")
    for places in ((0, 3, 0), (5, 9, 4), (14, 0, 15)):
        bandwidth, latency, ranks = (sliders[k][n] for k, n in zip(kept, places, strict=True))
        for slider, place in zip(("#bandwidth", "#latency", "#ranks"), places, strict=True):
            move(page, place, slider)
        rows = predict(record, Grid(np.full(2, bandwidth), latency, [ranks]), ranks, TARGET)
        told = {row["label"]: row for row in rows}
        for shown, row in zip(predicted(page), map(told.get, labels), strict=True):
            at = row["predicted"][0]
            assert number_in(shown["rounds"]) == row["rounds_counted"]
            for key, seconds in (
                ("ms per round", 1e3 * at["round_seconds"]),
                ("seconds to the target", at["target_seconds"]),
            ):
                assert number_in(shown[key]) == (seconds and pytest.approx(seconds, rel=1e-9))
                assert shown[key][1] == short(seconds)
            assert shown["beats float32"][1] == prediction_table([row]).columns[-1].value(row)


def test_other_networks_begin_as_the_table_without_scripts_has_them(open_page):
    still, live = open_page(java_script_enabled=False), open_page()
    for without, shown in zip(predicted(still), predicted(live), strict=True):
        assert without["beats float32"] == shown["beats float32"]
        assert without["1 G"][1] == shown["seconds to the target"][1]
    notes = [page.locator("#predicted .note").all_text_contents() for page in (still, live)]
    for without, shown in zip(*notes, strict=True):
        assert without.startswith(shown.rstrip("."))


def spans(page, t):
    """Of the curves at round t of 60: the most and least that are coloured there, and how many."""
    colored = np.array(page.evaluate(COLUMN, t / 60))
    low, high = np.log(0.5 / 1.3), np.log(3 * 1.3)
    found = np.flatnonzero(colored)
    ends = np.exp(high - (high - low) * found[[0, -1]] / len(colored))
    return ends, len(found), len(colored)


def test_seeds_are_a_band_from_the_least_to_the_most(open_page):
    page = open_page()
    page.locator("#x").select_option("rounds")
    for method in ("GD", "EF21"):
        page.locator(f"input[data-kind=method][data-value='{method}']").uncheck()
    for t, most, least in ((4, 2.996, 0.996), (55, 2.945, 0.5)):
        ends, count, height = spans(page, t)
        filled = height * np.log(most / least) / np.log(3 * 1.3 / (0.5 / 1.3))
        assert ends == pytest.approx([most, least], rel=6 / height)
        assert count == pytest.approx(filled, rel=0.05)
    page.locator("#each").check()
    ends, count, height = spans(page, 4)
    assert ends == pytest.approx([2.996, 0.996], rel=0.03) and 3 <= count < 20
