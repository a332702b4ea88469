import math
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mpi_lowrank.errors import UserError
from mpi_lowrank.record import COLUMNS, LEDGER_DTYPE, PHASES_DTYPE, Record, RecordWriter
from mpi_lowrank.record.reader import RISING
from mpi_lowrank.record.schema import EARLIER_LEDGER_DTYPE

VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40),
    st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            name: st.integers(0, 2**40) if column.dtype.kind == "i" else st.floats(width=64)
            for name, column in COLUMNS.items()
        }
    ),
    max_size=20,
)
NAMES = st.text("abcdef_", min_size=1, max_size=12)


def make(path, label="a", root=(), case=(), rows=(), ledger=None, phases=None):
    writer = RecordWriter(path, dict(root), overwrite=True)
    writer.start_case(label, dict(case))
    for row in rows:
        writer.append(row)
    ledger = np.zeros(0, LEDGER_DTYPE) if ledger is None else ledger
    phases = np.zeros(1, PHASES_DTYPE) if phases is None else phases
    writer.finish_case({"status": "finished"}, ledger, phases)
    writer.close()
    return Record(path)


def _counted(value):
    """A number that may be counted from the start: finite and not negative."""
    return abs(value) if np.isfinite(value) else 0


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_every_column_comes_back_to_the_bit(tmp_path_factory, rows):
    for name in RISING:
        for row, value in zip(rows, sorted(_counted(row[name]) for row in rows), strict=True):
            row[name] = value
    case = make(tmp_path_factory.mktemp("r") / "r.h5", rows=rows).cases["a"]
    for name, column in COLUMNS.items():
        assert case[name].dtype == column.dtype
        np.testing.assert_array_equal(
            case[name], np.array([row[name] for row in rows], dtype=column.dtype)
        )


@settings(max_examples=40, deadline=None)
@given(attributes=st.dictionaries(NAMES, VALUES))
def test_attributes_come_back_as_they_were(tmp_path_factory, attributes):
    record = make(tmp_path_factory.mktemp("r") / "r.h5", root=attributes)
    found = {name: record.attributes[name] for name in attributes}
    assert found == attributes
    assert [type(found[name]) for name in found] == [type(attributes[name]) for name in found]


@settings(max_examples=20, deadline=None)
@given(
    ledger=arrays.arrays(LEDGER_DTYPE, st.integers(0, 5)),
    phases=arrays.arrays(PHASES_DTYPE, st.integers(1, 3)),
)
def test_ledger_and_phases_come_back_to_the_bit(tmp_path_factory, ledger, phases):
    case = make(tmp_path_factory.mktemp("r") / "r.h5", ledger=ledger, phases=phases).cases["a"]
    assert case.ledger.dtype == LEDGER_DTYPE
    assert case.ledger.tobytes() == ledger.tobytes()
    assert case.phases.tobytes() == phases.tobytes()


def test_a_ledger_of_an_earlier_version_has_a_row_for_each_call(tmp_path):
    calls = np.zeros(3, EARLIER_LEDGER_DTYPE)
    calls["round"], calls["bytes"], calls["op"] = [-1, 0, 7], [8, 9, 10], b"Bcast"
    make(tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5", "r+") as file:
        del file["cases/a/ledger"]
        file["cases/a"].create_dataset("ledger", data=calls, chunks=(3,))
    ledger = Record(tmp_path / "r.h5").cases["a"].ledger
    assert ledger.dtype == LEDGER_DTYPE and ledger["calls"].tolist() == [1, 1, 1]
    assert ledger["last"].tolist() == [-1, 0, 7]
    for name in EARLIER_LEDGER_DTYPE.names:
        assert ledger[name].tolist() == calls[name].tolist()


def test_none_is_left_out_and_arrays_become_data_sets(tmp_path):
    case = make(tmp_path / "r.h5", case={"stepsize": None, "L_i": np.arange(3.0)}).cases["a"]
    assert "stepsize" not in case.attributes
    np.testing.assert_array_equal(case.arrays["L_i"], [0.0, 1.0, 2.0])


def test_a_column_left_out_of_a_row_is_nan(tmp_path):
    case = make(tmp_path / "r.h5", rows=[{"round": 0, "loss": 1.0}]).cases["a"]
    assert math.isnan(case["test_accuracy"][0])


def test_cases_come_in_the_order_they_ran_and_columns_in_the_schemas(tmp_path):
    writer = RecordWriter(tmp_path / "r.h5", {})
    for label in ("z", "a", "topk(k=1/2)", "m"):
        writer.start_case(label, {})
    writer.close()
    cases = Record(tmp_path / "r.h5").cases
    assert list(cases) == ["z", "a", "topk(k=1/2)", "m"]
    assert list(cases["z"].columns()) == list(COLUMNS)


def test_units_stand_beside_the_numbers(tmp_path):
    case = make(tmp_path / "r.h5").cases["a"]
    assert case.units == {name: column.units for name, column in COLUMNS.items()}
    with h5py.File(tmp_path / "r.h5") as file:
        assert file["cases/a/rounds/uplink_bytes"].attrs["units"] == "B"


def test_to_pandas_is_indexed_by_round(tmp_path):
    frame = (
        make(tmp_path / "r.h5", rows=[{"round": 0, "loss": 2.0}, {"round": 7, "loss": 1.0}])
        .cases["a"]
        .to_pandas()
    )
    assert frame["loss"].to_dict() == {0: 2.0, 7: 1.0}
    assert frame.attrs["label"] == "a"


def test_a_record_s_frame_has_a_row_per_case_and_round(tmp_path):
    writer = RecordWriter(tmp_path / "r.h5", {})
    for label, seed, rounds in ("a", 0, 3), ("b", 1, 2):
        writer.start_case(label, {"method": label.upper(), "seed": seed})
        for number in range(rounds):
            writer.append({"round": number, "loss": 10.0 * seed + number})
    writer.close()
    frame = Record(tmp_path / "r.h5").to_pandas()
    assert frame["label"].tolist() == ["a"] * 3 + ["b"] * 2
    assert frame["method"].tolist() == ["A"] * 3 + ["B"] * 2
    assert frame["seed"].tolist() == [0, 0, 0, 1, 1]
    assert frame["round"].tolist() == [0, 1, 2, 0, 1]
    assert frame["loss"].tolist() == [0, 1, 2, 10, 11]


def test_to_pandas_without_pandas_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        make(tmp_path / "r.h5").cases["a"].to_pandas()


def test_a_column_that_is_not_there_names_those_that_are(tmp_path):
    with pytest.raises(UserError, match="no column 'speed'; it has round, seconds, loss"):
        make(tmp_path / "r.h5").cases["a"]["speed"]


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="there is no such record"):
        Record(tmp_path / "r.h5")


@pytest.mark.parametrize("content", [b"", b"label 1:2\n", b"\x89HDF\r\n\x1a\n" + b"\0" * 20])
def test_a_file_that_is_not_hdf5_is_an_error(tmp_path, content):
    (tmp_path / "r.h5").write_bytes(content)
    with pytest.raises(UserError, match=r"r\.h5: (is not an HDF5 file|cannot be read)"):
        Record(tmp_path / "r.h5")


def test_another_schema_is_an_error_that_names_both(tmp_path):
    with h5py.File(tmp_path / "r.h5", "w") as file:
        file.attrs["schema"] = "mpi-lowrank/9"
    with pytest.raises(
        UserError, match="schema is mpi-lowrank/9; this version reads mpi-lowrank/1"
    ):
        Record(tmp_path / "r.h5")


def test_a_foreign_hdf5_file_is_an_error(tmp_path):
    h5py.File(tmp_path / "r.h5", "w").close()
    with pytest.raises(UserError, match="schema is none"):
        Record(tmp_path / "r.h5")
