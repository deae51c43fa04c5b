"""Changes of code, one at a time: an operator, a number, a comparison or a condition."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Mutant", "mutants_of"]

#: Calls whose words are for people.
SPOKEN = ("_log.", "logging.", "print")

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_FUNCTIONS = {
    "sin": "cos", "cos": "sin", "min": "max", "max": "min", "minimum": "maximum",
    "maximum": "minimum", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor",
}  # fmt: skip
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: where, what it was, what it is."""

    path: str
    line: int
    start: int
    end: int
    text: str

    def source(self, code: str) -> str:
        """The file's code with the change."""
        return code[: self.start] + self.text + code[self.end :]

    def told(self, code: str) -> str:
        """The change in words: what it was, and what it is."""
        return f"{' '.join(code[self.start : self.end].split())} -> {self.text}"


def mutants_of(path: str, code: str) -> list[Mutant]:
    """All changes that can be made to a file."""
    lines = code.splitlines(keepends=True)
    starts = list(itertools.accumulate(map(len, lines), initial=0))

    def place(line: int, column: int) -> int:
        # Columns of `ast` count bytes of UTF-8.
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    found = []
    for node in _sensible(ast.parse(code)):
        text = _changed(node)
        if text is None:
            continue
        start = place(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        end = place(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
        found.append(Mutant(path, node.lineno, start, end, text))  # type: ignore[attr-defined]
    return found


def _sensible(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes inside functions, but annotations, defaults of them and words for people."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        waiting: list[ast.AST] = list(function.body)
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.FunctionDef | ast.JoinedStr | ast.Raise | ast.Import):
                continue
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(SPOKEN):
                continue
            if isinstance(node, ast.AnnAssign):
                waiting += [node.value] if node.value else []
                continue
            yield node
            waiting += list(ast.iter_child_nodes(node))


def _changed(node: ast.AST) -> str | None:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED and len(node.ops) == 1:
        other = _COMPARED[type(node.ops[0])]()
        return f"({ast.unparse(ast.Compare(node.left, [other], node.comparators))})"
    if isinstance(node, ast.BinOp) and type(node.op) in _COUNTED:
        return f"({ast.unparse(ast.BinOp(node.left, _COUNTED[type(node.op)](), node.right))})"
    if isinstance(node, ast.BoolOp):
        other_op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return f"({ast.unparse(ast.BoolOp(other_op, node.values))})"
    if isinstance(node, ast.Attribute | ast.Name):
        return _other_function(node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        return f"({ast.unparse(node.operand)})"
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return str(not node.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, float):
        return repr(node.value * 2 if node.value else 1.0)
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return repr(node.value + 1)
    return None


def _other_function(node: ast.Attribute | ast.Name) -> str | None:
    if isinstance(node, ast.Attribute) and node.attr in _FUNCTIONS:
        value = ast.unparse(node.value)
        # `(a > 0).any` without its brackets is no code, and every test would see it.
        value = value if value.isidentifier() else f"({value})"
        return f"{value}.{_FUNCTIONS[node.attr]}"
    if isinstance(node, ast.Name) and node.id in ("min", "max"):
        return _FUNCTIONS[node.id]
    return None
