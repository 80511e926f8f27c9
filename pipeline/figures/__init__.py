"""Every figure of the paper: from the tables in reports/results to reports/figures/*.svg.

A figure is a function Results -> Drawing (a matplotlib Figure, its caption, its alt text, the files it read).
A new figure is one such function and its name in `FIGURES`.
"""

import json
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

from pipeline.figures.calibration import calibration
from pipeline.figures.comparisons import comparisons, profiles, variances
from pipeline.figures.critic_estimates import critic_estimates
from pipeline.figures.curves import (
    generator_gradient_norms,
    many_modes_through_training,
    modes_through_training,
    spread_through_training,
)
from pipeline.figures.distances import likelihood_spread, three_panels
from pipeline.figures.exact import distance_jsd, slope_map
from pipeline.figures.fits import f_gan_fits, parallel_lines
from pipeline.figures.fresh_critics import fresh_critics_course, fresh_critics_decay
from pipeline.figures.frozen import frozen_and_total
from pipeline.figures.function_space import critic_and_game
from pipeline.figures.games import games_bilinear, games_dirac, games_rates
from pipeline.figures.intervals import (
    intervals_digits,
    intervals_grid,
    intervals_ring,
    intervals_stacked_digits,
)
from pipeline.figures.samples import digits_samples, ring_samples
from pipeline.figures.style import RC, Drawing
from pipeline.figures.svg import save
from pipeline.figures.tables import FOLDER, RESULTS, Results
from pipeline.figures.vanishing import vanishing_and_collapse

FIGURES: dict[str, Callable[[Results], Drawing | None]] = {
    "ring_samples": ring_samples,
    "digits_samples": digits_samples,
    "modes_through_training": modes_through_training,
    "many_modes_through_training": many_modes_through_training,
    "spread_through_training": spread_through_training,
    "generator_gradient_norms": generator_gradient_norms,
    "intervals_ring": intervals_ring,
    "intervals_digits": intervals_digits,
    "comparisons": comparisons,
    "profiles": profiles,
    "variances": variances,
    "intervals_grid": intervals_grid,
    "intervals_stacked_digits": intervals_stacked_digits,
    "distance_jsd": distance_jsd,
    "slope_map": slope_map,
    "calibration": calibration,
    "critic_estimates": critic_estimates,
    "three_panels": three_panels,
    "likelihood_spread": likelihood_spread,
    "frozen_and_total": frozen_and_total,
    "fresh_critics_course": fresh_critics_course,
    "fresh_critics_decay": fresh_critics_decay,
    "function_space": critic_and_game,
    "vanishing_and_collapse": vanishing_and_collapse,
    "f_gan_fits": f_gan_fits,
    "parallel_lines": parallel_lines,
    "games_bilinear": games_bilinear,
    "games_dirac": games_dirac,
    "games_rates": games_rates,
}


def write_figures(root: Path) -> list[str]:
    """Write reports/figures/NAME.svg for every figure, and figures.json {name: {caption, alt, source}}.

    Reads root/reports/results only. A figure of a benchmark that the study does not have is left out, and
    an SVG that no figure wrote is removed. Returns the names written; raises UserError on missing tables.
    """
    results = Results(root / RESULTS)
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    index = {}
    for name, draw in FIGURES.items():
        with mpl.rc_context(RC):
            drawing = draw(results)
        if drawing is None:
            continue
        save(drawing.figure, folder / f"{name}.svg")
        index[name] = {
            "caption": drawing.caption,
            "alt": drawing.alt,
            "source": [f"results/{file}" for file in drawing.source],
        }
    for path in folder.glob("*.svg"):
        if path.stem not in index:
            path.unlink()
    text = json.dumps(index, indent=1, ensure_ascii=False)
    (folder / "figures.json").write_text(text + "\n", encoding="utf-8")
    return list(index)
