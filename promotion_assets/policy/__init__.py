"""What must hold before a model goes live, as validated YAML, and its digest."""
