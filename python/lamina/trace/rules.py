"""The optimizers' rules as lines of text, for reading. What runs is the core's rule of the same name; numbers shown are the core's.

Letters: w the parameter, g its gradient, lr the rate, t the step from 1; a letter for each slot and hyper-parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina.optim import Optimizer
from lamina.trace.record import Rule

Lines = list[tuple[str, str]]

LETTERS = {
    "momentum_buffer": "b", "exp_avg": "m", "exp_avg_sq": "v", "max_exp_avg_sq": "u", "square_avg": "v", "grad_avg": "a",
    "sum": "s", "acc_delta": "u", "exp_inf": "u", "prev": "p", "step_size": "s",
}  # fmt: skip
HYPERS = {
    "beta1": "β₁", "beta2": "β₂", "eps": "ε", "weight_decay": "wd", "momentum": "μ", "alpha": "α", "rho": "ρ", "lr_decay": "decay",
    "eta_minus": "η₋", "eta_plus": "η₊", "dampening": "τ",
}  # fmt: skip

MOMENTS = [("m", "β₁·m + (1 − β₁)·g"), ("v", "β₂·v + (1 − β₂)·g²")]


def _sgd(h: Mapping[str, float]) -> Lines:
    grown = "(1 − τ)·g" if h["dampening"] else "g"
    step = "(g + μ·b)" if h["nesterov"] else "b"
    return [("b", f"μ·b + {grown}"), ("w", f"w − lr·{step}")]


def _adam(h: Mapping[str, float]) -> Lines:
    return [*MOMENTS, ("w", "w − lr·(m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)")]


def _amsgrad(h: Mapping[str, float]) -> Lines:
    return [*MOMENTS, ("u", "max(u, v)"), ("w", "w − lr·(m / (1 − β₁ᵗ)) / (√(u / (1 − β₂ᵗ)) + ε)")]


def _rmsprop_full(h: Mapping[str, float]) -> Lines:
    centered = [("a", "α·a + (1 − α)·g")] if h["centered"] else []
    under = "√(v − a²)" if h["centered"] else "√(v)"
    step = f"g / ({under} + ε)"
    rest = [("b", f"μ·b + {step}"), ("w", "w − lr·b")] if h["momentum"] else [("w", f"w − lr·{step}")]
    return [("v", "α·v + (1 − α)·g²"), *centered, *rest]


FORMULAS: dict[str, Any] = {
    "sgd_plain": lambda h: [("w", "w − lr·g")],
    "sgd": _sgd,
    "adam": _adam,
    "adam_amsgrad": _amsgrad,
    "rmsprop": lambda h: [("v", "α·v + (1 − α)·g²"), ("w", "w − lr·g / (√(v) + ε)")],
    "rmsprop_full": _rmsprop_full,
    "adagrad": lambda h: [("s", "s + g²"), ("w", "w − lr / (1 + (t − 1)·decay)·g / (√(s) + ε)")],
    "adadelta": lambda h: [
        ("v", "ρ·v + (1 − ρ)·g²"),
        ("w", "w − lr·√(u + ε) / √(v + ε)·g"),
        ("u", "ρ·u + (1 − ρ)·(√(u + ε) / √(v + ε)·g)²"),
    ],
    "adamax": lambda h: [("m", "β₁·m + (1 − β₁)·g"), ("u", "max(β₂·u, |g| + ε)"), ("w", "w − lr / (1 − β₁ᵗ)·m / u")],
    "nadam": lambda h: [*MOMENTS, ("w", "w − lr·nadam(m, g, t) / (√(v / (1 − β₂ᵗ)) + ε)")],
    "radam": lambda h: [*MOMENTS, ("w", "w − lr·(m / (1 − β₁ᵗ))·radam(v, t)")],
    "rprop": lambda h: [("s", "s·η₊ where g·p > 0, s·η₋ where g·p < 0"), ("w", "w − sign(g)·s"), ("p", "g, 0 where g·p < 0")],
    "lion": lambda h: [("w", "w − lr·sign(β₁·m + (1 − β₁)·g)"), ("m", "β₂·m + (1 − β₂)·g")],
}


def rule_of(optimizer: Optimizer, lr: float, t: int) -> Rule:
    """The rule that the next step follows, with its numbers."""
    hypers = optimizer.hyper()
    title = f"{type(optimizer).__name__}"
    if optimizer.rule is None:
        return Rule(title, title, [], {slot: slot for slot in optimizer.slots}, {"lr": lr, "t": t})
    lines: Lines = FORMULAS[optimizer.rule](hypers) if optimizer.rule in FORMULAS else []
    decay = float(hypers.get("weight_decay", 0.0))
    if decay and (hypers.get("decoupled") or optimizer.rule == "lion"):
        lines = [("w", "w − lr·wd·w"), *lines]
    elif decay:
        lines = [("g", "g + wd·w"), *lines]
    numbers = {HYPERS.get(name, name): float(value) for name, value in hypers.items()}
    used = {letter: value for letter, value in numbers.items() if any(letter in formula for _, formula in lines)}
    slots = {LETTERS.get(slot, slot): slot for slot in optimizer.slots}
    return Rule(optimizer.rule, title, lines, slots, {"lr": lr, "t": t, **used})
