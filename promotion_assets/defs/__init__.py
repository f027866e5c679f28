"""Thin Dagster wiring: assets, checks, sensors and jobs, built from a policy.

An asset body loads, calls one step of :mod:`promotion_assets.pipeline`, and returns metadata.
"""
