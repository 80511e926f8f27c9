"""One objective's curves as a figure file: phi and psi, the divergences d and B, the generator's slope s."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sympy as sp
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.objectives.analysis import Analysis, analyse
from pipeline.objectives.divergences import simplest
from pipeline.objectives.formulas import R
from pipeline.objectives.lowering import lower
from pipeline.objectives.objective import Objective
from pipeline.objectives.precise import derivative

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES: Final = (".svg", ".png", ".pdf")
# Okabe & Ito's colour-blind-safe orange-red, blue and green; each with its own dash.
_LOOK: Final = (("#D55E00", "-"), ("#0072B2", "--"), ("#009E73", ":"))
_SETTINGS: Final = {
    "svg.hashsalt": "gan-foundry", "svg.fonttype": "none", "font.size": 9.0, "axes.grid": True,
    "grid.color": "#d9d9d9", "grid.linewidth": 0.5, "axes.spines.top": False, "axes.spines.right": False,
}  # fmt: skip
_V: Final = torch.linspace(-4, 4, 321, dtype=torch.float64)
_NEAR: Final = torch.logspace(-1, 1, 321, dtype=torch.float64)
_WIDE: Final = torch.logspace(-4, 4, 321, dtype=torch.float64)
Curve = Callable[[Tensor], Tensor]


def check_plot_path(path: Path) -> None:
    """Raises UserError for another kind of file and for a folder that is not there."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"--plot {path}: the file's name must end in one of {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise UserError(f"--plot {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise UserError(f"--plot {path}: it is a folder")


def write_curves(objective: Objective, path: Path) -> None:
    """Write the figure; equal objectives give equal bytes. Raises UserError as `check_plot_path`."""
    check_plot_path(path)
    import matplotlib as mpl

    kind = path.suffix.lower().removeprefix(".")
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": None}
    with mpl.rc_context(_SETTINGS):  # type: ignore[arg-type]
        figure = draw_curves(objective)
        try:
            figure.savefig(path, format=kind, metadata=dates[kind], dpi=150)
        except OSError as error:
            raise UserError(f"--plot {path}: cannot be written ({error.strerror or error})") from None


def draw_curves(objective: Objective) -> "Figure":
    """One panel, and two more where omega exists; each curve has its name as its `gid`."""
    from matplotlib.figure import Figure

    found = analyse(objective.formulas)
    panels = 1 if found is None else 3
    figure = Figure(figsize=(3.4 * panels, 3.0), layout="constrained")
    figure.suptitle(objective.title)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _draw_gains(axes[0], objective)
    if found is not None:
        _draw_divergences(axes[1], objective, found)
        _draw_slope(axes[2], found)
    return figure


def _draw_gains(axes: "Axes", objective: Objective) -> None:
    t = objective.activation(_V).sort().values
    curves: dict[str, Curve] = {"phi": objective.phi, "psi": objective.psi, "beta": objective.beta}
    formulas = objective.formulas
    if objective.is_paired:
        del curves["psi"]
    if formulas.beta in (formulas.psi, formulas.phi):
        del curves["beta"]
    _plot(axes, t, {name: (f"$\\{name}$", curve) for name, curve in curves.items()})
    axes.set_xlabel(r"$\delta$, real $-$ fake" if objective.is_paired else "critic's output $t$")


def _draw_divergences(axes: "Axes", objective: Objective, found: Analysis) -> None:
    """Without their tangents at r = 1, which no divergence depends on."""
    d: sp.Expr = objective.formulas.divergence
    curves = {name: (f"${name}(r)$", _without_tangent(one)) for name, one in (("d", d), ("B", found.frozen))}
    _plot(axes, _NEAR, curves)
    axes.set_xscale("log")
    axes.set_xlabel("$r = q/p$")
    axes.set_title("less the tangent at $r = 1$", fontsize=8)


def _without_tangent(expression: sp.Expr) -> Curve:
    slope = float(simplest(derivative(expression, R).subs(R, 1)))
    value = lower(expression, R)
    return lambda r: value(r) - slope * (r - 1)


def _draw_slope(axes: "Axes", found: Analysis) -> None:
    slope = lower(found.slope, R)
    _plot(axes, _WIDE, {"s": ("", slope)})
    axes.set_xscale("log")
    if bool((slope(_WIDE) > 0).all()):
        axes.set_yscale("log")
    axes.set_xlabel("$r = q/p$")
    axes.set_title("the generator's slope $s(r) = r\\,B''(r)$", fontsize=8)


def _plot(axes: "Axes", x: Tensor, curves: Mapping[str, tuple[str, Curve]]) -> None:
    for (colour, dash), (name, (label, curve)) in zip(_LOOK, curves.items(), strict=False):
        options: dict[str, Any] = {"color": colour, "linestyle": dash, "label": label, "gid": name}
        axes.plot(x.numpy(), curve(x).numpy(), **options)
    if any(label for label, _ in curves.values()):
        axes.legend(frameon=False)
