"""One step of every optimizer rule in float64, written from PyTorch's documented formulas (single-tensor form), apart from the C++
functors.

`step(w, g, slots, lr, t, h)` returns the new weights; `slots` (name -> array) is updated in place; t counts from 1; `h` holds the
hypers by name. `t` is that of the step being taken. `shared` keeps what an optimizer carries between steps besides slots (NAdam's
product of mu).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Rule:
    step: Callable
    slots: tuple[str, ...]
    hypers: tuple[str, ...]
    initial: dict = field(default_factory=dict)  # slot -> function of lr; zeros otherwise


def sgd(w, g, s, lr, t, h, shared):
    g = g + h["weight_decay"] * w
    s["momentum_buffer"] = g if t == 1 else h["momentum"] * s["momentum_buffer"] + (1 - h["dampening"]) * g
    step = g + h["momentum"] * s["momentum_buffer"] if h["nesterov"] else s["momentum_buffer"]
    return w - lr * step


def sgd_plain(w, g, s, lr, t, h, shared):
    return w - lr * (g + h["weight_decay"] * w)


def _moments(w, g, s, lr, h):
    """Decay (decoupled or added to g), then m and v; returns the decayed weights."""
    if h["decoupled"]:
        w = w * (1 - lr * h["weight_decay"])
    else:
        g = g + h["weight_decay"] * w
    s["exp_avg"] = h["beta1"] * s["exp_avg"] + (1 - h["beta1"]) * g
    s["exp_avg_sq"] = h["beta2"] * s["exp_avg_sq"] + (1 - h["beta2"]) * g * g
    return w


def _adam_step(w, m, v, lr, t, h):
    c1, c2 = 1 - h["beta1"] ** t, 1 - h["beta2"] ** t
    if h["eps_keras"]:  # Keras: lr sqrt(c2)/c1 * m / (sqrt(v) + eps)
        return w - lr * math.sqrt(c2) / c1 * m / (np.sqrt(v) + h["eps"])
    return w - lr / c1 * m / (np.sqrt(v) / math.sqrt(c2) + h["eps"])


def adam(w, g, s, lr, t, h, shared):
    w = _moments(w, g, s, lr, h)
    return _adam_step(w, s["exp_avg"], s["exp_avg_sq"], lr, t, h)


def adam_amsgrad(w, g, s, lr, t, h, shared):
    w = _moments(w, g, s, lr, h)
    s["max_exp_avg_sq"] = np.maximum(s["max_exp_avg_sq"], s["exp_avg_sq"])
    return _adam_step(w, s["exp_avg"], s["max_exp_avg_sq"], lr, t, h)


def rmsprop(w, g, s, lr, t, h, shared):
    g = g + h["weight_decay"] * w
    s["square_avg"] = h["alpha"] * s["square_avg"] + (1 - h["alpha"]) * g * g
    return w - lr * g / (np.sqrt(s["square_avg"]) + h["eps"])


def rmsprop_full(w, g, s, lr, t, h, shared):
    g = g + h["weight_decay"] * w
    s["square_avg"] = h["alpha"] * s["square_avg"] + (1 - h["alpha"]) * g * g
    s["grad_avg"] = h["alpha"] * s["grad_avg"] + (1 - h["alpha"]) * g  # kept also where it is not used
    variance = s["square_avg"] - s["grad_avg"] ** 2 if h["centered"] else s["square_avg"]
    s["momentum_buffer"] = h["momentum"] * s["momentum_buffer"] + g / (np.sqrt(variance) + h["eps"])
    return w - lr * s["momentum_buffer"]


def adagrad(w, g, s, lr, t, h, shared):
    g = g + h["weight_decay"] * w
    s["sum"] = s["sum"] + g * g
    return w - lr / (1 + (t - 1) * h["lr_decay"]) * g / (np.sqrt(s["sum"]) + h["eps"])


def adadelta(w, g, s, lr, t, h, shared):
    g = g + h["weight_decay"] * w
    s["square_avg"] = h["rho"] * s["square_avg"] + (1 - h["rho"]) * g * g
    delta = np.sqrt(s["acc_delta"] + h["eps"]) / np.sqrt(s["square_avg"] + h["eps"]) * g
    s["acc_delta"] = h["rho"] * s["acc_delta"] + (1 - h["rho"]) * delta * delta
    return w - lr * delta


def adamax(w, g, s, lr, t, h, shared):
    g = g + h["weight_decay"] * w
    s["exp_avg"] = h["beta1"] * s["exp_avg"] + (1 - h["beta1"]) * g
    s["exp_inf"] = np.maximum(h["beta2"] * s["exp_inf"], np.abs(g) + h["eps"])
    return w - lr / (1 - h["beta1"] ** t) * s["exp_avg"] / s["exp_inf"]


def nadam(w, g, s, lr, t, h, shared):
    g = g + h["weight_decay"] * w
    mu = h["beta1"] * (1 - 0.5 * 0.96 ** (t * h["psi"]))
    mu_next = h["beta1"] * (1 - 0.5 * 0.96 ** ((t + 1) * h["psi"]))
    product = shared.get("mu_product", {}).get(t - 1, 1.0) * mu
    shared.setdefault("mu_product", {})[t] = product
    s["exp_avg"] = h["beta1"] * s["exp_avg"] + (1 - h["beta1"]) * g
    s["exp_avg_sq"] = h["beta2"] * s["exp_avg_sq"] + (1 - h["beta2"]) * g * g
    denominator = np.sqrt(s["exp_avg_sq"] / (1 - h["beta2"] ** t)) + h["eps"]
    w = w - lr * (1 - mu) / (1 - product) * g / denominator
    return w - lr * mu_next / (1 - product * mu_next) * s["exp_avg"] / denominator


def radam(w, g, s, lr, t, h, shared):
    g = g + h["weight_decay"] * w
    s["exp_avg"] = h["beta1"] * s["exp_avg"] + (1 - h["beta1"]) * g
    s["exp_avg_sq"] = h["beta2"] * s["exp_avg_sq"] + (1 - h["beta2"]) * g * g
    m = s["exp_avg"] / (1 - h["beta1"] ** t)
    limit = 2 / (1 - h["beta2"]) - 1
    rho = limit - 2 * t * h["beta2"] ** t / (1 - h["beta2"] ** t)
    if rho <= 5:
        return w - lr * m
    r = math.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
    adaptive = math.sqrt(1 - h["beta2"] ** t) / (np.sqrt(s["exp_avg_sq"]) + h["eps"])
    return w - lr * m * r * adaptive


def rprop(w, g, s, lr, t, h, shared):
    sign = np.sign(g * s["prev"])
    factor = np.where(sign > 0, h["eta_plus"], np.where(sign < 0, h["eta_minus"], 1.0))
    s["step_size"] = np.clip(s["step_size"] * factor, h["step_min"], h["step_max"])
    g = np.where(sign < 0, 0.0, g)
    s["prev"] = g
    return w - np.sign(g) * s["step_size"]


def lion(w, g, s, lr, t, h, shared):
    w = w * (1 - lr * h["weight_decay"])
    direction = np.sign(h["beta1"] * s["exp_avg"] + (1 - h["beta1"]) * g)
    s["exp_avg"] = h["beta2"] * s["exp_avg"] + (1 - h["beta2"]) * g
    return w - lr * direction


_ADAM = ("beta1", "beta2", "eps", "weight_decay", "decoupled", "eps_keras")
_BETAS = ("beta1", "beta2", "eps", "weight_decay")
_MOMENTS = ("exp_avg", "exp_avg_sq")

RULES: dict[str, Rule] = {
    "sgd": Rule(sgd, ("momentum_buffer",), ("momentum", "dampening", "nesterov", "weight_decay")),
    "sgd_plain": Rule(sgd_plain, (), ("weight_decay",)),
    "adam": Rule(adam, _MOMENTS, _ADAM),
    "adam_amsgrad": Rule(adam_amsgrad, (*_MOMENTS, "max_exp_avg_sq"), _ADAM),
    "rmsprop": Rule(rmsprop, ("square_avg",), ("alpha", "eps", "weight_decay")),
    "rmsprop_full": Rule(
        rmsprop_full, ("square_avg", "momentum_buffer", "grad_avg"), ("alpha", "eps", "weight_decay", "momentum", "centered")
    ),
    "adagrad": Rule(adagrad, ("sum",), ("eps", "weight_decay", "lr_decay")),
    "adadelta": Rule(adadelta, ("square_avg", "acc_delta"), ("rho", "eps", "weight_decay")),
    "adamax": Rule(adamax, ("exp_avg", "exp_inf"), _BETAS),
    "nadam": Rule(nadam, _MOMENTS, (*_BETAS, "psi")),
    "radam": Rule(radam, _MOMENTS, _BETAS),
    "rprop": Rule(rprop, ("prev", "step_size"), ("eta_minus", "eta_plus", "step_min", "step_max"), {"step_size": lambda lr: lr}),
    "lion": Rule(lion, ("exp_avg",), ("beta1", "beta2", "weight_decay")),
}
