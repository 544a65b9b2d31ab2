"""Tensors and parameters, what makes them, and what is derived from their graphs: functions, gradients, products with Jacobians."""
