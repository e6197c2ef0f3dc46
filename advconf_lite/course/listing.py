"""Algorithm 1 in our own typesetting, numbered as the paper's text counts its lines, beside the code that does each line.

The code is looked up in the source of `Algorithm1`, so there is no second copy that could be another one.
"""

from __future__ import annotations

import html
import inspect
import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from advconf_lite.adversarial import Algorithm1
from advconf_lite.support.errors import BadInput


class Line(NamedTuple):
    """One line of the listing; `keys` are pieces of the lines of `Algorithm1` that do it."""

    text: str
    depth: int = 0
    keys: tuple[str, ...] = ()
    heading: bool = False


LISTING = {
    1: Line("Notation", heading=True),
    2: Line("f_θ: the segmenter; z_θ: its features at the penultimate resolution level", 1),
    3: Line("C_φ: the confidence predictor; g: the true confidence, from 0 to 1", 1),
    4: Line("L: a loss of two scores", 1),
    5: Line("initialise θ, φ; α ← 0.8, η ← 0.01", keys=("alpha: float = 0.8, eta: float = 0.01",)),
    6: Line("ADV_BUFFER[0] ← (x₀, y₀) ∈ D", keys=("if self.x_adv is None",)),
    7: Line("while not converged: 1. form a batch of size 2B", keys=("def step(self",)),
    8: Line("new input (xᵢ, yᵢ) ∈ D: clean half C", 2, ("x, B = clean.x.detach(), len(clean.x)",)),
    9: Line("(x′ᵢ₋₁, yᵢ₋₁) ← ADV_BUFFER[i]: adversarial half A", 2, ("if self.x_adv is None",)),
    10: Line("2. forward pass, and update", 1, heading=True),
    11: Line("for all (x, y) ∈ C ∪ A", 1),
    12: Line("ŷ ← f_θ(x), z ← z_θ(x)", 2, ("adversarial = self.second_half",)),
    13: Line("ŝ ← C_φ(z), s ← g(ŷ, y)", 2, ("s_hat = self.head(", "s, s_adv = self.true_scores(clean)")),
    14: Line("end for", 1),
    15: Line("loss ← Σ L(ŝ, s) over C ∪ A", 1, ("loss = score_loss(",)),
    16: Line("update φ by back-propagating the loss", 1, ("self.update(loss)",)),
    17: Line("3. the next perturbations", 1, heading=True),
    18: Line("for all (x, y) ∈ C", 1),
    19: Line("∇ₓ ← ∂C_φ(z_θ(x)) / ∂x", 2, ("gradient = self.input_gradient(",)),
    20: Line("ε_Δ ← C_φ(z) − C_φ(z′) − Δₛ, α ← α − η ε_Δ", 2, ("drop = (self.s_hat_before", "self.alpha -= self.eta * (")),
    21: Line("δ ← −α ∇ₓ / (‖∇ₓ‖² + ε), x′ ← x + δ", 2, ("self.delta = -self.alpha", "return x + self.delta")),
    22: Line("end for", 1),
    23: Line("ADV_BUFFER[i + 1] ← (x′ᵢ, yᵢ)", 1, ("self.x_adv, self.y_adv = self.next_images(",)),
    24: Line("end while"),
}

_TABLE = "border-collapse:collapse;font-size:13px;line-height:1.35"
_CELL = "text-align:left;vertical-align:top;padding:1px 10px 1px 0;white-space:normal"
_MONO = "font-family:monospace;font-size:12px;background:none;white-space:pre-wrap"


def code_of(number: int) -> list[str]:
    """The lines of `Algorithm1` that do this line of the listing, as they stand in its source, without comments."""
    source = inspect.getsource(Algorithm1).splitlines()
    return [next(line.split("  # ")[0].strip() for line in source if key in line) for key in LISTING[number].keys]


class Listing:
    """Some lines of the listing beside their code, as a table where there is HTML, and as text elsewhere."""

    def __init__(self, numbers: tuple[int, ...], covered: tuple[int, ...] = ()) -> None:
        self.numbers, self.covered = numbers, covered

    def _code(self, number: int) -> list[str]:
        return ["(yours)"] if number in self.covered else code_of(number)

    def _repr_html_(self) -> str:
        head = "".join(f'<th style="{_CELL}">{title}</th>' for title in ("line", "Algorithm 1", "our code"))
        rows = []
        for number in self.numbers:
            line, code = LISTING[number], "<br>".join(map(html.escape, self._code(number)))
            text = re.sub(r"_([θφΔ])", r"<sub>\1</sub>", html.escape(line.text))
            text = f"<b>{text}</b>" if line.heading else text
            rows.append(
                f'<tr><td style="{_CELL}">{number}</td><td style="{_CELL};padding-left:{18 * line.depth}px">{text}</td>'
                f'<td style="{_CELL}"><code style="{_MONO}">{code}</code></td></tr>'
            )
        return f'<table style="{_TABLE}"><tr>{head}</tr>{"".join(rows)}</table>'

    def __repr__(self) -> str:
        """Without the code where all lines are asked for: a terminal has no room for both."""
        rows, beside = [], len(self.numbers) < len(LISTING)
        for number in self.numbers:
            line = LISTING[number]
            rows.append(f"{number:>2}  {'  ' * line.depth}{line.text}")
            if beside:
                rows += ["        " + textwrap.shorten(code, 90, placeholder=" ...") for code in self._code(number)]
        return "\n".join(rows)


def algorithm1(*numbers: int, covered: Sequence[int] = ()) -> Listing:
    """The listing of Algorithm 1 beside its code; without `numbers` all of it. Lines that are `covered`, as those which an
    exercise asks for, have no code.

    Raises:
        BadInput: a number that no line has.
    """
    if wrong := [number for number in (*numbers, *covered) if number not in LISTING]:
        raise BadInput(f"Algorithm 1 has no line {wrong[0]}; give numbers from 1 to {len(LISTING)}")
    return Listing(numbers or tuple(LISTING), tuple(covered))
