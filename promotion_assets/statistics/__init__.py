"""Statistics: numpy arrays in, frozen numbers out; no I/O, no clock, no global random state.

In the order in which a verdict needs them:

- :mod:`estimates`: what every function here returns, a number with its interval;
- :mod:`roc`: AUC, its interval, the paired difference of two models, by group;
- :mod:`score_cells`, :mod:`running`: the same from counts and sums of shards;
- :mod:`groups`: confusion counts by group, rates, gaps and ratios between groups;
- :mod:`intervals`: proportions, means, quantiles, and several intervals at once;
- :mod:`bootstrap`: an interval for any metric;
- :mod:`counting`, :mod:`divergence`: values counted into stored bins, and how far two sets of
  counts are apart;
- :mod:`calibration`: whether a score can be read as a probability;
- :mod:`power`: the smallest true effect that a sample of a given size would show;
- :mod:`sequential`: evidence that may be looked at at any time, and looks that are planned;
- :mod:`streams`, :mod:`paths`: made-up traffic, and that evidence on a thousand runs of it.

A ``confidence`` is two-sided: ``.95`` leaves 2.5 % on either side. A *difference* is always
first minus second, candidate minus champion. An *undefined* quantity (the AUC of a group with one
class) is ``None``, never a number. NaN or infinite input is a ``ValueError`` that says what and
how many.
"""
