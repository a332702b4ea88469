"""The page: its numbers are those of tables, it fetches nothing, and no text becomes a tag."""

import copy
import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import numpy as np
import pytest
from test_best import TARGET, written

from mpi_lowrank.cli import main
from mpi_lowrank.door.network import Network
from mpi_lowrank.errors import UserError
from mpi_lowrank.page import page
from mpi_lowrank.page.stops import first_target, stops
from mpi_lowrank.predict.model import measured, rounds_of
from mpi_lowrank.predict.rows import Grid, predict_steps
from mpi_lowrank.record import LEDGER_DTYPE, METRICS, PHASES_DTYPE, Record, RecordWriter
from mpi_lowrank.report.best import best_rows, best_steps, in_order
from mpi_lowrank.report.table import table_rows
from mpi_lowrank.text.options import COSTS

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;"


class Parsed(HTMLParser):
    """Tables as rows of (text, data-value); elements with their attributes; scripts; all text."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.elements, self.scripts, self.text = [], [], [], ""
        self.within = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append(["", dict(attributes).get("data-value")])
        elif tag == "script":
            self.scripts.append("")

        self.within = self.within if tag == "wbr" else tag

    def handle_endtag(self, tag):
        self.within = None

    def handle_data(self, data):
        self.text += data
        if self.within == "script":
            self.scripts[-1] += data
        elif self.within in ("th", "td"):
            self.tables[-1][-1][-1][0] += data

    def data(self):
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return written(tmp_path_factory.mktemp("page") / "some.h5")


@pytest.fixture(scope="module")
def parsed(record):
    return Parsed(page([record], TARGET, "uplink_bytes"))


def columns(table):
    """The data-values below each heading, as numbers where they are some."""
    head, *rows = table
    return {cell[0]: [row[place][1] for row in rows] for place, cell in enumerate(head) if place}


def numbers(values):
    return [float(value) if value else None for value in values]


def test_its_tables_have_the_numbers_of_best_and_of_table(record, parsed, capsys):
    shown = columns(parsed.tables[0])
    rows = in_order(best_rows([record], TARGET, "uplink_bytes"), "uplink_bytes")
    assert [row[0][0] for row in parsed.tables[0][1:]] == [row["name"] for row in rows]
    keys = {"rounds": "rounds", "up": "uplink_bytes", "up+down": "total_bytes"}
    keys |= {"least": "uplink_bytes_least", "up/base": "uplink_bytes_ratio"}
    for header, key in keys.items():
        assert numbers(shown[header]) == [row[key] for row in rows]
    command = ["table", str(record.path), "--target", "grad_norm_sq=0.5", "--format", "json"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    ended, reached = (columns(table) for table in parsed.tables[-2:])
    for header, key in {"rounds": "rounds", "up": "uplink_bytes", "|grad|^2": TARGET[0]}.items():
        assert numbers(ended[header]) == [row[key] for row in told]
    costs = [row["targets"][0]["reached"] or {} for row in told]
    assert numbers(reached["up+down"]) == [cost.get("total_bytes") for cost in costs]


def test_each_stop_of_the_slider_has_what_a_table_of_that_target_has(make_record):
    record = make_record()
    data = Parsed(page([record], ("grad_norm_sq", 0.123456))).data()
    cases = {case["label"]: case for group in data["groups"] for case in group["cases"]}
    for metric, told in data["metrics"].items():
        for number, stop in list(enumerate(told["stops"]))[::5]:
            for row in table_rows([record], (metric, stop)):
                case, costs = cases[row["label"]], row["targets"][0]["reached"]
                at = case["at"][metric][number]
                assert (at is None) == (costs is None)
                if costs:
                    column = {key: values[at] for key, values in case["columns"].items()}
                    column |= {"rounds": column["round"]}
                    column["total_bytes"] = column["uplink_bytes"] + column["downlink_bytes"]
                    assert [column[c] for c in COSTS] == pytest.approx([costs[c] for c in COSTS])
    falls, rises = (data["metrics"][name]["stops"] for name in ("grad_norm_sq", "train_accuracy"))
    assert falls == sorted(falls, reverse=True) and {10.0, 5.0, 2.0, 1.0, 0.123456} <= set(falls)
    assert rises == sorted(rises) and 20 < len(rises) < 50


def test_it_asks_no_one_for_anything_and_runs_its_own_scripts_alone(parsed):
    for tag, attributes in parsed.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        for key, value in attributes.items():
            asked = key.split(":")[-1] in ("src", "href", "action", "srcset", "data")
            assert not asked or value.startswith("#")
            assert not key.startswith("on")
    text = " ".join(str(value) for _, one in parsed.elements for value in one.values())
    assert not re.search(
        r"url\((?!#)|@import", text + parsed.text.replace("".join(parsed.scripts), "")
    )
    policy = next(a["content"] for _, a in parsed.elements if "http-equiv" in a)
    hashes = [b64encode(sha256(s.encode()).digest()).decode() for s in parsed.scripts[1:]]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    assert policy == (f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}")


def test_no_text_of_a_record_becomes_a_tag(tmp_path):
    root = dict.fromkeys(("name", "baseline", "config", "versions", "command"), HOSTILE)
    writer = RecordWriter(tmp_path / "r.h5", root | {"hosts": [HOSTILE]})
    keys = ("method", "compressor", "family", "step", "data", "problem")
    writer.start_case(HOSTILE, dict.fromkeys(keys, HOSTILE) | {"timing_valid": False})
    for number in range(1, 9):
        writer.append(dict.fromkeys(("round", "loss", "grad_norm_sq", "uplink_bytes"), number))
    verdict = {"status": HOSTILE, "valid": False, "reasons": [HOSTILE], "timing_reasons": [HOSTILE]}
    writer.finish_case(verdict, np.zeros(0, LEDGER_DTYPE), np.ones(1, PHASES_DTYPE))
    writer.close()
    parsed = Parsed(page([Record(tmp_path / "r.h5")]))
    assert len(parsed.scripts) == 3 and "img" not in [tag for tag, _ in parsed.elements]
    assert "<" not in parsed.scripts[0]
    assert parsed.data()["groups"][0]["cases"][0]["label"] == HOSTILE
    assert parsed.text.count(HOSTILE) > 10


def test_two_hundred_cases_are_less_than_two_megabytes(make_record):
    record = make_record(change=lambda row: row | {"test_accuracy": row["train_accuracy"]})
    few, record.cases = record.cases, {}
    for number in range(200):
        label, case = list(few.items())[number % len(few)]
        one = record.cases[f"{label} {number}"] = copy.copy(case)
        one.attributes = case.attributes | {"seed": number % 5, "method": f"EF21 {number // 5}"}
        one.label = f"{label} {number}"
    assert 200_000 < len(page([record]).encode()) < 2_000_000


def test_figures_stand_there_without_scripts(make_record):
    text = page([make_record()])
    figures = re.findall("<svg.*?</svg>", text, re.DOTALL)
    assert len(figures) == 2 and all(f">{tick}</text>" in figures[0] for tick in ("0.01", "0.0001"))
    labels = re.findall(r">([^<>]+)</text>", figures[1])
    assert labels.count("EF21") == labels.count("GD") == 2
    assert "uplink: what a worker sends" in labels


def test_seeds_together_take_their_median_rounds_of_the_mean_length(record):
    steps, network = best_steps([record], TARGET), Network(1e6, 1e-4)
    rounds = rounds_of(list(record.cases.values()))
    rows = predict_steps(
        steps, rounds, Grid(np.full(2, network.bandwidth), network.latency, [8]), 8
    )
    assert [row["rounds_counted"] for row in rows] == [6, 7, 40, None]
    for row, step in zip(rows, steps, strict=True):
        lengths = [measured(case).seconds(network, 8) for case in step.cases]
        assert len(set(lengths)) == 3
        at, count = row["predicted"][0], row["rounds_counted"]
        assert at["round_seconds"] == pytest.approx(np.mean(lengths), rel=1e-12)
        to_target = count and pytest.approx(count * np.mean(lengths), rel=1e-12)
        assert at["target_seconds"] == to_target
    assert rows[0]["pays"]["float32"] is None and rows[1]["pays"]["float32"][0] == 0


def test_other_networks_are_left_out_where_nothing_tells_of_them(make_record, tmp_path):
    parsed = Parsed(page([make_record()]))
    assert parsed.data()["network"] is None
    assert "Nothing is predicted: no case has rounds, phases and a ledger." in parsed.text
    record = written(tmp_path / "some.h5", seeds=[0])
    for case in record.cases.values():
        case.attributes["throttle"] = "100 Mbit/s, 50 us"
    parsed = Parsed(page([record], TARGET))
    assert parsed.data()["network"] is None
    assert "seconds here are modelled already, for 100 Mbit/s, 50 us." in parsed.text


def test_the_slider_stops_at_round_numbers_and_begins_where_cases_were_to_stop(record):
    cases = list(record.cases.values())
    assert stops(METRICS["grad_norm_sq"], cases) == [2.0, 1.0, 0.5]
    metric, value = first_target([record])
    reached = [case for case in cases if np.min(case[metric]) <= value]
    assert (metric, value) == ("grad_norm_sq", 0.5) and len(reached) >= len(cases) / 2
    asked, other = copy.copy(cases[0]), copy.copy(record)
    asked.attributes = asked.attributes | {"key": json.dumps({"stop": {"grad_norm_sq": 0.7}})}
    other.cases = {"one": asked}
    assert first_target([other]) == ("grad_norm_sq", 0.7)


def test_what_cannot_be_is_one_line(tmp_path, capsys):
    record = written(tmp_path / "some.h5", seeds=[0])
    report = ["report", str(record.path)]
    assert main([*report, "-o", str(tmp_path)]) == 2
    assert "cannot be written: Is a directory" in capsys.readouterr().err
    assert main([*report, "--target", "speed=1"]) == 2
    assert "target 'speed': allowed is" in capsys.readouterr().err
    assert main([*report, "--baseline", "GD2"]) == 2
    assert "--baseline GD2: allowed is" in capsys.readouterr().err
    RecordWriter(tmp_path / "empty.h5", {"name": "empty"}).close()
    with pytest.raises(UserError, match=r"empty\.h5: no metric is recorded yet"):
        page([Record(tmp_path / "empty.h5")])
    assert main(report) == 0
    assert capsys.readouterr().out.strip() == str(record.path.with_suffix(".html"))
