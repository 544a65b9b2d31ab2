"""Linear algebra: given arrays, an operation computes at once; given tensors, it builds nodes that can be differentiated, as often
as one likes.

Matrices are the last two axes, (.., m, n); leading axes are a stack of them. float32 stays float32; whole numbers become float64.
A matrix of 0 rows or columns, or a stack of none, has an (empty) answer wherever mathematics has one; a matrix with NaN or infinity
is a LinAlgError wherever LAPACK works on it.
What LAPACK does here is a "host" node, which calls NumPy when the program runs; everything else is the core's own operations. So
are `lu`, `expm`, `solve_triangular`, `cholesky` up to 512 rows, and `inv`, `solve`, `det`, `slogdet` up to 64: of 4 rows they take
0.5 to 1.6 us. All but `solve_triangular` are computed in float64 whatever the type.
Threads and bits of LAPACK are those of NumPy's OpenBLAS, which OPENBLAS_NUM_THREADS tells how many before the import.

>>> import lamina as lm, numpy as np
>>> a = lm.placeholder((2, 2), "float64")
>>> f = lm.function([a], lm.grad(lm.linalg.det(a), a))
>>> f(np.array([[1.0, 2.0], [3.0, 4.0]])).round(12)
array([[ 4., -3.],
       [-2.,  1.]])
"""

from typing import TYPE_CHECKING

from lamina.base import names as _names
from lamina.linalg.basic import add, dot, kron, matmul, matvec, norm, outer, scale, subtract, trace, transpose
from lamina.linalg.errors import LinAlgError
from lamina.linalg.factors import LU, QR, SVD, Eigh, cholesky, eigh, lu, qr, singular_values, svd
from lamina.linalg.functions import SLogDet, cond, det, expm, matrix_power, matrix_rank, slogdet
from lamina.linalg.solving import inv, lstsq, pinv, solve
from lamina.linalg.triangular import solve_triangular

__all__ = [
    "LU",
    "QR",
    "SVD",
    "Eigh",
    "LinAlgError",
    "SLogDet",
    "add",
    "cholesky",
    "cond",
    "det",
    "dot",
    "eigh",
    "expm",
    "inv",
    "kron",
    "lstsq",
    "lu",
    "matmul",
    "matrix_power",
    "matrix_rank",
    "matvec",
    "norm",
    "outer",
    "pinv",
    "qr",
    "scale",
    "singular_values",
    "slogdet",
    "solve",
    "solve_triangular",
    "subtract",
    "svd",
    "trace",
    "transpose",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _names.attributes(__name__, filter(str.islower, __all__), __all__)  # eigh, not the Eigh that it returns
