"""What every optimizer shares: the learning rate, clipping, state, and the effects that it adds to a training program."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

import numpy as np

from lamina import _core as core
from lamina import ops, schedules
from lamina.base import calls, checks, elsewhere, names
from lamina.base.config import Configured, same
from lamina.graph.lift import make
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import Tensor

Array = np.ndarray[Any, Any]
Rate = Any  # a number, a Schedule, or a function of step numbers
CLIP_EPS = 1e-6  # added to the norm, as in PyTorch
NO_RATES = np.empty(0), 0


class Optimizer(Configured):
    """Base class. A built-in one names its rule in the core; one of your own writes `slots` and `update` as math.

    lr: a number, a schedule, or a function of step numbers. weight_decay wd: adds wd w to the gradient, unless a class says
    otherwise. clip_value c: each gradient element is kept within [-c, c]. clip_norm c: then all gradients together are scaled by
    min(1, c / (norm + 1e-6)), norm the root of the sum of all their squares.

    An option that is assigned later, as `net.optimizer.weight_decay = 0.1`, holds from the next step on; for any option but
    lr the training program is built again.

    Errors: ValueError for a negative rate, decay or clipping bound; AttributeError for an option that a built-in one lacks.

    >>> import lamina as lm
    >>> class Momentum(lm.optim.Optimizer):
    ...     slots = ("m",)
    ...     def update(self, w, g, state, lr, t):
    ...         m = 0.9 * state["m"] + g
    ...         return w - lr * m, {"m": m}
    >>> net = lm.Sequential(lm.Dense(1, bias=False, weight_init="ones")).compile("mse", Momentum(0.1))
    >>> [round(net.train_step([[1.0]], [[0.0]]), 2) for _ in range(3)]
    [1.0, 0.64, 0.21]
    """

    _unlisted: tuple[str, ...] = (
        *("against_overflow", "ahead", "all_data", "bind", "check_state", "effects", "has_constant_rate", "look_ahead"),
        *("make_room", "set_rate", "trains_another"),
    )

    rule: str | None = None  # the C++ rule; None: `update` is the rule
    against_overflow: str = "lower the learning rate, or pass clip_norm"  # what helps where the loss is not finite
    _stays = False
    all_data: bool = False  # whether an epoch is one step on all data (see `full_batch.FullBatch`)
    decoupled: bool = False  # whether `update` sees to weight_decay itself
    slots: Sequence[str] = ()  # state of a parameter's shape, 0 at first unless `slot_value` says otherwise

    state: dict[str, Parameter]
    has_constant_rate: bool  # whether `lr` is a number: nothing has to be told to a program before a step
    _lr: Any  # that number, or the schedule
    _schedule: schedules.Schedule | None
    ahead: tuple[Array, int]  # the schedule's rates for steps to come, as far as they are evaluated, and the number of the first

    def __init__(
        self, lr: Rate = 1e-3, *, weight_decay: float = 0.0, clip_norm: float | None = None, clip_value: float | None = None
    ) -> None:
        self.state = {}
        self._take_rate(lr)
        self.weight_decay = self._checked("weight_decay", weight_decay)
        self.clip_norm = self._checked("clip_norm", clip_norm)
        self.clip_value = self._checked("clip_value", clip_value)

    def _checked(self, name: str, value: Any) -> Any:
        """The value of an option that every optimizer has; those of its own are for its class to check."""
        if name == "weight_decay":
            return self._number(name, value, 0)
        if name in ("clip_norm", "clip_value"):
            return checks.optional_number(self._where, name, value, 0, open_low=True)
        return value

    # ---- options that change ----

    def _made(self) -> None:
        if "state" not in self.__dict__:
            raise TypeError(f"[{self._where}] expected its __init__ to call super().__init__(lr), got one without; call it first")
        if self.rule is None and not self._built_in and (signature := calls.refusing(self.update, 0, 0, 0, 0, 0)):
            raise TypeError(f"[{self._where}] expected a method update(self, w, g, state, lr, t), got {signature}; give it these")
        if isinstance(self.slots, str):
            raise TypeError(f"[{self._where}] expected the names of slots, got {self.slots!r}; write slots = ({self.slots!r},)")
        options = set(self.__dict__["_arguments"])
        if not self._built_in:  # those of the classes below, which the constructor may set by itself
            options |= self._takes() & self.__dict__.keys()
        self.__dict__["_options"] = frozenset(options - {"lr"})

    def __setattr__(self, name: str, value: Any) -> None:
        options = self.__dict__.get("_options")
        if options is None or isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        elif name == "state":
            raise AttributeError(f"[{self._where}] expected its state to stay, got another; write state[name].value = array")
        elif name in options:
            if not same(value, self._current_arguments()[name] if self._built_in else getattr(self, name, self)):
                self._take_option(name, value)
        elif not self._built_in or name in self.__dict__ or hasattr(type(self), name) or name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            guess = "lr" if name == "learning_rate" else names.nearest(name, [*options, "lr"])
            remedy = f"did you mean {guess!r}?" if guess else f"it has {', '.join(sorted({*options, 'lr'}))}"
            raise AttributeError(f"[{self._where}] expected one of its options, got {name!r}; {remedy}")

    def _take_option(self, name: str, value: Any) -> None:
        """As if the optimizer had been made with it; its state stays, and its models plan their steps anew."""
        before = set(self.slots)
        if self._built_in:
            fresh = type(self)(**{**self._current_arguments(), name: value})
            self.__dict__.update((k, v) for k, v in vars(fresh).items() if k not in ("state", "_owner"))
        else:  # whose constructor may do anything else as well
            value = self._checked(name, value)
            object.__setattr__(self, name, value)
            if name in self._arguments:
                self.__dict__["_arguments"] = {**self._arguments, name: value}
        gone = tuple(f".{slot}" for slot in before - set(self.slots))
        for key in list(self.state):
            if key.endswith(gone) or (key.startswith("clock.") and not self.slots):
                del self.state[key]
        owner = self.__dict__.get("_owner")
        for model in {model for p in owner.now.values() for model in p.models} if owner else ():
            model.drop_training()

    # ---- the learning rate ----

    @property
    def lr(self) -> Any:
        """The learning rate, a number or a schedule. Assigning a number takes effect at the next step; nothing is planned anew."""
        return self._lr

    @lr.setter
    def lr(self, lr: Rate) -> None:
        self._take_rate(lr)

    def _take_rate(self, lr: Rate) -> None:
        schedule = schedules.get(lr) if callable(lr) or isinstance(lr, dict) else None  # or of what makes one; else a number
        if isinstance(schedule, schedules.Constant):
            lr, schedule = schedule.lr, None
        now: Any
        if schedule is None:
            lr = now = self._number("lr", lr, 0)
        else:
            lr, now = schedule, schedule(self.steps) if "lr" in self.state else None  # one that is refused changes nothing
        self.__dict__.update(_lr=lr, _schedule=schedule, has_constant_rate=schedule is None, ahead=NO_RATES)
        if "lr" in self.state:
            self.state["lr"].variable.write(now)

    def rate(self, steps: Any) -> Any:
        """The learning rate at each of the given steps; 0 is the first update."""
        return self._as_schedule()(steps)

    def _as_schedule(self) -> schedules.Schedule:
        """What gives its rates; of a number made when it is asked for, as numbers may be assigned before each step."""
        return schedules.Constant(self._lr) if self._schedule is None else self._schedule

    def look_ahead(self) -> bool:
        """Evaluates the schedule for the next step and some after it, unless `ahead` has it already; whether it had to."""
        before = self.ahead
        return self._ahead_of(self.steps) is not before

    def set_rate(self) -> None:
        """Puts the next step's rate in its place, where a schedule changes it."""
        if not self.has_constant_rate:
            step = self.steps
            rates, first = self._ahead_of(step)
            self.state["lr"].variable.write(rates[step - first])

    def _ahead_of(self, step: int) -> tuple[Array, int]:
        """`ahead` with that step in it."""
        rates, first = ahead = self.ahead
        if not first <= step < first + len(rates):
            ahead = self.ahead = self._as_schedule().ahead(step), step
        return ahead

    @property
    def steps(self) -> int:
        """The number of updates done so far."""
        return int(self.state["clock"].value[0]) if "clock" in self.state else 0

    def steps_of(self, name: str) -> int:
        """The number of updates in which the parameter of this name took part."""
        return int(self.state[self._clock_of(name)].value[0]) if "clock" in self.state else 0

    # ---- what a subclass gives ----

    def hyper(self) -> dict[str, float]:
        """The hyper-parameters of the C++ rule, by its names."""
        return {}

    def slot_value(self, slot: str) -> float:
        """The first value of a slot's elements."""
        return 0.0

    def update(self, w: Tensor, g: Tensor, state: dict[str, Tensor], lr: Tensor, t: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One's own rule: (parameter, gradient, slots, rate, number of this step from 1) -> (new parameter, new slots), as math.

        The gradient comes clipped and with the weight decay in it.
        """
        raise TypeError(f"[{self._where}] expected a method update(w, g, state, lr, t), got none; write one, or name a rule")

    # ---- state and effects ----

    def check_state(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """ValueError where a state of these shapes, from a file, cannot be this optimizer's: before `bind` makes room for it."""

    def bind(self, params: Sequence[Parameter]) -> None:
        """Creates the state for these parameters: "lr", "clock", "<parameter>.<slot>", and "clock.<parameter>" for those that
        joined later or were frozen for a while. Slots that exist already stay as they are.
        """
        self._belong_to(params)
        if "lr" not in self.state:
            first = {"lr": _scalar("lr", self.rate(0)), "clock": _clock("clock", 0.0)}
            self.state.update(first)  # both or, where Ctrl-C comes before, none
        named = dict(zip(_names(params), params, strict=True))
        known = self._known()
        for name, p in named.items():
            for slot in self.slots:
                self._bind_slot(f"{name}.{slot}", slot, p)
        self._bind_clocks(known, named.keys())

    def _known(self) -> set[str]:
        """The names of the parameters that have slots."""
        return {key.removesuffix(f".{slot}") for slot in self.slots[:1] for key in self.state if key.endswith(f".{slot}")}

    def _bind_clocks(self, known: Set[str], trained: Set[str]) -> None:
        """As in PyTorch, a parameter's steps are those that it took part in: one that rests stops counting, a new one begins at 0.

        "clock" counts all steps of the optimizer, and theirs for as long as they are the same: one set of constants serves them.
        """
        now = self.state["clock"].value
        for name in sorted(known - trained):
            self.state.setdefault(f"clock.{name}", _clock(f"clock.{name}", now))
        for name in trained & known:
            own = self.state.get(f"clock.{name}")
            if own is not None and np.array_equal(own.value, now):  # it rested for no step
                del self.state[f"clock.{name}"]
        if now[0] > 0:
            for name in sorted(self._known() - known):
                self.state[f"clock.{name}"] = _clock(f"clock.{name}", 0.0)

    def make_room(self, names: Collection[str], weights: Mapping[str, Parameter]) -> None:
        """State of these names, as a file has it, also of weights that rest."""
        for name, p in weights.items():
            for slot in self.slots:
                if f"{name}.{slot}" in names:
                    self._bind_slot(f"{name}.{slot}", slot, p)
            if self.slots and f"clock.{name}" in names and f"clock.{name}" not in self.state:
                self.state[f"clock.{name}"] = _clock(f"clock.{name}", self.state["clock"].value)
                for model in p.models:
                    model.drop_training()  # its programs have the common clock there

    def trains_another(self, params: Sequence[Parameter]) -> bool:
        """Whether its moments and steps are those of another model than the one with these parameters."""
        owner, given = self.__dict__.setdefault("_owner", Owner()), {p.node.serial for p in params}
        # layers of the same model may be trained in turns; built anew, it has another wiring
        wirings = {model.wiring for p in params for model in p.models if model.optimizer is self}
        return bool(owner.now and given) and owner.now.keys().isdisjoint(given) and wirings.isdisjoint(owner.wirings)

    def _belong_to(self, params: Sequence[Parameter]) -> None:
        """Moments, steps and schedule are those of one model: for another one they start again, and coming back is an error."""
        another, given = self.trains_another(params), {p.node.serial: p for p in params}
        owner = self.__dict__["_owner"]
        if another:
            if not owner.before.isdisjoint(given):
                raise ValueError(
                    f"[{self._where}] expected the parameters of the model that it trains now, got those of an earlier one; "
                    f"give the model its own by compile: net.compile(net.loss, {type(self).__name__}(...))"
                )
            owner.leave()
            self.state.clear()
        owner.now |= given
        owner.wirings.update(model.wiring for p in params for model in p.models if model.optimizer is self)

    def __getstate__(self) -> dict[str, Any]:
        """A copy has the options, and begins anew: moments and steps are those of a model's parameters, and go along with those."""
        return {name: value for name, value in self.__dict__.items() if name != "_owner"} | {"state": {}}

    def effects(self, params: Sequence[Parameter], grads: Sequence[Tensor]) -> list[Tensor]:
        """The tensors that update the parameters and the state when a program runs them: clip, then one rule update for each
        parameter.
        """
        if len(params) != len(grads):
            raise ValueError(
                f"[{self._where}] expected one gradient for each of {len(params)} parameters, got {len(grads)}; pass as many"
            )
        self.bind(params)
        clipped = self._clip(list(grads))
        if self.rule is None:
            return self._own_effects(params, clipped)
        chosen = self.hyper()
        known = core.rule_info(self.rule)[1]
        if set(chosen) != set(known):
            raise ValueError(
                f"[{self._where}] expected the hyper-parameters of the rule {self.rule!r} from hyper(), "
                f"{', '.join(known) or 'none'}, got {', '.join(chosen) or 'none'}; return a dict of these"
            )
        hyper = [chosen[name] for name in known]
        clocks = [self._clock_of(name) for name in _names(params)]
        constants = {
            clock: make("rule_constants", [self.state["lr"], self.state[clock]], rule=self.rule, hyper=hyper)
            for clock in dict.fromkeys(clocks)
        }
        updates = [
            make("rule_update", [p, g, constants[clock], *self._slots_of(name).values()], rule=self.rule)
            for name, p, g, clock in zip(_names(params), params, clipped, clocks, strict=True)
        ]
        return updates if "clock" in constants else [*updates, self._ticked("clock")]

    def _clock_of(self, name: str) -> str:
        return f"clock.{name}" if f"clock.{name}" in self.state else "clock"

    def _ticked(self, clock: str) -> Tensor:
        """The effect of one more step."""
        return make("assign", [self.state[clock], self.state[clock] + np.array([1.0] + [0.0] * (core.RULE_CLOCK - 1))])

    def _own_effects(self, params: Sequence[Parameter], grads: Sequence[Tensor]) -> list[Tensor]:
        clocks = {"clock": None}  # a set in order
        effects = []
        for name, p, g in zip(_names(params), params, grads, strict=True):
            slots = self._slots_of(name)
            g = g + self.weight_decay * p if self.weight_decay and not self.decoupled else g
            clocks[self._clock_of(name)] = None
            t = self.state[self._clock_of(name)][0] + 1.0
            lr, step = ops.cast(self.state["lr"], p.dtype), ops.cast(t, p.dtype)
            new, new_slots = self._from_update(self.update(p, g, _Slots(slots), lr, step), p, slots)
            effects += [make("assign", [p, new]), *(make("assign", [old, new_slots[slot]]) for slot, old in slots.items())]
        return [*effects, *map(self._ticked, clocks)]

    def _from_update(self, result: Any, p: Parameter, slots: Mapping[str, Parameter]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """What `update` gave for a parameter, if it is a value for that and one for each slot."""
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)):
            raise TypeError(
                f"[{self._where}] expected (new parameter, new slots) from update, got {type(result).__name__}; "
                "return new_w, {} where there are no slots"
            )
        new, new_slots = result
        if set(new_slots) != set(slots):
            raise ValueError(
                f"[{self._where}] expected new values of the slots {sorted(slots)} from update, got {sorted(new_slots)}; "
                "return one for each"
            )
        for old, value in ((p, new), *((slots[slot], new_slots[slot]) for slot in slots)):
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"[{self._where}] expected tensors from update, got {type(value).__name__}; return math over w and g"
                )
            if value.shape != old.shape or value.dtype != old.dtype:
                raise ValueError(
                    f"[{self._where}] expected {old.dtype} of shape {old.shape} from update for {old.name}, got {value.dtype} "
                    f"of shape {value.shape}; return math of w's shape and type"
                )
        return new, new_slots

    def _clip(self, grads: list[Tensor]) -> list[Tensor]:
        if self.clip_value is not None:
            grads = [ops.clip(g, -self.clip_value, self.clip_value) for g in grads]
        if self.clip_norm is None or not grads:
            return grads
        dtype = "float64" if any(g.dtype == "float64" for g in grads) else "float32"
        squares = [ops.cast(ops.sum(ops.square(g)), dtype) for g in grads]
        scale = ops.minimum(1.0, self.clip_norm / (ops.sqrt(sum(squares[1:], squares[0])) + CLIP_EPS))
        return [g * ops.cast(scale, g.dtype) for g in grads]

    def _bind_slot(self, key: str, slot: str, p: Parameter) -> None:
        if key not in self.state:
            value = np.full(tuple(p.shape), self.slot_value(slot), dtype=p.dtype)
            self.state[key] = Parameter(value, name=key, trainable=False, dtype=p.dtype)
        elif tuple(self.state[key].shape) != tuple(p.shape):
            raise ValueError(
                f"[{self._where}] expected a parameter of shape {tuple(self.state[key].shape)} for {key}, got {tuple(p.shape)}; "
                "the optimizer belongs to another model: make a new one"
            )

    def _slots_of(self, name: str) -> dict[str, Parameter]:
        return {slot: self.state[f"{name}.{slot}"] for slot in self.slots}

    # ---- configuration ----

    def _current_arguments(self) -> dict[str, Any]:
        arguments = super()._current_arguments()
        return {**arguments, "lr": self.lr} if "lr" in arguments else arguments

    @property
    def _where(self) -> str:
        return f"optim.{type(self).__name__}"

    def _number(self, name: str, value: Any, low: float, high: float = checks.INF, **ends: bool) -> float:
        return checks.number(self._where, name, value, low, high, **ends)

    def _betas(self, betas: Any) -> tuple[float, float]:
        beta1, beta2 = checks.numbers(self._where, "betas", betas, 2, 0, 1, open_high=True)
        return beta1, beta2


elsewhere.put(Optimizer, elsewhere.OF_OPTIMIZERS)


class Owner:
    """Whose parameters an optimizer trains `now`, and whose it trained `before`, by the number of their node."""

    def __init__(self) -> None:
        self.now: dict[int, Parameter] = {}
        self.before: set[int] = set()
        self.wirings: weakref.WeakSet[Any] = weakref.WeakSet()  # of the models that it trains now

    def leave(self) -> None:
        """The model's programs hold a state that is not the optimizer's any more."""
        for model in {model for p in self.now.values() for model in p.models}:
            model.drop_training()
        self.before |= self.now.keys()
        self.now = {}
        self.wirings.clear()


class _Slots(dict[str, Tensor]):
    """What `update` is given as state."""

    def __missing__(self, name: Any) -> Any:
        raise KeyError(f"[optim] expected one of the slots {sorted(self)}, got {name!r}; name it in slots")


def _scalar(name: str, value: Any) -> Parameter:
    return Parameter(np.asarray(value, dtype=np.float64), name=name, trainable=False, dtype="float64")


def _clock(name: str, value: Any) -> Parameter:
    return Parameter(np.zeros(core.RULE_CLOCK) + value, name=name, trainable=False, dtype="float64")


def _names(params: Sequence[Parameter]) -> list[str]:
    """A name for each parameter: its own, where it has one."""
    return [p.name or f"parameter_{i}" for i, p in enumerate(params, 1)]
