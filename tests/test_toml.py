"""What a configuration may be before anyone looks at its keys."""

import os
import subprocess
import sys

import pytest

from mpi_lowrank import config
from mpi_lowrank.config import toml
from mpi_lowrank.errors import LONGEST, UserError

CASE = '\n[[cases]]\nmethod = "GD"\n'


@pytest.fixture
def refused(tmp_path):
    def refused(text, *settings):
        path = tmp_path / "some.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(UserError) as caught:
            config.load(path, settings)
        message = str(caught.value)
        assert "\n" not in message and len(message) <= LONGEST
        return message

    return refused


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r'name = "a\u0000b"' + CASE, [r"some.toml: name = a\x00b: allowed is"]),
        (r'method = "a\u0000b"' + "\n[[cases]]", [r"method = a\x00b: allowed is ADEF"]),
        (r'"a\u0000b" = 1' + CASE, [r"a\x00b = 1: allowed is one of the keys"]),
        (CASE + r'label = "a\u0000b"', [r"label = a\x00b: allowed is"]),
        (f"seed = {'[' * 500}{']' * 500}{CASE}", ["too deep", "at most 20 tables and lists"]),
        (f"seed = {'[' * 25}{']' * 25}{CASE}", ["seed[0]", "at most 20 tables and lists"]),
        (f"seed = {'{a=' * 25}1{'}' * 25}{CASE}", ["seed.a.a", "at most 20 tables and lists"]),
        (f"{'.'.join('a' * 500)} = 1{CASE}", ["a.a.a", "at most 20 tables and lists"]),
        (f"multiple = {'9' * 400}{CASE}", ["multiple = 999", "to below 2**63"]),
        (f"seed = {'9' * 5000}{CASE}", ["too large a number", "to below 2**63"]),
        (f"rounds = 0x{'f' * 5000}{CASE}", ["rounds = 0xfff", "to below 2**63"]),
        (f"stop = {{loss = 1{'0' * 400}}}{CASE}", ["stop.loss = 1000", "to below 2**63"]),
        (CASE + 'stepsize = "1e999/L"', ["stepsize = 1e999/L", 'one such as "8/L"']),
        (f"{'k' * 10**5} = 1{CASE}", ["kkk ... k", "= 1: allowed is one of the keys", "seed"]),
        (f'method = "{"m" * 10**5}"\n[[cases]]', ["method = mmm", "mmm: allowed is ADEF", "GD"]),
        (CASE + "rounds = 3\nround = 4", ["did you mean rounds?"]),
        ('[[cases]]\nmethod = "EF22"', ["cases[0].method = EF22", "did you mean EF21?"]),
        ('data = {order = "shufled"}' + CASE, ["data.order = shufled", "did you mean shuffled?"]),
        ("stop = {los = 1}" + CASE, ["stop.los = 1", "did you mean loss?"]),
        ('baseline = "gd 1x"' + CASE, ["baseline = gd 1x", "did you mean GD 1x?"]),
        ("rounds = 5", ["cases is missing: expected one [[cases]] table"]),
        ("[[cases]]\nrounds = 5", ["cases[0].method is missing: expected ADEF"]),
        ('problem = "mlp"' + CASE, ["cases[0].stepsize is missing: expected a number"]),
        (f"seed = {[*range(101)]}\nrounds = {[*range(1, 101)]}{CASE}", ["at most 10000"]),
        (b'name = "caf\xe9"\n', ["is not UTF-8: byte 11 (0xe9, in line 1)", "save it as UTF-8"]),
        (("rounds = 5" + CASE).encode("utf-16"), ["is not UTF-8: byte 0 (0xff, in line 1)"]),
        (b"[[cases]]\nmethod = \x00", ["is not TOML", "line 2"]),
    ],
    ids=range(27),
)
def test_a_mistake_is_one_line_of_at_most_a_thousand_characters(refused, text, words):
    message = refused(text)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("problem.name.a.b=1", ["problem.name = logistic: allowed is a table with keys"]),
        ("cases.².x=1", ["cases[0].² = {'x': 1}"]),
        ("cases." + "9" * 5000 + ".x=1", ["cases[0].999"]),
        ("cases.0.rounds.x=1", ["cases.0.rounds = 5: allowed is a table with keys"]),
        ("seed=" + "[" * 5000, ["seed = [[["]),
        ("seed=" + "9" * 5000, ["seed = 999"]),
        ("seed=" + "9" * 400, ["seed = 999", "2**63"]),
        ("data=a\udc80b", [r"--set data=a\udc80b: expected printable"]),
        ("seed=1\nrounds=2", [r"--set seed=1\nrounds=2: expected printable", "on one line"]),
        ("x" * 10**5, ["xxx: expected KEY=VALUE"]),
        (".".join("a" * 5000) + "=1", ["a.a.a", "at most 20"]),
    ],
    ids=range(11),
)
def test_a_setting_that_cannot_be_is_one_line(refused, setting, words):
    message = refused('problem = {name = "logistic"}' + CASE + "rounds = 5", setting)
    for word in words:
        assert word in message


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "some.toml").write_bytes(b"\xef\xbb\xbfrounds = 7" + CASE.encode())
    experiment = config.load(tmp_path / "some.toml")
    assert experiment.cases[0].rounds == 7 and experiment.text == "rounds = 7" + CASE


def test_a_file_is_utf_8_whatever_the_locale(tmp_path):
    (tmp_path / "some.toml").write_bytes('name = "café"'.encode() + CASE.encode())
    code = "from mpi_lowrank import config; print(ascii(config.load('some.toml').name))"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | plain,
        capture_output=True,
        check=True,
    )
    assert ended.stdout == b"'caf\\xe9'\n"


def test_of_a_huge_file_no_more_is_read_than_a_configuration_may_have(tmp_path):
    path = tmp_path / "some.toml"
    with path.open("wb") as stream:
        stream.truncate(10**12)
    with pytest.raises(UserError, match="has at most 16 MB"):
        toml.read(path)


def test_thousands_of_cases_are_labelled_in_time(tmp_path):
    (tmp_path / "some.toml").write_text(f"seed = {[*range(5000)]}" + CASE)
    assert config.load(tmp_path / "some.toml").cases[4999].label == "GD 1x seed=4999"
