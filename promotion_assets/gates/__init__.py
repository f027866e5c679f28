"""The gates: each one file, one question put to a candidate, one result.

``contract`` says what a gate is, ``catalogue`` where gates are found, ``run`` how one is run.
"""
