"""Small mistakes in a module's code, for bench/mutants.py.

A mutant differs in one operator, comparison, constant, statement, condition or order of arguments.
"""

import ast
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SWAPS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}

COMMUTE = {"multiply", "add", "maximum", "minimum", "equal", "max", "min", "swapaxes"}
"""Functions whose first two arguments may change places."""

UNTOUCHED = {"annotation", "returns", "decorator_list", "bases", "type_params", "exc", "msg"}
"""Fields of a node in which a change says nothing of what is computed: types, messages."""


@dataclass(frozen=True)
class Mutant:
    """One change: the function and the line of its statement, as it was and as it is now."""

    file: str
    number: int
    function: str
    line: int
    before: str
    after: str


def changed(file: str, source: str, only: Sequence[str]) -> Iterator[tuple[Mutant, ast.Module]]:
    """Every mutant of a module, and the module's tree, which is changed until the next one."""
    tree = ast.parse(source)
    for number, place in enumerate(list(_places(tree, "", None))):
        function, statement, holder, field, index, new = place
        if only and not set(only) & set(function.split(".")):
            continue
        held = getattr(holder, field)
        old = held if index is None else held[index]
        line, before = statement.lineno, _first_line(statement)
        _put(holder, field, index, new)
        after = _first_line(new if statement is old else statement)
        yield Mutant(file, number, function, line, before, after), tree
        _put(holder, field, index, old)


def mutants(file: str, source: str, only: Sequence[str] = ()) -> Iterator[Mutant]:
    """Every mutant of a module; `only` in functions of these names."""
    return (mutant for mutant, _ in changed(file, source, only))


def text_of(wanted: Mutant, source: str) -> str:
    """The module with that change."""
    for mutant, tree in changed(wanted.file, source, ()):
        if mutant.number == wanted.number:
            return ast.unparse(ast.fix_missing_locations(tree))
    raise LookupError(wanted)


def _first_line(statement):
    lines = ast.unparse(ast.fix_missing_locations(statement)).strip().splitlines()
    return next(line for line in lines if not line.startswith("@"))


def _put(holder, field, index, node):
    if index is None:
        setattr(holder, field, node)
    else:
        getattr(holder, field)[index] = node


def _places(node: ast.AST, function: str, statement: ast.stmt | None) -> Iterator[tuple]:
    """(function, statement, holder, field, index, new node) of every change below the node."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
    for field, value in ast.iter_fields(node):
        if field in UNTOUCHED or isinstance(node, ast.JoinedStr):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not _documents(child):
                around = child if isinstance(child, ast.stmt) else statement
                for new in _changes(node, field, child):
                    yield function, around, node, field, index, new
                yield from _places(child, function, around)


def _documents(node):
    """A docstring or another constant alone, what type checkers read, and zip's guard `strict`."""
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.Yield)
    typed = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return alone or typed


def _changes(holder: ast.AST, field: str, node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in a node's place."""
    if type(node) in SWAPS:
        yield SWAPS[type(node)]()
    elif isinstance(node, ast.Constant):
        yield from _constants(node.value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        yield node.operand
    elif isinstance(node, ast.Call) and len(node.args) > 1:
        swapped = copy.copy(node)
        swapped.args = [node.args[1], node.args[0], *node.args[2:]]
        commutes = ast.unparse(node.func).split(".")[-1] in COMMUTE
        if not commutes and ast.unparse(swapped) != ast.unparse(node):
            yield swapped
    elif _deletable(node):
        yield ast.copy_location(ast.Pass(), node)
    if field == "test" or (field == "ifs" and isinstance(holder, ast.comprehension)):
        yield ast.copy_location(ast.UnaryOp(ast.Not(), node), node)


def _deletable(node):
    """A statement without which the names that the rest needs are still there."""
    if isinstance(node, ast.Assign):
        return not isinstance(node.targets[0], ast.Name | ast.Tuple)
    return isinstance(node, ast.Expr | ast.AugAssign | ast.Raise | ast.Break | ast.Continue)


def _constants(value) -> Iterator[ast.Constant]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
        yield ast.Constant(value - 1)
