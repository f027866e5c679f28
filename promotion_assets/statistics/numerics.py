"""What is taken from scipy, loaded when it is first called.

``scipy.special`` and ``scipy.optimize`` take half a second to import. Whoever reads a policy
imports every gate and with it all statistics, and most commands compute none.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def _later(module: str, name: str) -> Callable[..., Any]:
    def _call(*values: Any, **options: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*values, **options)

    _call.__name__ = name
    _call.__doc__ = f"See :func:`{module}.{name}`."
    return _call


def _special(name: str) -> Callable[..., Any]:
    return _later("scipy.special", name)


betainc = _special("betainc")
betaln = _special("betaln")
chdtrc = _special("chdtrc")
chdtri = _special("chdtri")
chndtr = _special("chndtr")
expit = _special("expit")
gammaln = _special("gammaln")
log_ndtr = _special("log_ndtr")
logit = _special("logit")
ndtr = _special("ndtr")
ndtri = _special("ndtri")
stdtr = _special("stdtr")
stdtrit = _special("stdtrit")
xlog1py = _special("xlog1py")
xlogy = _special("xlogy")

brentq = _later("scipy.optimize", "brentq")
