"""Lesson 1: vectors and matrices. All that a neural network computes is made of what stands here.

Run it with `lamina lesson 1`, or `python lessons/01_vectors_matrices.py`. Read it from top to bottom: each block prints what it
shows, and the asserts say what must hold. The last block writes a picture, lesson_1.svg.
To do: change one thing, and say before you run it what fails, and why. In 2: [2, 5] for [0, 5]. In 4: `A.T @ B.T` for `B.T @ A.T`.
In 6: 4.1 for the last 4.0 of `singular`. In 7: `np.ones(3)` for `np.ones(2)`.
"""

from pathlib import Path

import numpy as np

import lamina as lm
from lamina.draw.canvas import Box, Canvas
from lamina.draw.heatmap import heatmap
from lamina.draw.theme import LIGHT
from lamina.trace.notation import Sym


def show(title, *values):
    print(f"\n{title}")
    for value in values:
        print(np.array2string(np.asarray(value), precision=3, suppress_small=True, prefix="  ").join(("  ", "")))


# ---- 1. A vector is a list of numbers; a matrix is a table of them. Vectors of one length are added number by number.
a = np.array([1.0, 2.0, 3.0])
b = np.array([0.5, -1.0, 2.0])
show("a + b, a - b, 2 a", a + b, a - b, 2 * a)
assert np.allclose(a + b, [1.5, 1.0, 5.0])

# ---- 2. The dot product multiplies pairs and adds them up. It is large where two vectors point the same way, 0 at a right angle.
show("a . b = 1*.5 + 2*(-1) + 3*2", a @ b)
assert a @ b == 1 * 0.5 + 2 * (-1) + 3 * 2
assert np.array([1, 0]) @ np.array([0, 5]) == 0

# ---- 3. A matrix product C = A B, in three ways that give the same numbers. (2x3)(3x2) -> 2x2: the inner lengths must be equal.
A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
B = np.array([[1.0, 0.0], [0.5, -1.0], [2.0, 1.0]])

# a) rows times columns: C[i, j] is row i of A dot column j of B. A neuron is such a dot product: inputs by weights.
by_dots = np.array([[A[i] @ B[:, j] for j in range(2)] for i in range(2)])

# b) a mixture of columns: column j of C mixes the columns of A, and column j of B says how much of each.
by_columns = np.stack([sum(B[k, j] * A[:, k] for k in range(3)) for j in range(2)], axis=1)

# c) a sum of outer products: column k of A times row k of B is a whole matrix, and C is the sum of them.
#    This is how a gradient adds up over a batch: one outer product a sample (lesson 3).
by_outer_products = sum(np.outer(A[:, k], B[k]) for k in range(3))

show("A B, three ways", by_dots, by_columns, by_outer_products)
assert np.allclose(by_dots, A @ B) and np.allclose(by_columns, A @ B) and np.allclose(by_outer_products, A @ B)
assert np.allclose(lm.matmul(A, B), A @ B)  # Lamina's operations take arrays, too

# ---- 4. The transpose turns rows into columns. A product is transposed by transposing both and swapping them: (A B)^T = B^T A^T.
show("A^T", A.T)
assert np.allclose((A @ B).T, B.T @ A.T)

# ---- 5. The order matters: A B is 2x2, B A is 3x3.
assert (A @ B).shape == (2, 2) and (B @ A).shape == (3, 3)

# ---- 6. The inverse undoes a square matrix; solving M x = c finds the x that M takes to c, faster and more exactly than inverting.
M = np.array([[2.0, 1.0], [1.0, 3.0]])
c = np.array([3.0, 5.0])
x = np.linalg.solve(M, c)
show("x with M x = c", x)
assert np.allclose(M @ x, c) and np.allclose(np.linalg.inv(M) @ c, x) and np.allclose(np.linalg.inv(M) @ M, np.eye(2))

singular = np.array([[1.0, 2.0], [2.0, 4.0]])  # the second row is twice the first: two different x have the same M x
assert abs(np.linalg.det(singular)) < 1e-12  # so nothing can undo it

# ---- 7. A layer: Z = X W + 1 b^T. Each ROW of X is a sample. The bias b is added to every row: as math, the outer product of a
#         column of ones with b. (NumPy and Lamina "broadcast" it: the ones are never written down.)
X = np.array([[0.8, -0.5, 0.3], [0.1, 0.9, -0.4]])  # 2 samples of 3 numbers
W = np.array([[0.4, -0.2], [0.3, 0.8], [-0.6, 0.5]])  # 3 inputs, 2 neurons: a column holds a neuron's weights
bias = np.array([0.1, -0.3])
Z = X @ W + np.outer(np.ones(2), bias)
show("Z = X W + 1 b^T", Z)
assert np.allclose(Z, X @ W + bias)

layer = lm.Dense(2)
net = lm.Sequential(layer, dtype="float64").build(3)
net.parameters["dense_1.weight"], net.parameters["dense_1.bias"] = W, bias
assert np.allclose(net.predict(X), Z)  # the same layer in Lamina

# ---- 8. A shape error tells where it happened, what was expected, what came, and what to do.
try:
    net.predict(X[:, :2])
except ValueError as error:
    message = str(error)
print(f"\nA layer for 3 inputs is given 2:\n  {message}")
assert "expected" in message and "got" in message

# ---- 9. The picture: the colour of a cell is its number, orange below 0 and blue above. Each matrix has a scale of its own: the
#         darkest colour is its largest number, which stands below it. So one colour in two matrices may be two numbers.
canvas = Canvas(580, 190, LIGHT)
left = 40.0
for sign, symbol, value in (("", Sym("X"), X), ("·", Sym("W"), W), ("+", Sym("b"), bias[None]), ("=", Sym("Z"), Z)):
    rows, columns = value.shape
    canvas.text(left - 24, 108, sign, 22, anchor="middle")
    box = Box(left, 100 - 18 * rows, 36 * columns, 36 * rows)
    heatmap(canvas, box, value, symbol.name)
    canvas.equation(box.cx, box.y - 10, (symbol,), 18)
    canvas.text(box.cx, box.bottom + 18, f"darkest {abs(value).max():.2g}", 12, anchor="middle", fill=LIGHT.muted)
    left += 36 * columns + 56
Path("lesson_1.svg").write_text(canvas.svg("Z = X W + 1 b^T", "Four matrices as coloured cells"), encoding="utf-8")
assert not canvas.overlapping()
print("\nwrote lesson_1.svg")
