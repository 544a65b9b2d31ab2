"""Operations with NumPy's names and semantics. Given tensors they build; given arrays they compute at once and return arrays.

Every one is a few primitive nodes of the core; gradients follow from those. What is neither a tensor nor numbers is a TypeError.
Whole numbers are exact up to 2^53; their quotients and means are float32.
"""

from lamina.ops.constants import (
    arange,
    eye,
    full,
    in_training,
    ones_like,
    random_uniform,
    stop_gradient,
    update_state,
    zeros_like,
)
from lamina.ops.contraction import einsum
from lamina.ops.elementwise import (
    abs,
    activation,
    add,
    arctan,
    arctan2,
    cast,
    clip,
    cos,
    divide,
    equal,
    erf,
    exp,
    expm1,
    floor,
    greater,
    greater_equal,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    relu,
    sigmoid,
    sign,
    sin,
    sqrt,
    square,
    subtract,
    tanh,
    where,
)
from lamina.ops.products import (
    dot,
    matmul,
    outer,
)
from lamina.ops.reductions import (
    argmax,
    argmin,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    norm,
    size,
    softmax,
    std,
    sum,
    var,
)
from lamina.ops.shapes import (
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    getitem,
    one_hot,
    pad,
    reshape,
    squeeze,
    stack,
    take,
    transpose,
)

__all__ = [
    "abs", "activation", "add", "arange", "arctan", "arctan2", "argmax", "argmin", "broadcast_to", "cast", "clip",
    "concatenate", "cos", "divide", "dot", "einsum", "equal", "erf", "exp", "expand_dims", "expm1", "eye", "flip",
    "floor", "full", "getitem", "greater", "greater_equal", "in_training", "isnan", "less", "less_equal", "log", "log1p",
    "log_softmax", "logical_and", "logical_not", "logical_or", "logsumexp", "matmul", "max", "maximum", "mean", "min",
    "minimum", "multiply", "negative", "norm", "not_equal", "one_hot", "ones_like", "outer", "pad", "power",
    "random_uniform", "relu", "reshape", "sigmoid", "sign", "sin", "size", "softmax", "sqrt", "square", "squeeze",
    "stack", "std", "stop_gradient", "subtract", "sum", "take", "tanh", "transpose", "update_state", "var", "where",
    "zeros_like",
]  # fmt: skip
