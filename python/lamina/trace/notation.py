"""Equations as data: symbols and the signs between them, written as Unicode, ASCII or LaTeX.

An equation is a tuple of parts: a `Sym` (a matrix with its index, perhaps transposed) or a string of signs in Unicode.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, NamedTuple

import numpy as np

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
ROOT = r"\operatorname{sqrt}"
SIGNS = {  # Unicode -> (ASCII, LaTeX)
    "⊙": ("*", r"\odot "),
    "·": ("*", r"\cdot "),
    "×": ("x", r"\times "),
    "−": ("-", "-"),
    "←": ("<-", r"\leftarrow "),
    "→": ("->", r"\rightarrow "),
    "√": ("sqrt", ROOT),
    "Σ": ("sum", r"\textstyle\sum "),
    "σ": ("sigmoid", r"\sigma "),
    "∂": ("d", r"\partial "),
    "Δ": ("D", r"\Delta "),
    "β": ("beta", r"\beta "),
    "γ": ("gamma", r"\gamma "),
    "ε": ("eps", r"\varepsilon "),
    "ρ": ("rho", r"\rho "),
    "ψ": ("psi", r"\psi "),
    "Π": ("Pi", r"\Pi "),
    "α": ("alpha", r"\alpha "),
    "τ": ("tau", r"\tau "),
    "η": ("eta", r"\eta "),
    "μ": ("mu", r"\mu "),
    "≥": (">=", r"\ge "),
    "≤": ("<=", r"\le "),
    "≠": ("!=", r"\ne "),
    "′": ("'", "'"),
    "²": ("^2", "^{2}"),
    "³": ("^3", "^{3}"),
    "ᵀ": ("^T", r"^{\mathsf T}"),
    "ᵗ": ("^t", "^{t}"),
    "ᵢ": ("_i", "_{i}"),
    "₁": ("1", "_{1}"),
    "₂": ("2", "_{2}"),
    "₊": ("+", "_{+}"),
    "₋": ("-", "_{-}"),
    "‖": ("|", r"\Vert "),
    "–": ("-", "--"),
    "µ": ("u", r"\mu "),
    "…": ("...", r"\ldots "),
}


GREEK = {"β": "beta", "γ": "gamma", "μ": "mu"}  # names of tensors, as `trace["gamma1"]` takes them
PRIME = "'"


class Sym(NamedTuple):
    """A named tensor in an equation: `Sym("W", "1", gradient=True, transposed=True)` is written dW1^T."""

    name: str
    sub: str = ""
    gradient: bool = False
    transposed: bool = False

    @property
    def T(self) -> Sym:
        """The same, transposed."""
        return self._replace(transposed=not self.transposed)

    @property
    def d(self) -> Sym:
        """The gradient of the loss with respect to it."""
        return self._replace(gradient=True)

    @property
    def plain(self) -> str:
        """The name in ASCII, as `trace["dW1"]` takes it."""
        return f"{self.prefix}{GREEK.get(self.name.rstrip('′'), self.name.rstrip('′'))}{self.name.count('′') * PRIME}{self.sub}"

    @property
    def prefix(self) -> str:
        """What marks a gradient: d before a letter, which may have a number, d_ before a longer name."""
        return "" if not self.gradient else "d" if len(self.name.rstrip("0123456789′")) == 1 else "d_"

    def unicode(self) -> str:
        """dW₁ᵀ"""
        return f"{self.prefix}{self.name}{self.sub.translate(SUBSCRIPTS)}{'ᵀ' if self.transposed else ''}"

    def ascii(self) -> str:
        """dW1^T"""
        return self.plain + ("^T" if self.transposed else "")

    def latex(self) -> str:
        r"""\mathrm{d}W_{1}^{\mathsf T}"""
        primes = self.name.count("′") * "'"
        name = self.name.replace("′", "")
        letter = len(name) == 1 and name.isascii()
        body = rf"\{GREEK[name]}" if name in GREEK else name if letter else rf"\textit{{{escape_text(name)}}}"
        sub = f"_{{{self.sub}}}" if self.sub else ""
        mark = rf"^{{{primes and primes.replace(chr(39), chr(92) + 'prime ')}{chr(92) + 'mathsf T' if self.transposed else ''}}}"
        return (r"\mathrm{d}" if self.gradient else "") + body + sub + (mark if primes or self.transposed else "")


Part = Sym | str
Equation = tuple[Part, ...]


def text(equation: Equation, ascii: bool = False) -> str:
    """The equation in one line.

    >>> z = (Sym("Z", "1"), " = ", Sym("X"), " ", Sym("W", "1"), " + 1 ", Sym("b", "1").T)
    >>> text(z, ascii=True)
    'Z1 = X W1 + 1 b1^T'
    """
    if ascii:
        return "".join(p.ascii() if isinstance(p, Sym) else to_ascii(p) for p in equation)
    return "".join(p.unicode() if isinstance(p, Sym) else p for p in equation)


def to_ascii(line: str) -> str:
    """A line of text without any sign beyond ASCII.

    >>> to_ascii("A₁ ⊙ B")
    'A1 * B'
    """
    if line.isascii():
        return line
    out = "".join(SIGNS[c][0] if c in SIGNS else c for c in line)
    for i, subscript in enumerate("₀₁₂₃₄₅₆₇₈₉"):
        out = out.replace(subscript, str(i))
    return out.encode("ascii", "replace").decode()


def latex(equation: Equation) -> str:
    r"""The equation for LaTeX's math mode.

    >>> latex(("√(v / (1 − β₂ᵗ)) + ε",))
    '\\sqrt{v/(1-\\beta _{2}^{t})}+\\varepsilon '
    """
    return _roots("".join(p.latex() if isinstance(p, Sym) else _latex_signs(p) for p in equation))


def _roots(written: str) -> str:
    """Roots over what their parentheses hold, and powers of it."""
    while (at := max(written.find(ROOT + "("), written.find("^("))) >= 0:
        sign = "^" if written[at] == "^" else ROOT
        start = end = at + len(sign)
        depth = 0
        while end < len(written):
            depth += {"(": 1, ")": -1}.get(written[end], 0)
            end += 1
            if depth == 0:
                break
        above = rf"{'^' if sign == '^' else chr(92) + 'sqrt'}{{{written[start + 1 : end - 1]}}}"
        written = f"{written[:at]}{above}{written[end:]}"
    return written


def _latex_signs(signs: str) -> str:
    signs = re.sub(r"(\d)e([−+]?)0*(\d+)", lambda m: rf"{m[1]}·10^({m[2].replace('+', '')}{m[3]})", signs)
    pieces = []
    for piece in re.findall(r"[A-Za-z][A-Za-z0-9_]+|.", signs):
        if len(piece) > 1:
            pieces.append(rf"\operatorname{{{_escape(piece)}}}")
        elif piece in SIGNS:
            pieces.append(SIGNS[piece][1])
        elif piece == " ":
            pieces.append(r"\,")
        else:
            pieces.append(_escape(piece))
    written = re.sub(r"\^(?:\(((?:[^()]|\([^()]*\))*)\)|([\d.]+))", r"^{\1\2}", "".join(pieces))
    return re.sub(r"(?:\\,)*([=+/-]|\\leftarrow |\\odot |\\cdot )(?:\\,)*", r"\1", written)


ESCAPES = {
    "\\": r"\backslash ", "{": r"\{", "}": r"\}", "_": r"\_", "#": r"\#", "%": r"\%", "&": r"\&", "$": r"\$", "~": r"\sim ",
}  # fmt: skip


def _escape(plain: str) -> str:
    return "".join(ESCAPES.get(c, c) for c in plain)


def escape_text(plain: str) -> str:
    """Plain text for LaTeX outside of math mode."""
    table = {**ESCAPES, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    table |= {c: f"${c}$" for c in "<>|"}  # in text fonts these are other signs
    table |= {c: f"${sign.strip()}$" for c, (_, sign) in SIGNS.items()}
    return "".join(table.get(c, c) if c in table or c < "\u0180" else _greek(c) for c in plain)  # below: accents, which LaTeX has


def _greek(c: str) -> str:
    """A small Greek letter as LaTeX calls it; of another sign, which pdfLaTeX lacks, a question mark."""
    name = unicodedata.name(c, "").removeprefix("GREEK SMALL LETTER ").lower().replace("lamda", "lambda")
    return rf"$\{name}$" if "α" <= c <= "ω" and name.isalpha() and name != "omicron" else "?"


def number(value: Any, digits: int = 4) -> str:
    """A number with so many significant digits, without a leading zero: .393, −.15, 1.2e−05.

    >>> number(0.39314), number(-2.0), number(12345678.0), number(-0.0)
    ('.3931', '−2', '1.235e+07', '0')
    """
    if isinstance(value, (bool, np.bool_)):
        return "1" if value else "0"
    if isinstance(value, (int, np.integer)):
        return str(int(value)).replace("-", "−")
    out = f"{float(value) + 0.0:.{digits}g}"  # + 0.0: no −0
    if out.startswith("0."):
        out = out[1:]
    elif out.startswith("-0."):
        out = "-" + out[2:]
    return out.replace("-", "−")


def in_formula(value: Any, digits: int = 4) -> str:
    """A number as a factor: negative ones in parentheses."""
    out = number(value, digits)
    return f"({out})" if out.startswith("−") else out


def shape_text(shape: tuple[Any, ...]) -> str:
    """2×4, 3, scalar."""
    return "×".join(str(n).replace("*", "") for n in shape) if len(shape) else "scalar"


def short(name: str, most: int) -> str:
    """A step's name in about so many letters, cut at a plus.

    >>> short("matmul+add+relu", 15), short("matmul+add+relu", 12)
    ('matmul+add+relu', 'matmul+...')
    """
    return name if len(name) <= most else name[: most - 3].rsplit("+", 1)[0] + "+..."
