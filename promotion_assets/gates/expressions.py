"""Rules as short expressions: comparisons of named figures, and nothing else.

An expression is parsed by Python's own grammar and walked; it is never compiled or evaluated by
Python, so it can name figures and do sums, and cannot call, index or import anything.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Figures = Callable[[str], float]

LONGEST = 500
ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
COMPARISONS: Mapping[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
FUNCTIONS: Mapping[str, Callable[..., float]] = {"min": min, "max": max, "abs": abs}


class BadExpression(ValueError):
    """The expression is not one that a rule may be."""


@dataclass(frozen=True)
class Bound:
    """An expression that is one comparison of a value with a number.

    Attributes:
        left: the compared value's source.
        name: the figure's name, where the value is nothing but one.
    """

    left: str
    name: str | None
    limit: float
    direction: Literal["min", "max"]


@dataclass(frozen=True)
class Expression:
    """A parsed rule."""

    source: str
    tree: ast.expr

    def holds(self, figures: Figures) -> bool:
        """Return whether the rule holds.

        Raises:
            KeyError, ValueError: as ``figures``; also for a division by zero or a NaN.
        """
        return _truth(self.tree, figures)

    def names(self) -> tuple[str, ...]:
        """Return the figures that the rule speaks of."""
        called = {id(node.func) for node in ast.walk(self.tree) if isinstance(node, ast.Call)}
        found = [
            node.id
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Name) and id(node) not in called
        ]
        return tuple(dict.fromkeys(found))

    def bound(self) -> Bound | None:
        """Return the rule as value and limit, where it has that form."""
        tree = self.tree
        if not isinstance(tree, ast.Compare) or len(tree.ops) != 1:
            return None
        try:
            limit = _number(tree.comparators[0], _no_figures)
        except (KeyError, ValueError):
            return None
        at_least = isinstance(tree.ops[0], ast.Gt | ast.GtE)
        name = tree.left.id if isinstance(tree.left, ast.Name) else None
        return Bound(ast.unparse(tree.left), name, limit, "min" if at_least else "max")

    def left(self, figures: Figures) -> float:
        """Return the value of the left side of a comparison."""
        assert isinstance(self.tree, ast.Compare)
        return _number(self.tree.left, figures)


def parse(source: str) -> Expression:
    """Parse a rule such as ``selection_rate >= .6 and tpr - champion_tpr >= -.02``.

    Raises:
        BadExpression: it is not made of comparisons, figures, numbers and ``+ - * /``.
    """
    if len(source) > LONGEST:
        raise BadExpression(f"it is longer than {LONGEST} characters")
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise BadExpression(f"{source!r} cannot be read as a comparison") from None
    _check_truth(tree)
    return Expression(source.strip(), tree)


def _check_truth(node: ast.expr) -> None:
    match node:
        case ast.BoolOp(values=values):
            for value in values:
                _check_truth(value)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check_truth(operand)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            if not all(type(op) in COMPARISONS for op in ops):
                raise BadExpression("compare with <, <=, > or >=")
            for value in (left, *comparators):
                _check_number(value)
        case _:
            raise BadExpression(f"{ast.unparse(node)!r} is not a comparison")


def _check_number(node: ast.expr) -> None:
    match node:
        case ast.Constant(value=bool()):
            raise BadExpression(f"{node.value!r} is not a number")
        case ast.Constant(value=int() | float()) | ast.Name():
            return
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check_number(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            _check_number(left)
            _check_number(right)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS and args:
            for value in args:
                _check_number(value)
        case _:
            raise BadExpression(
                f"{ast.unparse(node)!r} is not a figure, a number or a sum of these"
            )


def _truth(node: ast.expr, figures: Figures) -> bool:
    match node:
        case ast.BoolOp(op=op, values=values):
            # Every side is looked at: an undefined figure must not hide behind a false one.
            truths = [_truth(value, figures) for value in values]
            return all(truths) if isinstance(op, ast.And) else any(truths)
        case ast.UnaryOp(operand=operand):
            return not _truth(operand, figures)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            numbers = [_number(value, figures) for value in (left, *comparators)]
            pairs = zip(ops, numbers, numbers[1:], strict=False)
            return all(COMPARISONS[type(op)](one, two) for op, one, two in pairs)
        case _:
            raise BadExpression(f"{ast.unparse(node)!r} is not a comparison")


def _number(node: ast.expr, figures: Figures) -> float:
    match node:
        case ast.Constant(value=value):
            number = float(str(value))
        case ast.Name(id=name):
            number = figures(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            number = -_number(operand, figures)
        case ast.UnaryOp(operand=operand):
            number = _number(operand, figures)
        case ast.BinOp(left=left, op=op, right=right):
            one, two = _number(left, figures), _number(right, figures)
            if isinstance(op, ast.Div) and two == 0:
                raise ValueError(f"{ast.unparse(node)} divides by zero")
            number = ARITHMETIC[type(op)](one, two)
        case ast.Call(func=ast.Name(id=name), args=args):
            several = [_number(arg, figures) for arg in args]
            number = float(_call(name, several))
        case _:
            raise BadExpression(f"{ast.unparse(node)!r} is not a number")
    if not math.isfinite(number):
        raise ValueError(f"{ast.unparse(node)} is not a finite number")
    return number


def _call(name: str, numbers: list[float]) -> float:
    if name != "abs":
        return FUNCTIONS[name](numbers)
    if len(numbers) != 1:
        raise ValueError(f"abs takes one number, got {len(numbers)}")
    return abs(numbers[0])


def _no_figures(name: str) -> float:
    raise KeyError(name)
