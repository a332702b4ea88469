"""Files that HDF5 builds in memory, and what it takes to put texts and numbers into them."""

import itertools
from collections.abc import Mapping

import h5py
import numpy as np

CHECKED = {"fletcher32": True}
"""With it any HDF5 reader refuses a chunk whose bits have changed."""

_numbers = itertools.count()


def in_memory() -> h5py.File:
    """A new file that is not on the disk."""
    name = f"record {next(_numbers)}"  # HDF5 opens only one file of a name
    return h5py.File(name, "w", driver="core", backing_store=False, track_order=True)


def image(file: h5py.File) -> bytes:
    """The file's bytes, without a seal."""
    file.flush()
    whole: bytes = file.id.get_file_image()
    return whole


def put(target: h5py.Group, attributes: Mapping[str, object]) -> None:
    """Store `attributes` in `target`: arrays as data sets, the rest as attributes, None not."""
    for name, value in attributes.items():
        if isinstance(value, np.ndarray):
            target.create_dataset(name, data=value, **CHECKED)
        elif isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            texts = [_storable(item) for item in value]
            target.attrs.create(name, texts, (len(texts),), h5py.string_dtype())
        elif value is not None:
            target.attrs[name] = _storable(value) if isinstance(value, str) else value


def _storable(text: str) -> str:
    """`text` as HDF5 can hold it: a command line may have bytes that are no UTF-8."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def copy_attributes(source: h5py.Group, target: h5py.Group) -> None:
    for name, value in source.attrs.items():
        target.attrs[name] = value


SCALES = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST")
"""The attributes in which HDF5 keeps which data set gives the positions of another's elements."""


def along_rounds(rounds: h5py.Group) -> None:
    """Make `round` the dimension scale of all columns: other readers open them with coordinates.

    Anew where they are a copy, which refers to data sets of the file that it was copied from.
    """
    columns = list(rounds.values())
    for column in columns:
        for name in set(SCALES) & set(column.attrs):
            del column.attrs[name]
    rounds["round"].make_scale("round")
    for column in columns:
        if column.name != rounds["round"].name:
            column.dims[0].attach_scale(rounds["round"])
