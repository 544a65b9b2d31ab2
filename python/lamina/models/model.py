"""Model: a graph from inputs to outputs with its parameters, and what one does with it."""

from __future__ import annotations

import copy
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lamina import _core as core
from lamina.base import calls, checks, elsewhere, names
from lamina.base.calls import explained
from lamina.base.turns import building, importing
from lamina.graph.tensor import FLOATS, Tensor
from lamina.layers import Layer
from lamina.layers.base import freeze
from lamina.models import feed, quick, steps
from lamina.models.objective import Objective
from lamina.models.parameters import Parameters, fresh_seed
from lamina.models.programs import Programs
from lamina.models.quick import QuickStep
from lamina.models.wiring import Wiring, apply, check_closed, unnamed_if_refused
from lamina.optim import Optimizer

if TYPE_CHECKING:
    from lamina.report.inspection import Inspection
    from lamina.report.profile import Profile
    from lamina.trace import Trace
    from lamina.training.history import History

Array = np.ndarray[Any, Any]
M = TypeVar("M", bound="Model")

_TAKEN_BY = {  # what only a call changes
    "loss": "net.compile(loss, net.optimizer)",
    "optimizer": "net.compile(net.loss, optimizer)",
    "parameters": "net.parameters.update({name: array})",
    "layers": "lm.Sequential(*layers), a new network",
}


class Model:
    """A network as a graph of tensors: any number of inputs and outputs, shared layers, skips.

    `inputs` and `outputs` are tensors, or lists or dicts of them (a dict gives them names). Layers get names from their class and a
    running number (`dense_1`) in the order in which the outputs need them, which that of the calls need not be, unless
    `layer.named("mean")` gave one; parameters from their layer (`dense_1.weight`). Initial weights, shuffling and dropout come from
    `seed`; None draws one, kept in `net.seed`. `dtype`: float32 or float64, None for that of the inputs, which have it from
    `lm.Input(8, dtype="float64")`: the layers took theirs from them when they were called. Raises ValueError where an output needs
    an input that is not in `inputs`, and where `dtype` is another than theirs.

    >>> x = lm.Input(4)
    >>> h = lm.Dense(8, "tanh")(x)
    >>> net = lm.Model(x, lm.Dense(2)(h) + lm.Dense(2)(x), seed=0)
    >>> net.predict(np.zeros((3, 4))).shape
    (3, 2)
    """

    _unlisted = (
        *("build_as_called", "drop_training", "ensure_built", "unless_refused", "train_others"),
        *("objective", "programs", "wiring"),
    )

    stop_training: bool = False  # a callback sets it: `fit` stops after the epoch
    history: History | None = None  # of the last fit

    @explained
    def __init__(self, inputs: Any, outputs: Any, *, seed: int | None = None, dtype: str | None = None):
        dtype = feed.type_name(dtype)
        self._start(seed, FLOATS[0] if dtype is None else dtype)
        named_inputs, named_outputs = feed.named_tensors(inputs, "input"), feed.named_tensors(outputs, "output")
        self.dtype = feed.float_type(named_inputs, named_outputs, dtype)
        with unnamed_if_refused(named_outputs.values()):
            self._assemble(named_inputs, named_outputs)

    def _start(self, seed: int | None, dtype: str) -> None:
        """What holds before a graph is known."""
        self.dtype = dtype
        self.seed = fresh_seed() if seed is None else seed
        self._forget()
        self._inputs: dict[str, Tensor] = {}
        self._outputs: dict[str, Tensor] = {}
        self.epochs_done = 0  # over all fits: the shuffling goes on where it stopped
        self.columns: dict[str, list[str]] = {}  # by "x", "y" or "x['left']": what the frames of `fit` called their columns
        self._programs: Programs | None = None
        self._objective: Objective | None = None
        self._kept_optimizer: Optimizer | None = None  # of a file whose loss is code: `compile` brings them together again
        self._quick_predict: Callable[[Any], Any] | None = None
        self._quick_step: QuickStep | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """What a network is called by, and saved with, is checked: a file of it has to be read again."""
        where = type(self).__name__
        if name in ("seed", "epochs_done"):
            value = checks.integer(where, name, value, 0, checks.UINT64)
        elif name == "columns":
            if not (isinstance(value, Mapping) and all(isinstance(listed, list) for listed in value.values())):
                raise TypeError(
                    f"[{where}] expected columns to be a dict from 'x' and 'y' to lists of names, got {checks.brief(value)}; "
                    "assign such a dict"
                )
            value = {key: list(map(str, listed)) for key, listed in value.items()}
        elif name == "dtype":
            value = feed.type_name(value)
            if not isinstance(value, str) or value not in FLOATS:
                raise ValueError(f"[{where}] expected dtype {' or '.join(map(repr, FLOATS))}, got {checks.brief(value)}; pass one")
            if self.__dict__.get("_programs") is not None and value != self.dtype:
                raise AttributeError(
                    f"[{where}] expected dtype to stay {self.dtype!r}, as the network is built, got {checks.brief(value)}; make a "
                    "new one, and give it the weights: new.parameters.update(net.parameters)"
                )
        elif name in _TAKEN_BY:
            raise AttributeError(f"[{where}] expected a call, got {name} assigned; write {_TAKEN_BY[name]}")
        elif calls.is_ours(type(self)) and names.is_no_switch(name, value):
            raise names.no_switch(where, name)
        object.__setattr__(self, name, value)

    def _forget(self) -> None:
        """No parameters."""
        self._wiring = Wiring()
        self._filled = 0  # of the wiring's parameters, those that have their first values
        self._seeded = 0  # of the wiring's random states, those that have their seed

    def _assemble(self, inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> None:
        """Takes the graph: names and initializes what it holds."""
        check_closed("Model", outputs.values(), inputs.values())
        programs = Programs(list(inputs.values()), list(outputs.values()), self._wiring, self._adopt)
        self._adopt(list(outputs.values()))
        self._inputs, self._outputs, self._programs = inputs, outputs, programs
        if self._objective:
            programs.set_objective(self._objective)

    def _adopt(self, tensors: list[Tensor]) -> None:
        """Names the parameters below `tensors` that are new, fills them, and lays all of the model's into one buffer."""
        self._wiring.extend(tensors)
        # Those of a loss have numbers of their own, which do not hang on whether the network was built here or came from a file.
        seed = self.seed if self._programs is None else [self.seed, self._filled, self._seeded]
        rng = np.random.Generator(np.random.Philox(seed))
        parameters = self._wiring.parameters.values()
        for parameter in list(parameters)[self._filled :]:
            parameter.initialize(rng)
            parameter.adopted_by(self)
        if len(parameters) > self._filled:
            core.pack([p.variable for p in sorted(parameters, key=lambda p: not p.trainable)])
        self._filled = len(parameters)
        for state in list(self._wiring.random.values())[self._seeded :]:
            state.initialize(rng)
        self._seeded = len(self._wiring.random)

    # ---- what it is ----

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The input tensors; empty before the network is built."""
        return tuple(self._inputs.values())

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The output tensors; empty before the network is built."""
        return tuple(self._outputs.values())

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in the order of their first call."""
        return tuple(self._wiring.layers.values())

    @property
    def built(self) -> bool:
        """Whether shapes are known and parameters exist."""
        return self._programs is not None

    def build_as_called(self) -> None:
        """Of a Sequential that tensors have built the layers of: makes it a network of them."""

    @property
    def loss(self) -> Any:
        """The loss as it was given to `compile`, or None."""
        return None if self._objective is None else self._objective.given[0]

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer: `net.optimizer.lr = 1e-4` holds from the next step on. None before `compile`.

        Of a file with a loss of one's own, `load` knows the optimizer alone: `net.compile(loss, net.optimizer)` goes on with it.
        """
        return self._kept_optimizer if self._objective is None else self._objective.optimizer

    @property
    def parameters(self) -> Parameters:
        """All parameters by name: reading copies out, assigning checks the shape and writes."""
        return Parameters(self.programs.wiring.parameters)

    @property
    def programs(self) -> Programs:
        """The programs of the built network."""
        if self._programs is None:
            raise names.NotYet(
                f"[{type(self).__name__}] expected a built network, got one that has seen no data; "
                "call net.build((features,)) or show it data"
            )
        if self._objective is not None and not self._programs.serve(self._objective):  # Ctrl-C came before `compile` was through
            self.drop_training()
        return self._programs

    @property
    def objective(self) -> Objective:
        """Loss, optimizer and metrics, resolved."""
        if self._objective is None:
            raise names.NotYet(
                f"[{type(self).__name__}] expected a loss and an optimizer, got none; "
                "call net.compile('mse', 'adam') first, for example"
            )
        return self._objective

    @property
    def compiled(self) -> bool:
        """Whether there is a loss and an optimizer."""
        return self._objective is not None

    @property
    def named_inputs(self) -> Mapping[str, Tensor]:
        """The input tensors by name."""
        return self._inputs

    @property
    def named_outputs(self) -> Mapping[str, Tensor]:
        """The output tensors by name."""
        return self._outputs

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs; before the network is built, of the one that it will have."""
        return list(self._outputs) or [feed.OUTPUT]

    @property
    def wiring(self) -> Wiring:
        """The layers and parameters under their names."""
        return self._wiring

    @property
    def trainable(self) -> bool:
        """Whether training changes any layer's weights; assigning freezes or thaws all layers, also of a network that is not built.

        >>> base = lm.Sequential(lm.Dense(8, "relu"), seed=0)
        >>> base.trainable = False
        >>> lm.Sequential(base, lm.Dense(1), seed=0).build(4).summary().splitlines()[-1]
        '49 parameters (196 B), 9 trained, 40 not'
        """
        return any(layer.trainable for layer in (*self.layers, *self._wiring.layers.values()))

    @trainable.setter
    def trainable(self, value: bool) -> None:
        freeze(self.layers, value, type(self).__name__)

    def __dir__(self) -> list[str]:
        return elsewhere.left_out(self, super().__dir__())

    if not TYPE_CHECKING:

        def __getitem__(self, index: Any) -> Any:
            """For what takes a network for a list, also to loop over it; without `__iter__` and `__len__` it counts as none."""
            raise TypeError(
                f"[{type(self).__name__}] expected a list of layers, got the network; its layers are net.layers, a tuple, its "
                "weights net.parameters, by name"
            )

    @explained
    def summary(self) -> str:
        """A table of the layers: name, type, output shape, parameters; and the totals.

        A layer that calls others comes first, they follow indented; its figures are its own, theirs not counted again.

        >>> class Residual(lm.Layer):
        ...     def build(self, x):
        ...         self.inner = lm.Dense(x.shape[-1], "tanh")
        ...     def forward(self, x):
        ...         return x + self.inner(x)
        >>> print(lm.Sequential(Residual(), lm.Dense(1), seed=0).build(4).summary())
        Sequential, float32, seed 0
        layer       type      output  parameters  bytes  FLOP
        -----------------------------------------------------
        residual_1  Residual  (B, 4)           0      0     4
          dense_2   Dense     (B, 4)          20     80    40
        dense_1     Dense     (B, 1)           5     20     9
        -----------------------------------------------------
        25 parameters (100 B), all trained
        """
        with importing:
            from lamina.report.summary import summary

        return summary(self)

    def __repr__(self) -> str:
        layers = len(self._wiring.layers)
        state = f"{layers} layer{'s' * (layers != 1)}" if self.built else "not built"
        return f"<{type(self).__name__} {self.dtype}, {state}, seed {self.seed}>"

    # ---- building ----

    @explained
    def build(self: M, input_shape: int | Sequence[int] | None = None) -> M:
        """Nothing to do: the graph was given. (A Sequential builds its own.)"""
        return self

    def ensure_built(self, x: Any) -> None:
        """Nothing to do: a Model is built when it is made. A Sequential builds itself for x."""

    @contextmanager
    def unless_refused(self, *, loss_too: bool) -> Iterator[None]:
        """Rolls back where the block raises: what was not built stays so; with `loss_too` loss and optimizer stay, too."""
        before = self._objective, self._kept_optimizer
        try:
            yield
        except BaseException:
            with building:
                if loss_too and self._objective is not before[0]:
                    self._objective, self._kept_optimizer = before
                    self.drop_training()
            raise

    @explained
    def compile(self: M, loss: Any, optimizer: Any, metrics: Any = (), *, loss_weights: Any = None) -> M:
        """Sets what training minimizes and how.

        L = sum over the outputs of loss_weights[k] * loss[k](prediction_k, target_k)

        `loss`: a name, a Loss, or a function of tensors (pred, target) -> scalar or values per sample; for several outputs one for
        all, or a list or dict of them. `optimizer`: a name or an Optimizer. `metrics`: one or several for each output, or a dict of
        them by the outputs' names: names or functions metric(y_true, y_pred, sample_weight=None), each logged under its name, for
        several outputs `<output>_<metric>`. Programs built for an earlier loss or optimizer are dropped. Raises ValueError for
        unknown names, and for a metric whose name another figure of the logs has ("loss", "epoch", "val_loss").

        >>> lm.Sequential(lm.Dense(1)).compile("mse", lm.optim.Adam(1e-2), metrics=["mae"]).loss
        'mse'
        """
        with building:
            objective = Objective.of(self.output_names, loss, optimizer, metrics, loss_weights)
            self._quick_step = None  # first: Ctrl-C may come between any two lines
            self._objective = objective
            self._kept_optimizer = None
            self.drop_training()
        return self

    def drop_training(self) -> None:
        """Forgets all programs but that of `predict`: the next step builds them for what is trained now."""
        with building:
            self._quick_step = None
            if self._programs is not None and self._objective is not None:
                self._programs.set_objective(self._objective)

    def train_others(self) -> None:
        """Some layers were frozen or thawed: the next step runs the program of those that are trained now."""
        with building:
            self._quick_step = None
            if self._programs is not None:
                self._programs.train_others()

    # ---- using ----

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Given tensors, builds the network's math on them, with the same parameters; given arrays, predicts."""
        where = type(self).__name__
        checks.inputs_alone(where, options, "net(x) and net.predict(x) predict, net.fit and net.train_step train")
        flat = feed.flat(inputs)
        if not flat:
            raise TypeError(f"[{where}] expected an input, got none; call it with arrays or tensors: net(x)")
        if not any(isinstance(value, Tensor) for value in flat):
            expected = len(self._inputs) or 1
            if len(inputs) not in (1, expected):
                raise TypeError(
                    f"[{where}] expected {expected} input{'s' * (expected > 1)}, got {len(inputs)}; pass all rows in one array"
                )
            return self.predict(inputs[0] if len(inputs) == 1 else inputs)
        if not all(isinstance(value, Tensor) for value in flat):
            raise TypeError(f"[{where}] expected tensors only or arrays only, got both; wrap the arrays: lm.Input, lm.Parameter")
        results = self._apply(flat)
        return results[0] if len(results) == 1 else results

    def _apply(self, inputs: list[Tensor]) -> list[Tensor]:
        return apply(self.inputs, self.outputs, inputs)

    def predict(self, x: Any, batch_size: int | None = None) -> Any:
        """The outputs for `x`: an array (a list of arrays for several outputs), one row a sample.

        `x`: array-like (n, ...), or a list, tuple or dict of them for several inputs. NaN in an array go through the network; what
        is converted first, a list or a frame, must be finite. `batch_size`: rows at once, which bounds the memory; by default 4096,
        or all where rows meet in the network, as in x - mean(x, axis=0), or it draws numbers. Elsewhere no bit depends on it.

        >>> lm.Sequential(lm.Dense(3), seed=0).predict([[1.0, 2.0]]).shape
        (1, 3)
        """
        if self._quick_predict is not None and batch_size is None:
            outputs = self._quick_predict(x)
            if outputs is None and type(x) is dict:
                outputs = self._quick_predict(feed.in_order(x, self._inputs))
            if outputs is not None:
                return outputs
        outputs = steps.predict(self, x, batch_size)
        if self._quick_predict is None:
            self._quick_predict = quick.predictor(self)
        return outputs

    def train_step(self, x: Any, y: Any = None, sample_weight: Any = None) -> float:
        """One update from one batch; returns the loss before it.

        `x` (B, ...) and `y` as in `fit`; `sample_weight` (B,). Random layers draw anew at each step. Shapes, class numbers, and the
        0 or 1 of whole numbers are checked at each call; other values (NaN in x, probabilities beyond [0, 1]) at the first one, and
        by `fit`. The loss is returned as it is, also where it is not finite.

        >>> net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd")
        >>> net.train_step(np.ones((4, 2)), np.zeros((4, 1))) > 0
        True
        """
        step = self._quick_step
        if step is not None:
            run = step.run if step.optimizer.has_constant_rate else step.scheduled  # as step(...) does
            found: float | None = run(x, y, sample_weight)
            if found is not None:
                return found
        found = quick.train_step(self, x, y, sample_weight)
        return steps.train_step(self, x, y, sample_weight) if found is None else found

    @explained
    def gradients(self, x: Any, y: Any, sample_weight: Any = None) -> dict[str, Array]:
        """dL/dp for each trainable parameter p, by its name, as the next `train_step` on these data would see it; changes nothing.

        >>> net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd")
        >>> net.gradients(np.ones((4, 2)), np.zeros((4, 1)))["dense_1.weight"].shape
        (2, 1)
        """
        return steps.gradients(self, x, y, sample_weight)

    @explained
    def per_sample_gradients(self, x: Any, y: Any) -> dict[str, Array]:
        """dl_i/dp of each sample's own loss l_i, that of a batch of one, for each trainable parameter p by its name, of shape
        (n, *p.shape).

        Their mean over the samples is dL/dp of the loss as `evaluate` sees it (no dropout, running statistics), where the network
        does not mix samples, as `lm.roll` along the batch does, and the loss leaves nothing out (`mask_nan`, `ignore_index`): then
        each sample has a mean of its own. Layers whose weights meet a sample in a product or element by element take one backward
        pass for all samples; anything else, one for each.

        >>> net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd")
        >>> net.per_sample_gradients(np.ones((4, 2)), np.zeros((4, 1)))["dense_1.weight"].shape
        (4, 2, 1)
        """
        from lamina.models.per_sample import per_sample_gradients

        return per_sample_gradients(self, x, y)

    @explained
    def fit_readout(self, x: Any, y: Any, l2: float | None = None, *, sample_weight: Any = None) -> float:
        """Solves the last layer exactly, a Readout or a Dense without activation, on the features that the layers before it make.

        minimizes sum_i w_i |f_i W + b - y_i|^2 / sum_i w_i + l2 |W|^2 (b is not held back), by QR in float64, over the rows in
        parts; of several outputs each. l2: by default the Readout's own; 0 for a Dense. y: as for `fit`; class numbers stand for
        rows of 0 with a 1 at the class. For networks whose other weights are random and stay so, and for a start of `fit`. Returns
        the mean squared error of what the network then predicts, its rounding included, of several outputs their sum. In float32
        it is rounding that tells features apart which depend on each other: weights get large, and the error shows what their own
        rounding costs; a small l2 keeps them small.
        Errors: ValueError for another or a frozen last layer, targets that do not fit, NaN, weights too large for their type;
        LinAlgError where features and bias, brought to one length, have a condition number beyond 1 / eps of float64 over their
        number.

        >>> X, y = lm.datasets.digits()
        >>> net = lm.Sequential(lm.Dense(300, "tanh"), lm.Readout(10, l2=1e-3), seed=0)
        >>> error = net.fit_readout(X, y)
        >>> net.evaluate(X, y, metrics=["accuracy"])["accuracy"] > 0.95
        True
        """
        from lamina.models.readout import fit_readout

        return fit_readout(self, x, y, l2, sample_weight)

    @explained
    def evaluate(
        self, x: Any, y: Any = None, *, metrics: Any = (), sample_weight: Any = None, batch_size: int | None = None
    ) -> dict[str, Any]:
        """The loss and the metrics over all of the data: `{"loss": ..., "accuracy": ...}`.

        `x`, `y`: array-likes of n rows, or an iterable of batches (x, y[, weight]) as `x` alone. The metrics of `compile` come
        first, then those given here. A network without a loss gives the metrics only. `batch_size`: rows of arrays that go through
        the network together, by default so many that nothing changes; of a loss that is no mean over samples, such as a root of
        one, it gives the mean over such parts, as batches do.

        >>> net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd")
        >>> sorted(net.evaluate(np.ones((4, 2)), np.zeros((4, 1)), metrics=["mae"]))
        ['loss', 'mae']
        """
        return steps.evaluate(self, x, y, metrics=metrics, sample_weight=sample_weight, batch_size=batch_size)

    @explained
    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        loss: Any = None,
        optimizer: Any = None,
        loss_weights: Any = None,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: Any = None,
        validation_split: float = 0.0,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | Sequence[float] | Array | str | None = None,
        metrics: Any = (),
        callbacks: Any = (),
        shuffle: bool = True,
        resume: str | os.PathLike[str] | None = None,
        verbose: int | None = None,
    ) -> History:
        """Trains for some epochs; returns what was logged.

        `x`, `y`: array-likes of n rows, or an iterable of batches (x, y[, weight]) as `x` alone; what frames call their columns is
        kept in `net.columns`, and another order is refused later. `loss`, `optimizer`, `loss_weights` as in `compile`, which they
        stand in for; `metrics`: of this training, beside those of `compile`. `validation_data`: (x, y[, weight]), array-likes, or
        an iterable or list of such tuples, batches, gone through after each epoch; `validation_split`: the share of rows held out,
        the last ones. `sample_weight` (n,); `class_weight`: {class: weight}, or for arrays "balanced", n / (classes * samples of
        the class).
        `shuffle`: each epoch a new order, from the seed, unless one batch holds all rows. `resume`: the file of a Checkpoint;
        training goes on as if it had never stopped, at the file's rate, with the same callbacks of those that have a state.
        `verbose`: 0 silent, 1 and None progress on stderr: a line that is drawn anew in a terminal or a notebook, elsewhere, and
        where CI or NO_COLOR is set, a line an epoch.

        Arrays are checked before the first step, batches as they come: ValueError or TypeError says what is wrong. A loss that is
        not finite raises FloatingPointError with its step, and the parameters are those from before that epoch. Ctrl-C stops after
        the current step: `fit` returns with `history.interrupted` True.

        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> history = lm.Sequential(lm.Dense(1), seed=0).fit(x, 2 * x, loss="mse", optimizer="adam", epochs=3, verbose=0)
        >>> len(history.history["loss"])
        3
        """
        with importing:
            from lamina.training.fit import fit

        return fit(
            self,
            x,
            y,
            loss=loss,
            optimizer=optimizer,
            loss_weights=loss_weights,
            epochs=epochs,
            batch_size=batch_size,
            validation_data=validation_data,
            validation_split=validation_split,
            sample_weight=sample_weight,
            class_weight=class_weight,
            metrics=metrics,
            callbacks=callbacks,
            shuffle=shuffle,
            resume=resume,
            verbose=verbose,
        )

    # ---- seeing ----

    @explained
    def trace(self, x: Any, y: Any = None, sample_weight: Any = None) -> Trace:
        """The next training step on these data, line by line, with every value that the core computes; it changes nothing.

        Without `y`: the prediction alone. Each line has its equation, operands, shapes, FLOP, bytes, time and result: see
        `lamina.trace.Trace` and docs/trace.md.

        >>> net = lm.Sequential(lm.Dense(3, "relu"), lm.Dense(2), seed=0).compile("cross_entropy", "sgd")
        >>> trace = net.trace(np.ones((2, 4)), np.array([0, 1]))
        >>> trace["dW1"].shape, str(trace.backward[1])
        ((4, 3), 'dW₂ = A₁ᵀ dZ₂')
        """
        with importing:
            from lamina.trace import trace

        return trace(self, x, y, sample_weight)

    @explained
    def explain(
        self, x: Any = None, y: Any = None, *, level: str = "shapes", ascii: bool | None = None, format: str = "text"
    ) -> str:
        """The program as equations: forward, loss, backward, update, with shapes and FLOP.

        `level`: "shapes"; "values" adds numbers, times and a check by finite differences; "derive" adds the reason of each line.
        Without `x`, the shapes alone, for any batch. `ascii`: no sign beyond ASCII; None decides by the terminal. `format`: "text",
        or "latex" for a document that compiles. Raises ValueError for unknown words.

        >>> net = lm.Sequential(lm.Dense(1), seed=0).build(3)
        >>> print(net.explain(ascii=True).splitlines()[4])
          1 Z1 = X W1 + 1 b1^T  (Bx3)(3x1) -> Bx1   6+1
        """
        with importing:
            from lamina.explain import explain

        return explain(self, x, y, level=level, ascii=ascii, format=format)

    @explained
    def draw(self, path: str | os.PathLike[str], x: Any = None, y: Any = None, *, theme: str = "light") -> None:
        """Draws the network, its forward and backward pass and its update, with the numbers of one step on these data.

        `path`: .svg, or .png and .pdf with the extra `lamina[draw]`. `x`, `y`: a few rows, of which the first colours the neurons;
        without them, the forward pass of one sample of ones.
        `theme`: "light" or "dark". It changes nothing. Raises ValueError for another suffix or without a renderer, OSError where
        the path cannot be written.

        >>> net = lm.Sequential(lm.Dense(3, "relu"), lm.Dense(2), seed=0).compile("cross_entropy", "sgd")
        >>> net.draw("net.svg", np.ones((2, 4)), [0, 1])
        """
        with importing:
            from lamina.draw import draw

        draw(self, path, x, y, theme=theme)

    @explained
    def profile(self, x: Any, y: Any = None, sample_weight: Any = None, *, repeats: int | None = None) -> Profile:
        """Where the time of a training step on these data goes (without `y`: of a prediction), step by step of the program.

        For LBFGS and LevenbergMarquardt, which step on all data in a loop of their own: of forward and backward pass, `gradients`.

        whole = sum of the steps' seconds, of which the last is the call itself

        Each step has its seconds, FLOP, bytes, percent of the ceiling measured beside it, and what bounds it: compute,
        bandwidth, or overhead. `x`, `y`, `sample_weight`: a batch as in `train_step`. `repeats`: rounds, of which the best counts;
        by default about a third of a second of them. It changes nothing: parameters, optimizer and random state keep their bits.

        >>> net = lm.Sequential(lm.Dense(8, "relu"), lm.Dense(2), seed=0).compile("cross_entropy", "sgd")
        >>> profile = net.profile(np.ones((4, 3)), np.array([0, 1, 1, 0]), repeats=3)
        >>> profile.steps[0].name, profile.steps[0].flops, profile.steps[-1].name
        ('matmul+add+relu', 192.0, 'call')
        """
        with importing:
            from lamina.report.profile import profile

        return profile(self, x, y, sample_weight, repeats=repeats)

    @explained
    def inspect(self, x: Any, y: Any = None) -> Inspection:
        """Values, gradients and weights by name for these data, with figures that show what ails a training; it changes nothing.

        For each tensor: mean, deviation, largest size, norm of its gradient; for weights, how far the next update moves them;
        ReLU neurons that are 0 for all rows (dead, if these are 1,000 or more), saturated tanh and sigmoid.

        >>> net = lm.Sequential(lm.Dense(3, "relu"), lm.Dense(2), seed=0).compile("cross_entropy", "sgd")
        >>> net.inspect(np.ones((2, 4)), [0, 1])["W1"].shape
        (4, 3)
        """
        with importing:
            from lamina.report.inspection import inspect

        return inspect(self, x, y)

    def _repr_html_(self) -> str:
        with importing:
            from lamina.explain.html import network

        return network(self)

    # ---- storing ----

    @explained
    def save(self, path: str | os.PathLike[str], *, optimizer: bool = False) -> None:
        """Writes architecture and weights to a safetensors file, whole or not at all; `lamina.load` reads it.

        `optimizer=True` adds the optimizer's state, so that training can go on from there. A loss of your own is code, which no
        file holds: go on with `net.compile(loss, net.optimizer)`. Nor does it hold metrics of your own, which `compile` must be
        given again, as `load` then warns, nor an optimizer or a schedule of your own: with those, a Checkpoint's file goes on, by
        `fit(resume=...)`.
        """
        with importing:
            from lamina.storage.io import save

        save(self, path, optimizer=optimizer)

    def __copy__(self: M) -> M:
        return self._copied(lambda state: state)

    def __deepcopy__(self: M, memo: dict[int, Any]) -> M:
        return self._copied(lambda state: copy.deepcopy(state, memo), memo)

    def _copied(self: M, carry: Callable[[dict[str, Any]], dict[str, Any]], memo: dict[int, Any] | None = None) -> M:
        other = type(self).__new__(type(self))
        if memo is not None:
            memo[id(self)] = other
        other.__setstate__(carry(self.__getstate__()))
        if other._objective is not None:
            other._objective.made_for = weakref.ref(self)
        return other

    def __getstate__(self) -> dict[str, Any]:
        with importing:
            from lamina.storage.io import state_of

        return state_of(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        with importing:
            from lamina.storage.io import set_state

        set_state(self, state)


elsewhere.put(Model, elsewhere.OF_NETWORKS)
