"""Fuzzing of everything that comes from outside; ``make fuzz``, and for seconds in the tests.

A target takes any bytes: :mod:`.contract` says what may come of them, :mod:`.mutation` makes them
from valid examples, :mod:`.guided` lets coverage choose among them, :mod:`.__main__` runs all
targets and prints the table.
"""
