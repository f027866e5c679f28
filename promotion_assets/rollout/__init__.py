"""Rollout: from the first share of the traffic to all of it, or back."""
