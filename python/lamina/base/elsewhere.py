"""What other libraries call things, and what one writes here instead."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

# Names of Keras, PyTorch, scikit-learn and MATLAB, and ours; a text where there is another way.
OTHERS = {
    "sparse_categorical_crossentropy": "cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "crossentropyloss": "cross_entropy",
    "nll": "cross_entropy",
    **dict.fromkeys(("nllloss", "nll_loss"), "cross_entropy"),
    "log_loss": "cross_entropy",
    "bcewithlogitsloss": "binary_cross_entropy",
    "bce": "binary_cross_entropy",
    "bce_with_logits": "binary_cross_entropy",
    "mean_squared_error": "mse",
    "meansquarederror": "mse",
    "mseloss": "mse",
    **dict.fromkeys(("rmse", "squared_error", "l2"), "mse"),
    "mean_absolute_error": "mae",
    "meanabsoluteerror": "mae",
    "l1": "mae",
    "l1loss": "mae",
    **dict.fromkeys(("root_mean_squared_error", "rootmeansquarederror"), "rmse"),
    **dict.fromkeys(("mean_absolute_percentage_error", "meanabsolutepercentageerror"), "mape"),
    **dict.fromkeys(("mean_squared_logarithmic_error", "meansquaredlogarithmicerror", "mean_squared_log_error"), "msle"),
    "pinball": "quantile",
    **dict.fromkeys(("acc", "categorical_accuracy", "sparse_categorical_accuracy"), "accuracy"),
    "f1_score": "f1",
    "r2_score": "r2",
    **dict.fromkeys(("trainlm", "lm"), "levenbergmarquardt"),
    **dict.fromkeys(("trainscg", "trainbfg", "traincgb", "traincgf", "traincgp", "trainoss"), "lbfgs"),
    **dict.fromkeys(("traingd", "traingda", "traingdm", "traingdx"), "sgd"),
    "trainrp": "rprop",
    "trainbr": "write lm.optim.LevenbergMarquardt(bayesian=True)",
    **dict.fromkeys(("logistic", "logsig"), "sigmoid"),
    **dict.fromkeys(("identity", "purelin", "none"), "linear"),
    "poslin": "relu",
    "auc": "roc_auc",
    **dict.fromkeys(("mcc", "balanced_accuracy", "average_precision"), "any function of (y_true, y_pred) is a metric"),
    "xavier": "glorot_uniform",
    "xavier_uniform": "glorot_uniform",
    "xavier_normal": "glorot_normal",
    "he": "he_uniform",
    "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal",
}
_SEEDS = "each network has a seed of its own: lm.Sequential(..., seed=0)"
_RATE = "it is the optimizer's: optimizer=lm.optim.Adam(lr=1e-3)"
_STOPS = "it is the optimizer's: optimizer=lm.optim.LevenbergMarquardt(goal=1e-6)"
_FITS = "it is fit's: net.fit(..., epochs=1000, verbose=0)"
ARGUMENTS = {  # what they call our arguments; a text where there is another way
    "use_bias": "bias",
    "kernel_initializer": "weight_init",
    "bias_initializer": "bias_init",
    **dict.fromkeys(("learning_rate", "initial_learning_rate", "learning_rate_init"), "lr"),
    **dict.fromkeys(("beta_1", "beta_2"), "betas"),
    "epsilon": "eps",
    "decay": "a rate that decays is a schedule in place of lr; what holds weights back is weight_decay",
    "rho": "alpha",
    **dict.fromkeys(("clipnorm", "global_clipnorm", "max_norm"), "clip_norm"),
    "clipvalue": "clip_value",
    "rate": "p",
    **dict.fromkeys(("filepath", "filename"), "path"),
    "save_freq": "every",
    "save_best_only": "with monitor='val_loss' only an epoch that is better than all before is saved",
    "restore_best_weights": "restore_best",
    **dict.fromkeys(("decay_steps", "T_max", "total_steps"), "steps"),
    "input_shape": "the shape of the inputs comes from the data, or from an lm.Input(...) before the first layer",
    **dict.fromkeys(("input_dim", "in_features", "num_features"), "the number of inputs comes from the data"),
    **dict.fromkeys(
        ("kernel_regularizer", "bias_regularizer", "activity_regularizer"),
        "the optimizer's weight_decay holds weights back; any other penalty is a term in a loss of your own",
    ),
    "steps_per_epoch": "an epoch is all that x gives: of an endless generator cut a part for each, itertools.islice(generator, 10)",
    "name": "leave it out; a layer is named by layer.named('head')",
    "from_logits": "this library's losses take logits",
    **dict.fromkeys(("dim", "dims"), "axis"),
    "keepdim": "keepdims",
    "requires_grad": "trainable",
    "fill_value": "value",
    **dict.fromkeys(("negative_slope", "leaky_relu.alpha"), "slope"),
    "gelu.approximate": "the approximation is lm.activations.gelu_tanh",
    **dict.fromkeys(("arange.stop", "arange.end"), "n"),
    **dict.fromkeys(("arange.start", "arange.step"), "it counts from 0 by ones: start + step * lm.arange(n)"),
    "eye.M": "it is square: cut it, lm.eye(4)[:3]",
    "random_uniform.shape": "its shape is that of x, a tensor",
    **dict.fromkeys(("clip.min", "clip.a_min"), "low"),
    **dict.fromkeys(("clip.max", "clip.a_max"), "high"),
    **dict.fromkeys(("tile.dims", "tile.multiples"), "reps"),
    **dict.fromkeys(("split.split_size_or_sections", "split.num_or_size_splits"), "pass the number of parts, or the places to cut"),
    **dict.fromkeys(("diff.prepend", "diff.append"), "join it before: lm.diff(lm.concatenate([first, x], axis=1))"),
    "build.input_dim": "input_shape",
    "build.*": "the shape is one argument: build((28, 28))",
    **dict.fromkeys(("fit.early_stopping", "fit.patience"), "pass callbacks=lm.callbacks.EarlyStopping(patience=10)"),
    **dict.fromkeys(("fit.random_state", "fit.seed"), _SEEDS),
    "random_state": "seed",
    "n_iter_no_change": "patience",
    "EarlyStopping.tol": "min_delta",
    "Dense.dtype": "the network has one: lm.Sequential(..., dtype='float64')",
    "Dense.dropout": "it is a layer: lm.Dropout(0.2)",
    **dict.fromkeys(("max_iter", "n_epochs", "num_epochs"), "epochs"),
    **dict.fromkeys([f"{f}.{n}" for f in ("fit", "compile") for n in ("lr", "learning_rate", "learning_rate_init")], _RATE),
    **dict.fromkeys([f"fit.{n}" for n in ("goal", "min_grad", "max_fail", "mu", "mu_max", "bayesian")], _STOPS),
    **dict.fromkeys([f"LevenbergMarquardt.{n}" for n in ("epochs", "max_epochs", "show")], _FITS),
    **dict.fromkeys(("LevenbergMarquardt.time", "LevenbergMarquardt.max_time"), "max_seconds"),
    "LevenbergMarquardt.weight_decay": "bayesian=True holds weights back",
    "reduction": "a loss is the mean over what counts; another one is a function of (pred, target)",
    **dict.fromkeys(("Sequential.name", "Model.name"), "a network has no name; its layers have, by layer.named('head')"),
    "Embedding.input_dim": "num_embeddings",
    "Embedding.output_dim": "embedding_dim",
    "Step.step_size": "every",
    "Input.shape": "write the lengths themselves: lm.Input(8), lm.Input(28, 28)",
    "params": "the network hands its parameters to the optimizer: net.fit(..., optimizer=...)",
}
_LAYERS = "layers are lm.Dense and so on, networks lm.Sequential and lm.Model"
_NO_LAYER = "there is no such layer; one of your own is a subclass of lm.Layer with math in it"
_RATES = "a schedule stands where a learning rate does: lm.optim.Adam(lm.schedules.Cosine(1e-3, 5000))"
_ARRAYS = "arrays are NumPy's, and stand in math as they are"
_ONE_A_ROW = "one number of each row is lm.sum(x * lm.one_hot(i, n), axis=1)"
_DENSE = "write lm.Sequential(lm.Dense(10, 'tanh'), lm.Dense(outputs))"
_SETS = "held-out rows are fit's: validation_data=(x[val], t[val])"
SCALE = "scale them: x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)"  # a column may be constant
OF_MODULES = {  # what one writes here instead of names in their modules
    "Linear": "write lm.Dense(units): the number of inputs comes from the data",
    **{name: f"write lm.Activation({name.lower()!r})" for name in ("ReLU", "Tanh", "Sigmoid", "Softmax", "GELU", "SiLU", "ELU")},
    **dict.fromkeys(("nn", "keras", "layers"), _LAYERS),
    "models": "networks are lm.Sequential and lm.Model, files are read by lm.load(path)",
    "Module": "a network is lm.Sequential or lm.Model, a layer of your own a subclass of lm.Layer",
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv1d", "Conv2d", "LSTM", "GRU", "RNN", "SimpleRNN"), _NO_LAYER),
    **dict.fromkeys(("MultiheadAttention", "MultiHeadAttention", "Bidirectional", "Masking", "GroupNorm"), _NO_LAYER),
    **{f"{kind}{d}": _NO_LAYER for kind in ("MaxPool", "AvgPool") for d in ("1d", "2d")},
    **{f"{kind}{d}": _NO_LAYER for kind in ("MaxPooling", "AveragePooling") for d in ("1D", "2D")},
    **dict.fromkeys(("DataLoader", "Dataset"), "fit takes arrays, frames, and any iterable of batches"),
    "Normalization": "write lm.Lambda(lambda x: (x - mean) / std), which files keep",
    **dict.fromkeys(("StringLookup", "CategoryEncoding"), "number the categories: np.unique(x, return_inverse=True)[1]"),
    "GaussianNoise": "write lm.Lambda(lambda x: lm.in_training(x + noise, x)), noise made of lm.random_uniform(x)",
    "TimeDistributed": "a Dense layer is one of the last axis already",
    **dict.fromkeys(("seed", "set_seed", "manual_seed", "random", "set_random_seed"), _SEEDS),
    **dict.fromkeys(
        ("rand", "randn", "rand_like", "randn_like", "random_normal"), "lm.random_uniform(x) draws in math; arrays are NumPy's"
    ),
    "no_grad": "predict computes no gradients",
    "device": "Lamina computes on CPUs alone",
    **dict.fromkeys(("cat", "concat"), "write lm.concatenate"),
    **dict.fromkeys(("diag", "diagonal"), "write lm.einsum('...ii->...i', a), and the matrix of a vector as v * np.eye(n)"),
    **dict.fromkeys(("tril", "triu", "linspace", "array", "asarray", "tensor", "from_numpy"), _ARRAYS),
    **dict.fromkeys(("zeros", "ones"), f"write lm.full(shape, 0), or 1, or lm.zeros_like(x); {_ARRAYS}"),
    "detach": "write lm.stop_gradient(x)",
    "vjp": "write lm.grad(y, x, seed)",
    "jvp": "write lm.jacobian_vector_product(y, x, v)",
    "matrix_exp": "write lm.linalg.expm(a)",
    "cho_solve": "write y = solve_triangular(L, b, lower=True), solve_triangular(L, y, lower=True, transposed=True)",
    **dict.fromkeys(("distributions", "Normal"), "densities are math: docs/science_and_control.md writes that of a policy"),
    "hessian": "write lm.jacobian(lm.jacobian(y, x), x)",
    **dict.fromkeys(("jit", "vmap"), "lm.function(inputs, outputs) compiles, of arrays with any number of rows"),
    **dict.fromkeys(("scan", "fori_loop", "while_loop"), "write a Python loop, which is unrolled"),
    "value_and_grad": "write lm.function(inputs, [y, lm.grad(y, x)])",
    **dict.fromkeys(("gather", "take_along_axis"), _ONE_A_ROW),
    **{name: f"write lm.arc{name[1:]}(x)" for name in ("asin", "acos", "atan")},
    "atan2": "write lm.arctan2(y, x)",
    **dict.fromkeys(("arcsinh", "asinh"), "write s * lm.log(s * x + lm.sqrt(1 + x * x)) with s = lm.where(x < 0, -1.0, 1.0)"),
    **dict.fromkeys(("arccosh", "acosh"), "write lm.log(x + lm.sqrt((x - 1) * (x + 1)))"),
    **dict.fromkeys(("arctanh", "atanh"), "write (lm.log1p(x) - lm.log1p(-x)) / 2"),
    **dict.fromkeys(("round", "rint"), "write lm.floor(x + 0.5)"),
    "remainder": "write lm.mod(a, b)",
    "fmod": "write lm.sign(a) * lm.mod(lm.abs(a), lm.abs(b))",
    "cumprod": "write lm.exp(lm.cumsum(lm.log(x)))",
    **dict.fromkeys(("trapezoid", "trapz"), "write lm.sum((y[:, 1:] + y[:, :-1]) * lm.diff(t), axis=1) / 2"),
    "logaddexp": "write lm.logsumexp(lm.stack([a, b]), axis=0)",
    "hypot": "write lm.sqrt(a * a + b * b)",
    "reciprocal": "write 1 / x",
    "rsqrt": "write 1 / lm.sqrt(x)",
    "exp2": "write 2.0**x",
    **{f"log{base}": f"write lm.log(x) / np.log({base})" for base in (2, 10)},
    "isfinite": "write lm.abs(x) < np.inf",
    "isinf": "write lm.abs(x) == np.inf",
    "nan_to_num": "write lm.where(lm.isnan(x), 0.0, x)",
    "any": "write lm.max(x)",
    "all": "write lm.min(x)",
    "masked_fill": "write lm.where(mask, value, x)",
    **dict.fromkeys(("index_select", "gather_nd"), "write lm.take(x, i, axis)"),
    **dict.fromkeys(("scatter_add", "segment_sum", "index_add", "bincount"), "sums by groups are lm.one_hot(i, n).T @ x"),
    **dict.fromkeys(("sort", "argsort", "topk", "unique"), "nothing is sorted in a graph; arrays are, by NumPy"),
    **dict.fromkeys(("bmm", "mm"), "write x @ y"),
    **dict.fromkeys(("tensordot", "inner"), "write lm.einsum"),
    **dict.fromkeys(("permute", "permute_dims", "swapaxes", "moveaxis"), "write lm.transpose(x, axes)"),
    **dict.fromkeys(("hstack", "vstack"), "write lm.concatenate"),
    "RMSNorm": "write lm.Lambda(lambda x: x / lm.sqrt(lm.mean(x * x, axis=-1, keepdims=True) + 1e-5))",
    "chunk": "write lm.split(x, parts, axis)",
    "repeat_interleave": "write lm.repeat(x, n, axis)",
    "save": "write net.save(path)",
    "version": "write lm.__version__",
    **dict.fromkeys(("MLPClassifier", "MLPRegressor"), "docs/coming_from.md makes a scikit-learn estimator of a network"),
    "prod": "a product of positive numbers is lm.exp(lm.sum(lm.log(x)))",
    "to_categorical": "write lm.one_hot(y, classes), or leave the class numbers: losses take them as they are",
    "train_test_split": "fit has validation_split, and scikit-learn's function takes arrays as ever",
    "clone_model": "write copy.deepcopy(net)",
    "load_model": "write lm.load(path)",
    **dict.fromkeys(("LearningRateScheduler", "LRScheduler"), _RATES),
    "trainbr": OTHERS["trainbr"],
    "train": "net.fit(x, y, loss='mse', optimizer=...) trains",
    "sim": "net.predict(x) computes, of rows that are samples",
    **dict.fromkeys(("fitnet", "feedforwardnet", "patternnet", "timedelaynet", "narxnet"), _DENSE),
    **dict.fromkeys(("mapminmax", "mapstd", "StandardScaler", "MinMaxScaler"), SCALE),
    "dividerand": "fit has validation_split, of the last rows; shuffle them before by np.random.default_rng(0).permutation(n)",
    **dict.fromkeys(("divideind", "divideblock"), _SETS),
    "view": "net.draw('net.svg', x, y) draws it, net.summary() lists its layers",
    "adapt": "net.train_step(x, y) is one update from one batch",
    "genFunction": "a function of your own computes with the arrays dict(net.parameters): docs/coming_from.md has one",
    **dict.fromkeys(("curve_fit", "least_squares"), "a formula is a layer of your own: docs/coming_from.md fits one"),
    "perform": "net.evaluate(x, y, metrics=['r2']) gives a dict of figures",
    "TensorBoard": "CSVLogger writes the figures of each epoch",
}
_READ, _WRITE = "its weights are dict(net.parameters)", "write weights by net.parameters.update({name: array})"
_MODE = "there is no mode to set: fit and train_step train, predict and evaluate do not"
_ANEW = "layers are given at once: lm.Sequential(*net.layers, lm.Dense(1))"
_FROZEN = "net.trainable = False freezes all layers, layer.trainable = False one"
OF_NETWORKS = {  # methods and attributes of theirs, and what one writes here
    **dict.fromkeys(("add", "append"), _ANEW),
    "pop": "make a network of the layers that stay: lm.Sequential(*net.layers[:-1])",
    "get_layer": "its layers are net.layers, a tuple",
    **dict.fromkeys(("state_dict", "get_weights", "weights", "named_parameters", "coefs_", "coef_"), _READ),
    **dict.fromkeys(("variables", "trainable_variables", "trainable_weights"), _READ),
    **dict.fromkeys(("load_state_dict", "set_weights"), _WRITE),
    **dict.fromkeys(("train", "eval"), _MODE),
    **dict.fromkeys(("trainParam", "trainFcn"), "the optimizer has its options: lm.optim.LevenbergMarquardt(goal=1e-6)"),
    **dict.fromkeys(("train_on_batch", "partial_fit"), "net.train_step(x, y) is one update from one batch"),
    **dict.fromkeys(("load", "load_weights", "load_model"), "read a network by net = lm.load(path)"),
    **dict.fromkeys(("save_weights", "save_model"), "write it by net.save(path)"),
    "score": "net.evaluate(x, y, metrics=['accuracy']) gives a dict of figures",
    "predict_proba": "apply the softmax: lm.softmax(net.predict(x))",
    "forward": "net.predict(array) computes, net(tensor) builds its math on a tensor",
    "plot": "net.draw('net.svg', x, y) draws it, net.history.plot() its curves",
    "predict_classes": "net.predict(x).argmax(axis=1) gives the classes",
    "zero_grad": "net.train_step(x, y) takes the gradients of one batch and updates; nothing adds up between steps",
    "backward": "net.gradients(x, y) gives the gradients, net.train_step(x, y) takes them and updates",
    "count_params": "net.summary() counts them; as a number: sum(p.size for p in net.parameters.values())",
    "input_shape": "net.inputs[0].shape has the batch axis as B",
    "output_shape": "net.outputs[0].shape has the batch axis as B",
    **dict.fromkeys(("modules", "children"), "its layers are net.layers, a tuple"),
    **dict.fromkeys(("get_config", "to_json", "export"), "net.save(path) writes structure and weights, as safetensors"),
    **dict.fromkeys(("IW", "LW"), _READ),
    **dict.fromkeys(("divideParam", "divideFcn"), _SETS),
    **{name: OF_MODULES[name] for name in ("view", "sim", "perform", "adapt", "genFunction")},
    **dict.fromkeys(
        ("get_params", "set_params", "clone", "copy"), "copy.deepcopy(net) copies it; a fresh one comes from a function of yours"
    ),
    **dict.fromkeys(("cuda", "cpu"), "Lamina computes on CPUs alone"),
    "fit_generator": "net.fit takes an iterable of batches as x",
    **dict.fromkeys(("freeze", "unfreeze", "requires_grad_"), _FROZEN),
    **dict.fromkeys(("to", "half", "double", "astype"), "the type is chosen when it is made: lm.Sequential(..., dtype='float64')"),
}

OF_LAYERS = {
    "add_weight": "self.parameter('weight', (n, m), 'zeros') makes one",
    **dict.fromkeys(
        ("weights", "get_weights", "trainable_weights"), "its parameters are layer.parameters, the array of one is its .value"
    ),
    "output": "a layer has one at each call; of a network's first two layers it is that of lm.Sequential(*net.layers[:2])",
    "set_weights": "write an array by layer.parameters['weight'].value = array",
}
ASSIGNED = {  # to layers and networks, of which it would change nothing
    **dict.fromkeys(("requires_grad", "frozen"), "trainable = False freezes a layer, or all of a network"),
    "training": _MODE,
    **dict.fromkeys(("lr", "learning_rate"), "it is the optimizer's: net.optimizer.lr = 1e-4"),
}
OF_CALLBACKS = {"model": "the network is self.net"}
_STEP = (
    "net.train_step(x, y) takes the gradients of one batch and updates, net.fit many; docs/coming_from.md has a step along "
    "gradients of your own"
)
OF_OPTIMIZERS = {
    **dict.fromkeys(("step", "zero_grad", "minimize", "apply", "apply_gradients"), _STEP),
    "param_groups": "its options are its attributes: optimizer.lr = 1e-4",
    "learning_rate": "it is optimizer.lr, for reading and writing",
    "get_config": "write optimizer.config()",
    **dict.fromkeys(("state_dict", "load_state_dict"), "net.save(path, optimizer=True) keeps it; its arrays are optimizer.state"),
}
_MATH = "a tensor is math without numbers: compute it with lm.function(inputs, outputs)(arrays); a parameter's are its .value"
_GRADIENT = "write lm.grad(loss, [w, ...]), which gives the gradients as tensors; net.train_step takes and applies them"
_FUNCTIONS = "abs exp log sqrt square sign clip sigmoid tanh relu softmax log_softmax logsumexp argmax std var cumsum diff norm"
OF_TENSORS = {
    **dict.fromkeys(("backward", "grad"), _GRADIENT),
    "gather": _ONE_A_ROW,
    "detach": "write lm.stop_gradient(x)",
    **dict.fromkeys(("numpy", "item", "tolist", "data", "eval"), _MATH),
    **dict.fromkeys(("cpu", "cuda"), "Lamina computes on CPUs alone"),
    **dict.fromkeys(("to", "float", "double", "type", "cast"), "write x.astype('float64')"),
    **dict.fromkeys(("view", "flatten", "ravel"), "write x.reshape(...): -1 stands for what is left"),
    **dict.fromkeys(("permute", "swapaxes"), "write x.transpose(...), or x.T"),
    "t": "write x.T",
    "unsqueeze": "write lm.expand_dims(x, axis)",
    "squeeze": "write lm.squeeze(x, axis)",
    **dict.fromkeys(("expand", "expand_as"), "write lm.broadcast_to(x, shape)"),
    **dict.fromkeys(("size", "dim"), "its shape is x.shape, the number of its axes x.ndim; lm.size(x) counts when it runs"),
    **dict.fromkeys(("matmul", "mm", "dot"), "write x @ y"),
    "pow": "write x ** n",
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max"), "write lm.clip(x, low, high), lm.maximum, lm.minimum"),
    "long": "write x.astype('int64')",
    "chunk": "write lm.split(x, parts, axis)",
    **{name: OF_MODULES[name] for name in ("prod", "any", "all", "masked_fill", "index_select", "topk", "sort", "bmm")},
    "repeat": "write lm.repeat(x, n, axis), or lm.tile(x, reps), which is PyTorch's",
    **{name: f"write lm.{name}(x, ...)" for name in ("roll", "tile", "split")},
    "requires_grad": "lm.Parameter(value, trainable=False) makes one that stays",
    **dict.fromkeys(("clone", "copy"), "a tensor never changes: use it as often as you like"),
    **{name: f"write lm.{name}(x)" for name in _FUNCTIONS.split()},
}


class Elsewhere:
    """An attribute that this class lacks and its counterpart in other libraries has; reading it says what to write instead.

    (A method `__getattr__` would say the same, and make every other attribute 0.1 us slower: a tenth of a small training step.)
    """

    def __init__(self, name: str, remedy: str) -> None:
        self._name, self._remedy = name, remedy
        self.__doc__ = f"Not here: {remedy}."

    def __get__(self, owner: Any, kind: type) -> Any:
        raise AttributeError(
            f"{kind.__name__!r} object has no attribute {self._name!r}; {self._remedy}", name=self._name, obj=owner
        )


def put(kind: type, remedies: Mapping[str, str]) -> None:
    """Gives the class these attributes that it has not."""
    for name, remedy in remedies.items():
        setattr(kind, name, Elsewhere(name, remedy))


def left_out(owner: Any, listed: Iterable[str]) -> list[str]:
    """What `dir` lists, without the attributes that are not there (those of a subclass are), and those that classes have in
    `_unlisted`: they are for other folders of this package, where a name with an underscore may not be used.
    """
    unlisted = {name for kind in type(owner).__mro__ for name in vars(kind).get("_unlisted", ())}
    return [name for name in listed if not (name in unlisted or isinstance(inspect.getattr_static(owner, name, None), Elsewhere))]
