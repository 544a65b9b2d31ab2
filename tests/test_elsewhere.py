"""What PyTorch, Keras and scikit-learn call otherwise: the error says how it is called here."""

from __future__ import annotations

import re
from unittest.mock import Mock

import numpy as np
import pytest

import lamina as lm
from lamina.base import elsewhere
from mistakes import X, Y, classifier, fit_with


class KerasLayer(lm.Layer):
    def build(self, x):
        self.weight = self.add_weight(shape=(4, 3))


class Scorer(lm.Sequential):
    def score(self, x):
        return 1.0


class KerasCallback(lm.callbacks.Callback):
    def on_epoch_end(self, epoch, logs):
        self.model.stop_training = True


def test_what_other_libraries_call_otherwise_says_how_it_is_called_here():
    net = classifier()
    for name, remedy in {"add": r"lm.Sequential\(\*net.layers", "state_dict": r"dict\(net.parameters\)", "eval": "no mode"}.items():
        with pytest.raises(AttributeError, match=f"'Sequential' object has no attribute '{name}'; .*{remedy}"):
            getattr(net, name)
    optimizer, x = lm.optim.Adam(), lm.Input(3)
    for owner, name, remedy in (
        (optimizer, "step", r"net.train_step\(x, y\)"),
        (optimizer, "learning_rate", "optimizer.lr"),
        (x, "backward", r"lm.grad\(loss"),
        (x, "numpy", r"lm.function\(inputs, outputs\)"),
        (lm.Parameter(np.zeros(2)), "data", "are its .value"),
        (x, "sqrt", r"write lm.sqrt\(x\)"),
        (x, "log_softmax", r"write lm.log_softmax\(x\)"),
    ):
        with pytest.raises(AttributeError, match=f"'{type(owner).__name__}' object has no attribute '{name}'; .*{remedy}"):
            getattr(owner, name)
        assert not hasattr(owner, name) and name not in dir(owner)
    assert "lr" in dir(optimizer) and "reshape" in dir(x)
    with pytest.raises(ValueError, match=r"unknown name 'mcc'; any function of \(y_true, y_pred\) is a metric"):
        lm.metrics.get("mcc")
    assert all(hasattr(lm, text.split()[1][3:-3]) for text in elsewhere.OF_TENSORS.values() if text.endswith("(x)"))
    assert {*elsewhere.OF_MODULES}.isdisjoint(lm.ops.__all__)
    assert not hasattr(net, "add") and "add" not in dir(net) and "fit" in dir(net)
    assert not hasattr(lm.Model, "__getattr__")  # it would make each attribute slower, and so each step of a small network


@pytest.mark.parametrize(
    ("module", "name", "remedy"),
    [
        (lm, "ReLU", "write lm.Activation('relu')"),
        (lm, "Linear", "write lm.Dense(units)"),
        (lm, "set_seed", "each network has a seed of its own"),
        (lm, "randn", "lm.random_uniform(x) draws in math"),
        (lm, "gather", "one number of each row is lm.sum(x * lm.one_hot(i, n), axis=1)"),
        (lm, "vmap", "lm.function(inputs, outputs) compiles"),
        (lm, "save", "write net.save(path)"),
        (lm, "Normalization", "write lm.Lambda(lambda x: (x - mean) / std)"),
        (lm, "MultiHeadAttention", "there is no such layer"),
        (lm, "Masking", "there is no such layer"),
        (lm, "DataLoader", "fit takes arrays, frames, and any iterable of batches"),
        (lm, "StandardScaler", "scale them: x = (x - x.mean(axis=0))"),
        (lm, "hessian", "write lm.jacobian(lm.jacobian(y, x), x)"),
        (lm, "prod", "a product of positive numbers is lm.exp(lm.sum(lm.log(x)))"),
        (lm.losses, "layers", "layers are lm.Dense and so on"),
        (lm.linalg, "inverse", "did you mean 'inv'?"),
        (lm.linalg, "eigvalsh", "did you mean 'eigh'?"),
        (lm, "BatchNorm1d", "did you mean 'BatchNorm'?"),
        (lm, "Adam", "did you mean 'optim.Adam'?"),
        (lm, "gelu", "did you mean 'activations.gelu'?"),
        (lm, "he_normal", "did you mean 'initializers.he_normal'?"),
        (lm, "Cosine", "did you mean 'schedules.Cosine'?"),
        (lm, "top_k", "did you mean 'metrics.top_k'?"),
        (lm.optim, "RMSprop", "did you mean 'RMSProp'?"),
        (lm, "narxnet", "write lm.Sequential(lm.Dense(10, 'tanh')"),
        (lm, "acos", "write lm.arccos(x)"),
        (lm, "sim", "net.predict(x) computes"),
        (lm, "curve_fit", "a formula is a layer of your own"),
        (lm, "divideind", "held-out rows are fit's: validation_data=(x[val], t[val])"),
        (lm.optim, "trainbr", "write lm.optim.LevenbergMarquardt(bayesian=True)"),
        (lm.losses, "MSELoss", "did you mean 'MSE'?"),
        (lm.metrics, "Accuracy", "did you mean 'accuracy'?"),
        (lm.callbacks, "ModelCheckpoint", "did you mean 'Checkpoint'?"),
        (lm.callbacks, "LearningRateScheduler", "a schedule stands where a learning rate does"),
        (lm.schedules, "StepLR", "did you mean 'Step'?"),
        (lm.datasets, "load_iris", "did you mean 'iris'?"),
        (lm.datasets, "mnist", "known: digits, iris, sine, spirals"),
        (lm.initializers, "HeNormal", "did you mean 'he_normal'?"),
        (lm.activations, "LeakyReLU", "did you mean 'leaky_relu'?"),
        (lm, "diag", "write lm.einsum('...ii->...i', a)"),
        (lm.linalg, "diagonal", "write lm.einsum('...ii->...i', a), and the matrix of a vector as v * np.eye(n)"),
        (lm, "triu", "arrays are NumPy's"),
        (lm, "tensor", "arrays are NumPy's, and stand in math as they are"),
        (lm, "zeros", "write lm.full(shape, 0)"),
        (lm, "version", "write lm.__version__"),
        (lm, "MaxPool2d", "there is no such layer"),
        (lm, "AveragePooling1D", "there is no such layer"),
        (lm, "GroupNorm", "there is no such layer"),
        (lm, "MLPRegressor", "docs/coming_from.md makes a scikit-learn estimator"),
        (lm, "detach", "write lm.stop_gradient(x)"),
        (lm, "vjp", "write lm.grad(y, x, seed)"),
        (lm, "jvp", "write lm.jacobian_vector_product(y, x, v)"),
        (lm.linalg, "matrix_exp", "write lm.linalg.expm(a)"),
        (lm.linalg, "cho_solve", "write y = solve_triangular(L, b, lower=True), solve_triangul"),
        (lm, "distributions", "densities are math"),
    ],
)
def test_a_name_of_another_library_tells_ours(module, name, remedy):
    with pytest.raises(AttributeError, match=re.escape(f"has no attribute {name!r}; {remedy}")):
        getattr(module, name)


@pytest.mark.parametrize(
    "name", ["", "activations", "callbacks", "datasets", "initializers", "linalg", "losses", "metrics", "optim", "schedules"]
)
def test_an_editor_offers_what_is_meant_for_users(name):
    module = getattr(lm, name) if name else lm
    shown = [n for n in dir(module) if not n.startswith("_")]
    assert all(hasattr(module, n) for n in shown)
    assert not {"np", "Any", "TYPE_CHECKING", "checks", "importlib", "base", "annotations"} & set(shown)
    assert {"": "Sequential", "callbacks": "Callback", "datasets": "digits", "linalg": "inv"}.get(name, "get") in shown


OF_OTHERS = ["backward", "zero_grad", "load", "plot", "trainable_variables", "predict_classes", "count_params", "get_params"]
OF_OTHERS += ["coef_", "copy", "unfreeze", "IW", "view", "sim", "genFunction"]


@pytest.mark.parametrize("name", OF_OTHERS)
def test_a_method_of_another_library_tells_ours(name):
    with pytest.raises(AttributeError, match="'Sequential' object has no attribute .*; .*net"):
        getattr(classifier(), name)
    shown = [*dir(classifier()), *dir(lm.Dense(1)), *dir(lm.callbacks.Callback())]  # what an editor offers
    assert not {name, "get_weights", "model"} & set(shown)


def test_an_editor_offers_of_objects_what_is_meant_for_users():
    net = classifier()
    net.fit(X, Y, loss="cross_entropy", optimizer="adam", verbose=0)
    for owner, offered, others in (
        (net, "fit inputs output_names stop_training", "drop_training ensure_built objective programs unless_refused wiring"),
        (net.optimizer, "lr betas state steps update", "ahead bind effects has_constant_rate trains_another"),
        (lm.optim.LBFGS(), "goal stop_reason", "begin bind kept_by_state"),
        (net.layers[0], "units parameters trainable", "named_by_user restore"),
        (lm.losses.MSE(), "elements mask_nan", "dtype_of misfit"),
        (lm.schedules.Step(0.1, every=2), "rate every", "ahead"),
        (lm.callbacks.EarlyStopping(), "on_epoch_end patience", "needs_batches"),
        (net.layers[0].weight, "value trainable shape", "adopted_by models node variable"),
    ):
        assert {*offered.split()} <= {*dir(owner)} and {*others.split()}.isdisjoint(dir(owner))
        assert all(hasattr(owner, name) for name in others.split())


def test_what_a_subclass_has_of_these_names_is_listed():
    """`Mock(spec=net)` takes what `dir` lists."""
    assert "score" in dir(Scorer()) and Mock(spec=Scorer()).score is not None


@pytest.mark.parametrize(
    ("call", "remedy"),
    [
        (lambda: lm.Sequential(KerasLayer()).predict(X), "'add_weight'; self.parameter('weight', "),
        (lambda: classifier().trainParam, "'trainParam'; the optimizer has its options"),
        (lambda: lm.Dense(1).output, "'output'; a layer has one at each call"),
        (lambda: lm.Dense(1).get_weights(), "'get_weights'; its parameters are layer.parameters"),
        (lambda: fit_with("cross_entropy", callbacks=KerasCallback()), "'model'; the network is self.net"),
    ],
)
def test_an_attribute_of_another_librarys_layer_or_callback_tells_ours(call, remedy):
    with pytest.raises(AttributeError, match=re.escape(f"object has no attribute {remedy}")):
        call()


T = np.linspace(0.0, 2.0, 5) ** 2
MATH = {  # a name of NumPy's that is not here -> arguments of it, by the names that the answer has
    "arcsinh": {"x": np.array([-50.0, -0.3, 0.0, 2.0])},
    "arccosh": {"x": np.array([1.0, 1.5, 40.0])},
    "arctanh": {"x": np.array([-0.9, 0.0, 1e-9, 0.7])},
    "round": {"x": np.array([-1.2, 0.7, 2.4])},
    "fmod": {"a": np.array([-7.5, 7.5, 7.5]), "b": np.array([2.0, -2.0, 2.0])},
    "cumprod": {"x": np.array([0.5, 2.0, 3.0])},
    "trapezoid": {"y": np.stack([np.sin(T), T]), "t": T},
    "logaddexp": {"a": np.array([-1.0, 700.0]), "b": np.array([2.0, 800.0])},
    "hypot": {"a": np.array([3.0, -1.0]), "b": np.array([4.0, 2.0])},
    "reciprocal": {"x": np.array([-2.0, 0.3])},
    "exp2": {"x": np.array([-2.0, 0.3])},
    "log2": {"x": np.array([8.0, 0.3])},
    "log10": {"x": np.array([100.0, 0.3])},
    "isfinite": {"x": np.array([-np.inf, 1.0, np.nan])},
    "isinf": {"x": np.array([-np.inf, 1.0, np.nan])},
    "nan_to_num": {"x": np.array([1.0, np.nan])},
}


@pytest.mark.parametrize("name", MATH)
def test_what_is_written_instead_of_a_function_of_numpy_is_that_function(name):
    expression, _, given = elsewhere.OF_MODULES[name].removeprefix("write ").partition(" with s = ")
    arrays = list(MATH[name].values())
    inputs = {key: lm.placeholder(value.shape, "float64") for key, value in MATH[name].items()}
    names = {"lm": lm, "np": np, **inputs}
    if given:
        names["s"] = eval(given, names)
    y = eval(expression, names)
    numpy_f = getattr(np, name, None) or np.trapz  # noqa: NPY201  its name in NumPy 1
    np.testing.assert_allclose(lm.function([*inputs.values()], y)(*arrays), numpy_f(*arrays), rtol=1e-14)
    if name == "arcsinh":
        x = inputs["x"]
        np.testing.assert_allclose(lm.function(x, lm.grad(lm.sum(y), x))(arrays[0]), 1 / np.sqrt(1 + arrays[0] ** 2), rtol=1e-9)
    with pytest.raises(AttributeError, match=re.escape(f"has no attribute '{name}'; write ")):
        getattr(lm, name)


@pytest.mark.parametrize("owner", [lm, lm.Input(3)], ids=["lm", "tensor"])
def test_a_name_that_is_missing_brings_no_name_that_only_looks_like_it(owner):
    """lm.any was answered by 'tan', lm.sort by 'sqrt', lm.zeros by an initializer."""
    for name, remedy in {
        "any": "lm.max(x)",
        "sort": "nothing is sorted",
        "masked_fill": "lm.where(mask",
        "prod": "positive",
    }.items():
        with pytest.raises(AttributeError, match=rf"'{name}'; .*{re.escape(remedy)}"):
            getattr(owner, name)


def test_what_is_written_instead_of_any_all_and_sums_by_groups():
    m, x, i = np.array([[True, False], [False, False]]), np.arange(6.0).reshape(3, 2), np.array([1, 1, 0])
    assert np.array_equal(lm.max(m, axis=1), m.any(axis=1)) and np.array_equal(lm.min(m, axis=1), m.all(axis=1))
    sums = np.zeros((2, 2))
    np.add.at(sums, i, x)
    assert np.array_equal(lm.one_hot(i, 2).T @ x, sums)


def test_what_is_written_instead_of_diagonals_and_triangles():
    rng = np.random.default_rng(0)
    a, v = rng.normal(size=(2, 3, 3)), rng.normal(size=3)
    assert np.array_equal(lm.einsum("...ii->...i", a), np.diagonal(a, axis1=1, axis2=2))
    x = lm.placeholder((3,), "float64")
    f = lm.function([x], [x * np.eye(3), lm.sum(lm.where(np.tril(a[0]) > 0, x, 0.0))])
    assert np.array_equal(f(v)[0], np.diag(v)) and np.isclose(f(v)[1], np.where(np.tril(a[0]) > 0, v, 0.0).sum())
    L = np.linalg.cholesky(a[0] @ a[0].T)
    y = lm.linalg.solve_triangular(L, v, lower=True)
    assert np.allclose(a[0] @ a[0].T @ lm.linalg.solve_triangular(L, y, lower=True, transposed=True), v)
