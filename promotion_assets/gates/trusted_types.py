"""Which types may be built when a model is loaded: our list, never the artifact's own.

skops trusts scikit-learn's public estimators by itself. The types here are the private parts of
those estimators (trees, losses, optimizers …): data holders without side effects on loading,
which skops still wants named. All were listed by dumping fitted models of scikit-learn 1.9 with
skops 0.16 and reading ``get_untrusted_types``.
"""

from __future__ import annotations

from pathlib import Path

SCIKIT_LEARN = frozenset(
    {
        "numpy.dtype",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.AbsoluteError",
        "sklearn._loss.loss.ExponentialLoss",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfGammaLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfPoissonLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn._loss.loss.HuberLoss",
        "sklearn._loss.loss.PinballLoss",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
    }
)

# What a pickle of scikit-learn and numpy names besides the types that skops trusts.
PICKLE_PARTS = frozenset(
    {
        "_codecs.encode",
        "builtins.bytearray",
        "builtins.dict",
        "builtins.frozenset",
        "builtins.set",
        "builtins.slice",
        "collections.OrderedDict",
        "collections.defaultdict",
        "copyreg._reconstructor",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy.ndarray",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss._loss.CyHalfMultinomialLoss",
        "sklearn._loss._loss.CyHalfSquaredError",
        "sklearn.pipeline.Pipeline",
    }
)


def untrusted_in_skops(path: Path, trusted: frozenset[str]) -> tuple[str, ...]:
    """Return the types in the skops file at ``path`` that neither skops nor ``trusted`` trusts.

    Reads the file's description of itself; imports and builds nothing of it.

    Raises:
        Exception: anything that a malformed file makes skops raise.
    """
    from skops.io import get_untrusted_types

    return tuple(sorted(set(get_untrusted_types(file=path)) - trusted))


def trusted_by_skops(type_name: str) -> bool:
    """Whether ``type_name`` is an estimator, a number or a container that skops trusts."""
    from skops.io import _trusted_types as lists

    return any(
        type_name in names
        for names in (
            lists.SKLEARN_ESTIMATOR_TYPE_NAMES,
            lists.SKLEARN_INTERNAL_TYPE_NAMES,
            lists.NUMPY_DTYPE_TYPE_NAMES,
            lists.PRIMITIVE_TYPE_NAMES,
            lists.CONTAINER_TYPE_NAMES,
        )
    )
