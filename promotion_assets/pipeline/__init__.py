"""The way of one version, step by step: what the assets, the CLI and the replay all call.

A step reads what earlier steps left in ``PROMOTION_HOME``, calls domain functions, and leaves
its own result there, so steps may run in one process or on many machines that share the folder.
"""
