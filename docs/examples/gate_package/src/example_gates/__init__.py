"""Gates of the example team."""
