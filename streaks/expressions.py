"""Conditions on named columns, written as in Python: ``p_asteroid > 0.5 and mag < 21``.

Text of a command line is never run. It is read into Python's own syntax tree, of which a few kinds
of nodes are taken: names, numbers, texts, comparisons, arithmetic, ``and or not in``, and a handful
of functions. Each works on whole columns.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaks.errors import ConfigError

__all__ = ["Expression", "parse_expression"]

_MAX_LENGTH, _MAX_NODES, _MAX_DEPTH = 4000, 500, 40
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: np.true_divide, ast.Mod: np.mod, ast.Pow: np.power,
}  # fmt: skip
_COMPARED: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_OF_NUMBERS: Mapping[str, Callable[[Any], Any]] = {
    "abs": np.abs, "sqrt": np.sqrt, "log10": np.log10, "isfinite": np.isfinite, "isnan": np.isnan,
}  # fmt: skip
_OF_TEXTS: Mapping[str, Callable[[str, str], bool]] = {
    "startswith": str.startswith, "endswith": str.endswith, "contains": str.__contains__,
}  # fmt: skip
_FUNCTIONS = (*_OF_NUMBERS, *_OF_TEXTS)


@dataclass(frozen=True)
class Expression:
    """A condition that was read and found sound.

    Parameters
    ----------
    text
        As it was given.
    names
        Columns that it asks for, in order; dotted where they were written so.
    """

    text: str
    names: tuple[str, ...]

    def evaluate(self, columns: Mapping[str, Any], n: int) -> NDArray[np.bool_]:
        """Where the condition holds.

        Parameters
        ----------
        columns
            By name, n values each: numbers, truths or texts. NaN is less, equal or greater than
            nothing.
        n
            Rows.

        Returns
        -------
        (n,) bool

        Raises
        ------
        ConfigError
            If a column is missing, or texts are compared with numbers.
        """
        tree = ast.parse(self.text.strip(), mode="eval")
        with np.errstate(all="ignore"):
            found = _Evaluation(columns, self.text).value(tree.body)
        result = np.asarray(found)
        if result.dtype.kind == "U":
            raise ConfigError(f"{self.text!r} is a text, not a condition; compare it with ==")
        if result.dtype.kind in "fc":
            raise ConfigError(
                f"{self.text!r} is a number, not a condition; compare it, as with > 0"
            )
        return np.broadcast_to(result.astype(bool), (n,)).copy()

    def split(self, early: Iterable[str]) -> tuple[Expression | None, Expression | None]:
        """What can be asked with some columns alone, and the rest; both must hold.

        Parameters
        ----------
        early
            Columns that are there at first; dotted names count as such.

        Returns
        -------
        first, rest : Expression or None
            None for nothing to ask.
        """
        body = ast.parse(self.text.strip(), mode="eval").body
        is_and = isinstance(body, ast.BoolOp) and isinstance(body.op, ast.And)
        known = set(early)
        sides: dict[bool, list[str]] = {True: [], False: []}
        for part in body.values if is_and and isinstance(body, ast.BoolOp) else [body]:
            text = ast.unparse(part)
            names = parse_expression(text).names
            sides[all("." in name or name in known for name in names)].append(f"({text})")
        first, rest = (
            parse_expression(" and ".join(parts)) if parts else None
            for parts in (sides[True], sides[False])
        )
        return first, rest


def parse_expression(text: str, names: Iterable[str] | None = None) -> Expression:
    """Read a condition.

    Parameters
    ----------
    text
        Such as ``label == 'asteroid' and p_asteroid > 0.5``.
    names
        Columns that there are; any, where not given. Those with a dot are not looked up here:
        what a packet has is known when it comes.

    Returns
    -------
    Expression

    Raises
    ------
    ConfigError
        If it is no condition, or asks for a column that there is not.
    """
    if len(text) > _MAX_LENGTH:
        raise ConfigError(f"a condition of {len(text)} letters; expected at most {_MAX_LENGTH}")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ConfigError(
            f"{text!r} is no condition ({reason}); expected such as p_asteroid > 0.5 and mag < 21"
        ) from None
    if sum(1 for _ in ast.walk(tree)) > _MAX_NODES:
        raise ConfigError(f"{text[:60]!r}... has more than {_MAX_NODES} parts; make it simpler")
    found: dict[str, None] = {}
    _check(tree.body, text, found, 0)
    if names is not None:
        known = set(names)
        unknown = [name for name in found if "." not in name and name not in known]
        if unknown:
            raise ConfigError(
                f"{text!r} asks for {', '.join(unknown)}; there are {', '.join(sorted(known))}"
            )
    return Expression(text, tuple(found))


def _check(node: ast.AST, text: str, names: dict[str, None], depth: int) -> None:
    """Go through a tree, refuse what is none of ours, and note the names."""
    if depth > _MAX_DEPTH:
        raise ConfigError(f"{text[:60]!r} is nested more than {_MAX_DEPTH} deep")
    if isinstance(node, ast.Name | ast.Attribute):
        names[_dotted(node, text)] = None
        return
    if isinstance(node, ast.Call):
        _check_call(node, text)
        children: list[ast.AST] = list(node.args)
    elif isinstance(node, ast.Compare):
        children = [node.left, *node.comparators]
        for op in node.ops:
            if not isinstance(op, (*_COMPARED, ast.In, ast.NotIn)):
                raise _not_taken(op, text)
    elif isinstance(node, ast.BoolOp):
        children = list(node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.UAdd):
        children = [node.operand]
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        children = [node.left, node.right]
    elif isinstance(node, ast.List | ast.Tuple):
        children = list(node.elts)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
        if isinstance(node.value, int) and abs(node.value) >= 1 << 63:
            raise ConfigError(f"{text[:60]!r} has a number of more than 64 bits")
        return
    else:
        raise _not_taken(node, text)
    for child in children:
        _check(child, text, names, depth + 1)


def _check_call(node: ast.Call, text: str) -> None:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    n_wanted = 1 if name in _OF_NUMBERS else 2
    if name not in _FUNCTIONS or node.keywords or len(node.args) != n_wanted:
        raise ConfigError(
            f"{text!r} calls {ast.unparse(node)[:60]}; there are {', '.join(_OF_NUMBERS)} of one "
            f"number and {', '.join(_OF_TEXTS)} of two texts"
        )


def _dotted(node: ast.AST, text: str) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        name = f"{_dotted(node.value, text)}.{node.attr}"
        if "__" not in name:
            return name
    raise _not_taken(node, text)


def _not_taken(node: ast.AST, text: str) -> ConfigError:
    return ConfigError(
        f"{text!r} has a {type(node).__name__}, which a condition cannot have; it takes names, "
        "numbers, texts, comparisons, + - * / % **, and, or, not, in and some functions"
    )


class _Evaluation:
    """The values of a tree's nodes."""

    def __init__(self, columns: Mapping[str, Any], text: str) -> None:
        self._columns, self._text = columns, text

    def value(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name | ast.Attribute):
            return self._column(_dotted(node, self._text))
        if isinstance(node, ast.BoolOp):
            return self._joined(node)
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.BinOp):
            left, right = self._number(node.left), self._number(node.right)
            return _ARITHMETIC[type(node.op)](left, right)
        if isinstance(node, ast.Compare):
            return self._compared(node)
        if isinstance(node, ast.Call):
            return self._called(node)
        if isinstance(node, ast.List | ast.Tuple):
            return [self.value(one) for one in node.elts]
        raise _not_taken(node, self._text)

    def _column(self, name: str) -> Any:
        if name not in self._columns:
            raise ConfigError(
                f"{self._text!r} asks for {name}; there are {', '.join(sorted(self._columns))}"
            )
        values = np.asarray(getattr(self._columns[name], "value", self._columns[name]))
        return values if values.dtype.kind != "O" else _plain(values)

    def _number(self, node: ast.AST) -> Any:
        found = self.value(node)
        if _is_text(found) or isinstance(found, list):
            raise ConfigError(f"{self._text!r} computes with {ast.unparse(node)}, which is a text")
        return np.asarray(found, dtype=float)

    def _truth(self, node: ast.AST) -> Any:
        found = self.value(node)
        kind = np.asarray(found).dtype.kind
        if kind not in "bui":
            raise ConfigError(
                f"{self._text!r}: {ast.unparse(node)} is no condition; compare it with something"
            )
        return np.asarray(found).astype(bool)

    def _joined(self, node: ast.BoolOp) -> Any:
        found = self._truth(node.values[0])
        for one in node.values[1:]:
            other = self._truth(one)
            found = found & other if isinstance(node.op, ast.And) else found | other
        return found

    def _unary(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.Not):
            return ~self._truth(node.operand)
        number = self._number(node.operand)
        return -number if isinstance(node.op, ast.USub) else number

    def _compared(self, node: ast.Compare) -> Any:
        left_node, left = node.left, self.value(node.left)
        found: Any = np.bool_(True)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node)
            if isinstance(op, ast.In | ast.NotIn):
                listed = right if isinstance(right, list) else [right]
                hit: Any = np.bool_(False)
                for one in listed:
                    hit = hit | self._pair(operator.eq, left, one, left_node, right_node)
                found = found & (hit if isinstance(op, ast.In) else ~hit)
            else:
                found = found & self._pair(_COMPARED[type(op)], left, right, left_node, right_node)
            left_node, left = right_node, right
        return found

    def _pair(
        self, compare: Any, left: Any, right: Any, left_node: ast.AST, right_node: ast.AST
    ) -> Any:
        if isinstance(left, list) or isinstance(right, list) or _is_text(left) != _is_text(right):
            raise ConfigError(
                f"{self._text!r} compares {ast.unparse(left_node)} with "
                f"{ast.unparse(right_node)}; one is a text and the other is not"
            )
        return compare(np.asarray(left), np.asarray(right))

    def _called(self, node: ast.Call) -> Any:
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        if name in _OF_NUMBERS:
            return _OF_NUMBERS[name](self._number(node.args[0]))
        texts, part = self.value(node.args[0]), self.value(node.args[1])
        if not _is_text(texts) or not isinstance(part, str):
            raise ConfigError(f"{self._text!r}: {name} takes a column of texts and a text")
        test = _OF_TEXTS[name]
        flat = np.asarray(texts)
        return np.array([test(str(t), part) for t in flat.ravel()], dtype=bool).reshape(flat.shape)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or np.asarray(value).dtype.kind == "U"


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """A column of mixed objects: texts where any is one, else numbers, NaN for none."""
    listed = values.tolist()
    if any(isinstance(v, str) for v in listed):
        return np.array(["" if v is None else str(v) for v in listed], dtype=str)
    return np.array([np.nan if v is None else float(v) for v in listed], dtype=float)
