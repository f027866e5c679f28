"""Stages and how they change: past events, the state folded from them, and what a change needs.

The way of a change: a **request** is held against the **state** (folded from the ledger's
events) and the **facts** (what is true of the artifact, dataset and policy now); what is missing
refuses it. What is allowed is recorded as an **intent**, mirrored to the registry, and recorded
as done. The **reconciler** finishes what a crash has left and reports what somebody else moved.
"""
