"""The optimizers' rules as lines of text, for reading. What runs is the core's rule of the same name; numbers shown are the core's.

Letters: w the parameter, g its gradient, lr the rate, t the step from 1; a letter for each slot and hyper-parameter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial

from lamina.optim import LBFGS, LevenbergMarquardt, Muon, Optimizer
from lamina.optim.base import CLIP_EPS
from lamina.optim.damped_steps import FADE, KEPT, POWER
from lamina.optim.muon import NEWTON_SCHULZ
from lamina.trace.notation import number, to_ascii
from lamina.trace.record import OF_MATRICES, OF_OTHERS, Rule

Lines = list[tuple[str, str]]
Numbers = dict[str, float]

LETTERS = {
    "momentum_buffer": "b", "exp_avg": "m", "exp_avg_sq": "v", "max_exp_avg_sq": "u", "square_avg": "v", "grad_avg": "a",
    "sum": "s", "acc_delta": "u", "exp_inf": "u", "prev": "p", "step_size": "s",
}  # fmt: skip
HYPERS = {
    "beta1": "β₁", "beta2": "β₂", "eps": "ε", "weight_decay": "wd", "momentum": "μ", "alpha": "α", "rho": "ρ", "lr_decay": "decay",
    "eta_minus": "η₋", "eta_plus": "η₊", "dampening": "τ", "psi": "ψ", "step_min": "smallest", "step_max": "largest",
}  # fmt: skip

KEPT_LETTERS = {"lr", "t", "wd"}  # which explain looks up, and no tensor has

FIRST, LATER = ", t = 1", ", t > 1"  # behind a line that some steps take, and others not
FEW, ENOUGH = ", ρ ≤ 5", ", ρ > 5"  # too few steps for a variance: no division by its root

MOMENTS = [("m", "β₁·m + (1 − β₁)·g"), ("v", "β₂·v + (1 − β₂)·g²")]


def _sgd(h: Mapping[str, float], t: int) -> Lines:
    grown = "(1 − τ)·g" if h["dampening"] else "g"
    step = "(g + μ·b)" if h["nesterov"] else "b"
    rest = [("b", f"μ·b + {grown}{LATER}")] if h["dampening"] else []
    return [("b", "μ·b + g" + FIRST * bool(rest)), *rest, ("w", f"w − lr·{step}")]


def _adam_step(h: Mapping[str, float], v: str) -> str:
    if h["eps_keras"]:
        return f"w − lr·√(1 − β₂ᵗ) / (1 − β₁ᵗ)·m / (√({v}) + ε)"
    return f"w − lr·(m / (1 − β₁ᵗ)) / (√({v} / (1 − β₂ᵗ)) + ε)"


def _rmsprop_full(h: Mapping[str, float], t: int) -> Lines:
    centered = [("a", "α·a + (1 − α)·g")] if h["centered"] else []
    under = "√(v − a²)" if h["centered"] else "√(v)"
    step = f"g / ({under} + ε)"
    rest = [("b", f"μ·b + {step}"), ("w", "w − lr·b")] if h["momentum"] else [("w", f"w − lr·{step}")]
    return [("v", "α·v + (1 − α)·g²"), *centered, *rest]


def _nadam(h: Mapping[str, float], t: int) -> Lines:
    nesterov = "((1 − μ) / (1 − Π)·g + μ′ / (1 − Π·μ′)·m)"
    return [
        ("μ", "β₁·(1 − .96^(ψ·t) / 2)"),
        ("μ′", "β₁·(1 − .96^(ψ·(t + 1)) / 2)"),
        ("Π", "Π·μ"),
        *MOMENTS,
        ("w", f"w − lr·{nesterov} / (√(v / (1 − β₂ᵗ)) + ε)"),
    ]


def _radam(h: Mapping[str, float], t: int) -> Lines:
    return [
        ("R", "2 / (1 − β₂) − 1"),
        ("ρ", "R − 2·t·β₂ᵗ / (1 − β₂ᵗ)"),
        *MOMENTS,
        ("w", "w − lr·m / (1 − β₁ᵗ)" + FEW),
        ("r", "√((ρ − 4)·(ρ − 2)·R / ((R − 4)·(R − 2)·ρ))" + ENOUGH),
        ("w", "w − lr·r·m / (1 − β₁ᵗ)·√(1 − β₂ᵗ) / (√(v) + ε)" + ENOUGH),
    ]


def _radam_numbers(h: Mapping[str, float], t: int) -> Numbers:
    power, limit = h["beta2"] ** t, 2 / (1 - h["beta2"]) - 1
    rho = limit - 2 * t * power / (1 - power)
    if rho <= 5:
        return {"R": limit, "ρ": rho}
    return {"R": limit, "ρ": rho, "r": math.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))}


def _nadam_numbers(h: Mapping[str, float], t: int) -> Numbers:
    factors = [h["beta1"] * (1 - 0.5 * 0.96 ** (k * h["psi"])) for k in range(1, t + 2)]
    return {"μ": factors[-2], "μ′": factors[-1], "Π": math.prod(factors[:-1])}


FORMULAS: dict[str, Callable[[Mapping[str, float], int], Lines]] = {
    "sgd_plain": lambda h, t: [("w", "w − lr·g")],
    "sgd": _sgd,
    "adam": lambda h, t: [*MOMENTS, ("w", _adam_step(h, "v"))],
    "adam_amsgrad": lambda h, t: [*MOMENTS, ("u", "max(u, v)"), ("w", _adam_step(h, "u"))],
    "rmsprop": lambda h, t: [("v", "α·v + (1 − α)·g²"), ("w", "w − lr·g / (√(v) + ε)")],
    "rmsprop_full": _rmsprop_full,
    "adagrad": lambda h, t: [("s", "s + g²"), ("w", f"w − lr{' / (1 + (t − 1)·decay)' if h['lr_decay'] else ''}·g / (√(s) + ε)")],
    "adadelta": lambda h, t: [
        ("v", "ρ·v + (1 − ρ)·g²"),
        ("w", "w − lr·√(u + ε) / √(v + ε)·g"),
        ("u", "ρ·u + (1 − ρ)·(√(u + ε) / √(v + ε)·g)²"),
    ],
    "adamax": lambda h, t: [("m", "β₁·m + (1 − β₁)·g"), ("u", "max(β₂·u, |g| + ε)"), ("w", "w − lr / (1 − β₁ᵗ)·m / u")],
    "nadam": _nadam,
    "radam": _radam,
    "rprop": lambda h, t: [
        ("s", "clip(s·(η₊ where g·p > 0, η₋ where g·p < 0, else 1), smallest, largest)"),
        ("p", "0 where g·p < 0, else g"),
        ("w", "w − sign(p)·s"),
    ],
    "lion": lambda h, t: [("w", "w − lr·sign(β₁·m + (1 − β₁)·g)"), ("m", "β₂·m + (1 − β₂)·g")],
}
STEP_NUMBERS = {"nadam": _nadam_numbers, "radam": _radam_numbers}  # numbers that a rule makes anew at each step


def rule_of(optimizer: Optimizer, lr: float, t: int, taken: Collection[str]) -> Rule:
    """The rule that the next step follows, with its numbers; letters that are `taken` by tensors have primes, as in β₁′ and β₂′
    where β₁ is the shift of a norm.
    """
    rule = _rule(optimizer, lr, t)
    rule.given = _given(optimizer)
    letters = {*rule.numbers, *rule.slots} - KEPT_LETTERS
    stems = {_stem(letter) for letter in letters if to_ascii(letter) in taken}
    for letter in letters:
        if _stem(letter) in stems:
            _rename(rule, letter, letter + "′")
    return rule


def _given(optimizer: Optimizer) -> list[str]:
    """What g is, where it is not the gradient itself."""
    value, norm = optimizer.clip_value, optimizer.clip_norm
    inner = "dw" if value is None else f"clip(dw, {number(-value)}, {number(value)})"
    if norm is None:
        return [] if value is None else [f"g = {inner}"]
    return [f"g = c {inner},  c = {clip_factor(optimizer, 'all dw' if value is None else 'all clipped dw')}"]


def clip_factor(optimizer: Optimizer, of: str) -> str:
    """What clip_norm multiplies gradients by; of: what its norm is of."""
    return f"min(1, {number(optimizer.clip_norm)} / (‖{of}‖ + {number(CLIP_EPS)}))"


def _stem(letter: str) -> str:
    return letter.rstrip("₁₂₋₊")


def _rename(rule: Rule, old: str, new: str) -> None:
    whole = re.compile(rf"(?<![A-Za-z]){re.escape(old)}(?![A-Za-z₀-₉′])")
    rule.lines = [(whole.sub(new, target), whole.sub(new, formula)) for target, formula in rule.lines]
    rule.numbers = {new if letter == old else letter: value for letter, value in rule.numbers.items()}
    rule.conditions = {whole.sub(new, said): holds for said, holds in rule.conditions.items()}
    rule.slots = {new if letter == old else letter: slot for letter, slot in rule.slots.items()}


def _rule(optimizer: Optimizer, lr: float, t: int) -> Rule:
    hypers = optimizer.hyper()
    title = type(optimizer).__name__
    if optimizer.rule is None:
        return _own_rule(optimizer, title, lr, t)
    lines = FORMULAS[optimizer.rule](hypers, t) if optimizer.rule in FORMULAS else []
    decay = float(hypers.get("weight_decay", 0.0))
    if decay and (hypers.get("decoupled") or optimizer.rule == "lion"):
        lines = [(to, formula.replace("w − ", "(1 − lr·wd)·w − ", 1) if to == "w" else formula) for to, formula in lines]
    elif decay:
        lines = [("g", "g + wd·w"), *lines]
    numbers = {HYPERS.get(name, name): float(value) for name, value in hypers.items()}
    used = {letter: value for letter, value in numbers.items() if any(letter in formula for _, formula in lines)}
    slots = {LETTERS.get(slot, slot): slot for slot in optimizer.slots}
    made = Rule(optimizer.rule, title, lines, slots, {"lr": lr, "t": t, **used})
    if optimizer.rule == "sgd":
        made.conditions = {FIRST: t == 1, LATER: t > 1}
    if optimizer.rule == "radam":
        few = _radam_numbers(hypers, t)["ρ"] <= 5
        made.conditions = {FEW: few, ENOUGH: not few}
    if optimizer.rule in STEP_NUMBERS:
        made.now = STEP_NUMBERS[optimizer.rule](hypers, t)
        made.before = {"Π": STEP_NUMBERS["nadam"](hypers, t - 1)["Π"] if t > 1 else 1.0} if optimizer.rule == "nadam" else {}
    return made


def _damped(optimizer: LevenbergMarquardt) -> tuple[Numbers, Lines]:
    """Levenberg-Marquardt's, with the damping that the next step begins with."""
    product, left, right, falls = "Jᵀ J", "Jᵀ J", "−Jᵀ e", "L"
    numbers = {"μ": float(optimizer.state["mu"].value if "mu" in optimizer.state else optimizer.mu)}
    if optimizer.bayesian:
        product, left, right, falls = "β Jᵀ J", "β Jᵀ J + α I", "−β Jᵀ e − α w", "β L + α ‖w‖²"
        if "factors" in optimizer.state:
            numbers |= dict(zip("αβ", map(float, optimizer.state["factors"].value), strict=False))
    matrix, lines = "I", Lines()
    if optimizer.scaling != "identity":
        power = "h" if optimizer.scaling == "diagonal" else f"m (h / m) to the power of {number(POWER)}, m the largest of h"
        lines += [("h", f"max({number(FADE)} h, diagonal of {product})"), ("D", power)]
        matrix = "D"
    return numbers, [
        *lines,
        ("d", f"solves ({left} + μ {matrix}) d = {right}, J = ∂e / ∂w, L = ‖e‖²"),
        ("w", f"w + d, where that lowers {falls}; else {number(optimizer.mu_inc)} μ, and solve again"),
        ("μ", f"(1 − (2 r − 1)³) μ, from {number(optimizer.mu_dec)} to {number(KEPT)} μ, r the drop over the one foreseen"),
    ]


def _own_rule(optimizer: Optimizer, title: str, lr: float, t: int) -> Rule:
    """Rules that are math of tensors, or a loop of their own on all data."""
    slots = {LETTERS.get(slot, slot): slot for slot in optimizer.slots}
    numbers: Numbers = {"lr": lr, "t": t}
    lines: Lines = []
    element = None
    if type(optimizer) is Muon:
        element = partial(_muon_element, optimizer, lr)
        a, b, c = (number(abs(factor), 5) for factor in NEWTON_SCHULZ)
        numbers |= {"μ": optimizer.momentum, "wd": optimizer.weight_decay}
        lines = [
            ("b", "μ·b + (1 − μ)·g"),
            ("u", "(1 − μ)·g + μ·b" if optimizer.nesterov else "b"),
            ("w", "w − lr·wd·w − lr·√(max(1, rows / columns))·O(u)" + OF_MATRICES),
            ("w", "w − lr·wd·w − lr·u" + OF_OTHERS),
            ("O(u)", f"x after {optimizer.ns_steps} times x ← {a} x − ({b} A − {c} A²) x, A = x xᵀ, from x = u / ‖u‖"),
        ]
    elif isinstance(optimizer, LBFGS):
        numbers = {}
        lines = [
            ("d", f"−H g, H from the last {optimizer.history} pairs (s, y)"),
            ("s, y", "differences of w, and of g, from step to step"),
            ("w", "w + τ d, τ by the strong Wolfe conditions"),
        ]
    elif isinstance(optimizer, LevenbergMarquardt):
        numbers, lines = _damped(optimizer)
    return Rule(title, title, lines, slots, numbers, element=element)


def _muon_element(optimizer: Muon, lr: float, shape: tuple[int, ...], w: float, g: float, new: float, slots: Numbers) -> Numbers:
    """u, and of a matrix the element of O(u) that the step has taken: the whole matrix goes into it."""
    b, momentum = slots["momentum_buffer"], optimizer.momentum
    made = {"u": (1 - momentum) * g + momentum * b if optimizer.nesterov else b}
    if len(shape) == 2 and lr:
        rows, columns = shape
        taken = (w * (1 - lr * optimizer.weight_decay) - new) / (lr * max(1, rows / columns) ** 0.5)
        made |= {"rows": rows, "columns": columns, "O(u)": taken}
    return made
