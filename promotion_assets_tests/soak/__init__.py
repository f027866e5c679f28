"""``make soak``: the platform's daily life on real processes, until something is seen to grow.

It stands beside the tests, whose sites and servers it uses, and not among the benchmarks: it
compares with no peer, it passes or fails.
"""
