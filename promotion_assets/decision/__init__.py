"""The decision: all gate results in, one verdict out."""
