"""Layers: `Dense(128, "relu")(x)` on tensors, or in a `Sequential`. A layer of one's own is a subclass of `Layer`."""

from lamina.layers.base import Layer, LayerCall
from lamina.layers.dense import Dense, Readout
from lamina.layers.embedding import Embedding
from lamina.layers.functions import Activation, Dropout, Lambda
from lamina.layers.join import Add, Concatenate
from lamina.layers.norm import BatchNorm, LayerNorm
from lamina.layers.shape import Flatten, Reshape

CLASSES: dict[str, type[Layer]] = {
    c.__name__: c
    for c in (Dense, Readout, Activation, Dropout, BatchNorm, LayerNorm, Flatten, Reshape, Embedding, Concatenate, Add, Lambda)
}

__all__ = [
    "CLASSES",
    "Activation",
    "Add",
    "BatchNorm",
    "Concatenate",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Lambda",
    "Layer",
    "LayerCall",
    "LayerNorm",
    "Readout",
    "Reshape",
]
