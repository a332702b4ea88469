"""Records that are damaged or made to do harm: one line, or the numbers that were written."""

import json
import shutil

import h5py
import numpy as np
import pytest

from mpi_lowrank.errors import UserError
from mpi_lowrank.record import LEDGER_DTYPE, PHASES_DTYPE, Record, RecordWriter
from mpi_lowrank.record.seal import LENGTH, MARK, seal
from mpi_lowrank.report.show import format_show, show
from mpi_lowrank.report.table import format_table, table_rows

LOSS = 1 / np.arange(1.0, 701.0)
ATTRIBUTES = {"method": "GD", "L": 2.5, "L_i": np.arange(5.0), "valid": True, "reasons": ["none"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The path of a record of two cases."""
    path = tmp_path_factory.mktemp("whole") / "r.h5"
    root = {"name": "r", "versions": '{"numpy": "2"}', "hosts": ["a", "b"], "baseline": "a"}
    writer = RecordWriter(path, root | {"config": "name = 'r'\n" * 40})
    for label in "ab":
        writer.start_case(label, ATTRIBUTES)
        for number, loss in enumerate(LOSS):
            writer.append({"round": number, "loss": loss, "uplink_bytes": 8.0 * number})
        ledger = np.zeros(300, LEDGER_DTYPE)
        ledger["bytes"] = np.arange(300)
        writer.finish_case({"status": "finished"}, ledger, np.ones(2, PHASES_DTYPE))
    writer.close()
    return path


def numbers(path):
    """All that can be read of a record, as text."""
    record = Record(path)
    rows, shown = table_rows([record], ("loss", 0.01)), show(record)
    assert format_table(rows) and format_show(shown)
    columns = [
        column.tobytes() for case in record.cases.values() for column in case.columns().values()
    ]
    ledgers = [case.ledger.tobytes() for case in record.cases.values()]
    return json.dumps([rows, {**shown, "path": ""}]), columns, ledgers


def mutants(data, count, seed):
    """Copies of `data` with one bit flipped, eight bytes overwritten, or an end that is missing."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        mutant, place = bytearray(data), int(rng.integers(len(data)))
        if number % 3 == 0:
            mutant[place] ^= 1 << int(rng.integers(8))
        elif number % 3 == 1:
            mutant[place : place + 8] = rng.bytes(min(8, len(data) - place))
        else:
            del mutant[place:]
        yield bytes(mutant)


def outcome(path):
    """What `numbers` gives, or the error; any other exception is the test's failure."""
    try:
        return numbers(path)
    except UserError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error) and len(str(error)) < 1000
        return "error"


def test_damage_anywhere_is_an_error_or_changes_nothing(whole, tmp_path):
    expected, path = numbers(whole), tmp_path / "r.h5"
    errors = 0
    for mutant in mutants(whole.read_bytes(), 300, seed=1):
        path.write_bytes(mutant)
        found = outcome(path)
        errors += found == "error"
        assert found in ("error", expected)
    assert errors > 290


def test_damage_to_a_record_without_a_seal_is_an_error_or_leaves_the_columns(whole, tmp_path):
    expected, path = numbers(whole), tmp_path / "r.h5"
    for mutant in mutants(whole.read_bytes()[:-LENGTH], 300, seed=2):
        path.write_bytes(mutant)
        found = outcome(path)
        assert found == "error" or found[1] == expected[1]


def test_a_bit_flip_in_any_data_set_is_an_error_for_any_reader_of_hdf5(whole, tmp_path):
    data, path = whole.read_bytes(), tmp_path / "r.h5"
    with h5py.File(whole) as file:
        sets = []
        file.visititems(lambda _, node: sets.append(node) if hasattr(node, "shape") else None)
        assert len(sets) == 2 * (9 + 3) and all(one.fletcher32 for one in sets)
        places = {one.name: one.id.get_chunk_info(0).byte_offset for one in sets}
    for name, place in places.items():
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with h5py.File(path) as file, pytest.raises(OSError, match="filter returned failure"):
            file[name][:]
    assert outcome(path) == "error"


def test_a_record_without_a_seal_is_read(whole, tmp_path):
    (tmp_path / "r.h5").write_bytes(whole.read_bytes()[:-LENGTH])
    assert outcome(tmp_path / "r.h5") == numbers(whole)
    assert whole.read_bytes()[-LENGTH:].startswith(MARK)
    assert seal(whole.read_bytes()[:-LENGTH]) == whole.read_bytes()[-LENGTH:]


def replace(file, name, **options):
    del file[name]
    return file.create_dataset(name, **options)


def link_case_away(file, elsewhere):
    file["cases/c"] = h5py.ExternalLink(elsewhere, "/cases/a")


def link_softly(file, elsewhere):
    file["cases/c"] = h5py.SoftLink("/cases/a")


def link_column_away(file, elsewhere):
    del file["cases/a/rounds/loss"]
    file["cases/a/rounds/loss"] = h5py.ExternalLink(elsewhere, "/cases/a/rounds/loss")


def link_ledger_away(file, elsewhere):
    del file["cases/a/ledger"]
    file["cases/a/ledger"] = h5py.ExternalLink(elsewhere, "/cases/a/ledger")


def store_column_elsewhere(file, elsewhere):
    external = [(elsewhere, 0, 5600)]
    replace(file, "cases/a/rounds/loss", shape=(700,), dtype="<f8", external=external)


def make_column_virtual(file, elsewhere):
    del file["cases/a/rounds/loss"]
    layout = h5py.VirtualLayout((700,), "<f8")
    layout[:] = h5py.VirtualSource(elsewhere, "cases/a/rounds/loss", (700,))
    file.create_virtual_dataset("cases/a/rounds/loss", layout)


def claim_terabytes(file, elsewhere):
    for column in list(file["cases/a/rounds"]):
        dtype = file["cases/a/rounds"][column].dtype
        replace(file, f"cases/a/rounds/{column}", shape=(2**40,), dtype=dtype, chunks=(512,))


def shorten_a_column(file, elsewhere):
    file["cases/a/rounds/loss"].resize((699,))


def drop_the_rounds(file, elsewhere):
    del file["cases/a/rounds/round"]


def drop_the_columns(file, elsewhere):
    del file["cases/a/rounds"]


def add_a_column(file, elsewhere):
    file["cases/a/rounds/speed"] = np.ones(700)


def retype_a_column(file, elsewhere):
    replace(file, "cases/a/rounds/loss", data=np.ones(700, "S8"))


def reshape_a_column(file, elsewhere):
    replace(file, "cases/a/rounds/loss", data=np.ones((700, 1)))


def retype_the_ledger(file, elsewhere):
    replace(file, "cases/a/ledger", data=np.ones(3))


def retype_the_phases(file, elsewhere):
    replace(file, "cases/a/phases", data=np.ones(3))


def make_an_array_of_texts(file, elsewhere):
    replace(file, "cases/a/L_i", data=["a"])


def make_a_table_of_a_group(file, elsewhere):
    del file["cases/a/ledger"]
    file.create_group("cases/a/ledger")


def make_a_case_of_an_array(file, elsewhere):
    file["cases/c"] = np.ones(3)


def drop_a_label(file, elsewhere):
    del file["cases/a"].attrs["label"]


def give_two_cases_one_label(file, elsewhere):
    file["cases/b"].attrs["label"] = "a"


def retype_attributes(name, value, node="cases/a"):
    def change(file, elsewhere):
        file[node].attrs[name] = value

    return change


CRAFTED = [
    link_case_away,
    link_softly,
    link_column_away,
    link_ledger_away,
    store_column_elsewhere,
    make_column_virtual,
    claim_terabytes,
    shorten_a_column,
    drop_the_rounds,
    drop_the_columns,
    add_a_column,
    retype_a_column,
    reshape_a_column,
    retype_the_ledger,
    retype_the_phases,
    make_an_array_of_texts,
    make_a_table_of_a_group,
    make_a_case_of_an_array,
    drop_a_label,
    give_two_cases_one_label,
    retype_attributes("label", 3),
    retype_attributes("reasons", "none"),
    retype_attributes("reasons", [1, 2]),
    retype_attributes("valid", "yes"),
    retype_attributes("status", [1.0]),
    retype_attributes("L", h5py.Empty("f")),
    retype_attributes("L", 1j),
    retype_attributes("L", np.ones((2, 2))),
    retype_attributes("units", 3, "cases/a/rounds/loss"),
    retype_attributes("baseline", 3, "/"),
    retype_attributes("schema", 1, "/"),
]


@pytest.mark.parametrize("craft", CRAFTED, ids=lambda craft: craft.__name__)
def test_what_is_no_record_of_this_schema_is_one_line(whole, tmp_path, craft):
    path, elsewhere = tmp_path / "r.h5", tmp_path / "elsewhere.h5"
    shutil.copy(whole, elsewhere)
    path.write_bytes(whole.read_bytes()[:-LENGTH])
    with h5py.File(path, "r+") as file:
        craft(file, str(elsewhere))
    assert outcome(path) == "error"


def test_versions_that_json_cannot_parse_are_shown_as_they_are(tmp_path):
    RecordWriter(tmp_path / "r.h5", {"versions": "[" * 100_000}).close()
    assert "[[[[" in format_show(show(Record(tmp_path / "r.h5")))


def test_a_heap_of_texts_without_an_end_is_one_line_where_hdf5_would_look_for_ever(whole, tmp_path):
    image, path = bytearray(whole.read_bytes()[:-LENGTH]), tmp_path / "r.h5"
    first = image.index(b"GCOL") + 16
    image[first : first + 16] = bytes(16)
    path.write_bytes(image)
    with pytest.raises(UserError, match=r"r\.h5: is damaged: a heap of its texts has no end"):
        Record(path)


@pytest.mark.parametrize("values", [(2, 1), (-1, 1)])
@pytest.mark.parametrize("name", ["round", "seconds", "uplink_bytes", "downlink_bytes"])
def test_counts_that_fall_are_one_line(whole, tmp_path, name, values):
    path = tmp_path / "r.h5"
    path.write_bytes(whole.read_bytes()[:-LENGTH])
    with h5py.File(path, "r+") as file:
        file[f"cases/a/rounds/{name}"][:] = np.where(np.arange(700) < 300, *values)
    assert outcome(path) == "error"


def test_counts_without_an_end_are_one_line(whole, tmp_path):
    path = tmp_path / "r.h5"
    path.write_bytes(whole.read_bytes()[:-LENGTH])
    with h5py.File(path, "r+") as file:
        file["cases/a/rounds/seconds"][-1] = np.inf
    assert outcome(path) == "error"
