"""The evidence: candidate, evaluation dataset version, isolated scoring, feature profiles."""
