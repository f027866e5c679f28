"""One file a job; each prints ratios, and results.json collects them."""
