"""The trial of estimators: its truths, its tables and its limits."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy.stats import norm
from scipy.stats import t as student

from pipeline.calibration import TRIALS, calibrate, pairs_for
from pipeline.calibration.pairs import DATA, MIXTURES, Pair, flattened_to_truth, pairs, widths_to_truth
from pipeline.calibration.trial import (
    LEVEL,
    LIMIT_COLUMNS,
    REJECTS,
    TRIAL_COLUMNS,
    trial_to_limits,
    try_estimator,
)
from pipeline.config import CalibrationPlan, DigitsData, Setting
from pipeline.data.mixtures import Mixture
from pipeline.errors import UserError
from pipeline.metrics.estimators.interface import Estimator
from pipeline.plan import CALIBRATION, PLAN
from pipeline.settings import write_model
from pipeline.trust import Range, floor_ranges, mark, ranges

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("width", [0.5, 2.0, 8.0])
def test_modes_of_another_width_against_a_grid(width: float) -> None:
    """A Riemann sum over one mode: 2,000^2 cells out to 9 std of the wider one hold six digits."""
    edge = 9 * max(1.0, width)
    axis = torch.linspace(-edge, edge, 2001, dtype=torch.float64)
    squared = axis[:, None] ** 2 + axis[None] ** 2
    cell = float(axis[1] - axis[0]) ** 2
    p = torch.exp(-squared / 2) / (2 * math.pi)
    q = torch.exp(-squared / (2 * width**2)) / (2 * math.pi * width**2)
    middle = (p + q) / 2
    expected = {
        "kl": torch.where(p > 0, torch.xlogy(p, p) - p * q.log(), 0 * p),
        "reverse_kl": q * (q.log() + squared / 2 + math.log(2 * math.pi)),
        "jensen_shannon": (torch.xlogy(p, p) + torch.xlogy(q, q)) / 2 - torch.xlogy(middle, middle),
        "total_variation": (p - q).abs() / 2,
        "squared_hellinger": (p.sqrt() - q.sqrt()).square(),
    }
    got = widths_to_truth(width, 0.01)
    for name, density in expected.items():
        assert got[name] == pytest.approx(float(density.sum()) * cell, rel=1e-5), name
    # One-dimensional quantiles of the radius: Rayleigh, stretched by the width.
    radius = np.sqrt(-2 * np.log1p(-(np.arange(200_000) + 0.5) / 200_000))
    moved = abs(width - 1) * radius * 0.01
    assert got["wasserstein_1"] == pytest.approx(moved.mean(), rel=1e-4)
    assert got["wasserstein_2"] == pytest.approx(math.sqrt((moved**2).mean()), rel=1e-4)
    with pytest.raises(ValueError, match="other than 1"):
        widths_to_truth(1.0, 0.01)


@pytest.mark.parametrize("width", [0.5, 0.2, 3.0])
def test_flattened_modes_against_a_grid(width: float) -> None:
    """A Riemann sum over the axis that differs."""
    x = np.linspace(-12 * max(1, width), 12 * max(1, width), 400_001)
    p, q = norm.pdf(x), norm.pdf(x, scale=width)
    log_p, log_q = norm.logpdf(x), norm.logpdf(x, scale=width)
    log_m = np.logaddexp(log_p, log_q) - math.log(2)
    expected = {
        "kl": p * (log_p - log_q),
        "reverse_kl": q * (log_q - log_p),
        "jensen_shannon": (p * (log_p - log_m) + q * (log_q - log_m)) / 2,
        "total_variation": abs(p - q) / 2,
        "squared_hellinger": (np.sqrt(p) - np.sqrt(q)) ** 2,
    }
    got = flattened_to_truth(width)
    for name, density in expected.items():
        assert got[name] == pytest.approx(density.sum() * (x[1] - x[0]), rel=1e-5), name
    assert got["two_sample_accuracy"] == (1 + got["total_variation"]) / 2
    with pytest.raises(ValueError, match="other than 1"):
        flattened_to_truth(1.0)


@pytest.mark.parametrize(
    "name", ["ring_aside_2", "ring_flat_0.5", "grid_aside_6", "grid_flat_0.2", "ring_aside_50"]
)
def test_the_truth_of_a_mixture_of_all_modes(name: str) -> None:
    """KL(q || p) and JSD as means over 100,000 samples, both mixtures' densities over all modes: so that the
    truth by one pair of modes holds where modes have neighbours. Within 4 standard errors."""
    pair = next(one for one in pairs() if one.name == name)
    data, n = MIXTURES[pair.family], 100_000
    at_q, at_p = (draw(n, torch.Generator().manual_seed(8)).double() for draw in (pair.fake, pair.real))

    def log_q(x: torch.Tensor) -> torch.Tensor:
        if "aside" in name:
            outwards = data.means / data.means.norm(dim=1, keepdim=True)
            along = outwards if pair.family == "ring" else torch.tensor([[1.0, 0.0]], dtype=torch.float64)
            return Mixture(data.means + pair.size * data.std * along, data.std, data.weights).log_density(x)
        stretched = torch.tensor([1.0, 1 / pair.size], dtype=torch.float64)
        flat = Mixture(data.means * stretched, data.std, data.weights)
        return flat.log_density(x * stretched) - math.log(pair.size)

    for points, sides in ((at_q, {"reverse_kl"}), (at_p, {"kl"})):
        difference = data.log_density(points) - log_q(points)
        values = -difference if "reverse_kl" in sides else difference
        (side,) = sides
        error = 4 * float(values.std()) / math.sqrt(n)
        assert float(values.mean()) == pytest.approx(pair.truth[side], abs=error), side
    gains = [
        math.log(2) - torch.nn.functional.softplus(own)
        for own in (log_q(at_p) - data.log_density(at_p), data.log_density(at_q) - log_q(at_q))
    ]
    error = 4 * math.sqrt(sum(float(one.var()) for one in gains) / n) / 2
    assert float(sum(one.mean() for one in gains)) / 2 == pytest.approx(
        pair.truth["jensen_shannon"], abs=error + 1e-9
    )


def test_every_family_begins_with_equal_laws_and_names_are_unique() -> None:
    found = pairs()
    assert len({pair.name for pair in found}) == len(found)
    for family in dict.fromkeys(pair.family for pair in found):
        first, *others = [pair for pair in found if pair.family == family]
        assert first.size == 0
        assert all(pair.size > 0 for pair in others)
        assert first.truth["kl"] == pytest.approx(0, abs=1e-12)
        assert all(pair.truth["kl"] > 0 for pair in others)


def test_samples_of_a_pair_are_of_its_laws() -> None:
    """Shares of the modes, means and deviations of 20,000 samples within 5 standard errors."""
    n = 20_000
    for pair in pairs():
        fake = pair.fake(n, torch.Generator().manual_seed(3)).double()
        assert fake.shape == (n, pair.dimensions)
        if pair.family.startswith("normals"):
            centre = torch.zeros(pair.dimensions, dtype=torch.float64)
            centre[0] = pair.size
            assert float((fake.mean(0) - centre).abs().max()) < 5 / math.sqrt(n)
            continue
        data = MIXTURES[pair.family]
        nearest = torch.cdist(fake, data.means).argmin(1)
        shares = torch.bincount(nearest, minlength=data.modes).double() / n
        kl = float((torch.xlogy(shares, shares * data.modes)).sum())
        if "aside" in pair.name or "flat" in pair.name:
            continue  # see test_the_truth_of_a_mixture_of_all_modes
        if "width" in pair.name:
            spread = float((fake - data.means[nearest]).std()) / data.std
            if pair.size < 8:  # wider modes reach into each other's cells
                assert spread == pytest.approx(pair.size, rel=5 / math.sqrt(2 * n))
        else:
            # Of a histogram of K cells the KL scatters by less than K/(2 N) + 5 sqrt(KL/N).
            assert kl == pytest.approx(
                pair.truth["reverse_kl"], abs=data.modes / n + 5 * math.sqrt((kl + 0.01) / n)
            )


def shifted(name: str = "shifted", largest: int | None = None) -> Estimator:
    """The squared difference of the means, at most `largest` samples of each."""

    def function(real: torch.Tensor, fake: torch.Tensor, _: torch.Generator) -> dict[str, torch.Tensor]:
        return {"kl": (fake.mean(1) - real.mean(1)).square().sum(1) / 2}

    return Estimator(name, name, ("kl",), function, "O(N)", "here", largest_samples=largest)


def normals() -> list[Pair]:
    return [pair for pair in pairs() if pair.family == "normals_1d"]


def test_the_trial_of_an_estimator_that_is_understood() -> None:
    """|mean difference|^2/2 is (2/N) chi^2_1 / 2 at equal laws: mean 1/N, deviation sqrt(2)/N."""
    n, repeats = 400, 400
    rows, seconds = try_estimator(shifted(), normals(), (n,), repeats, stacked=False)
    table = pd.DataFrame(rows, columns=TRIAL_COLUMNS).set_index("pair")
    equal, far = table.loc["normals_1d_0"], table.loc["normals_1d_4"]
    # Standard error of the mean: sqrt(2)/N/20, so 4 of them are 0.28/N.
    assert equal["mean"] == pytest.approx(1 / n, abs=0.28 / n)
    assert equal.spread == pytest.approx(math.sqrt(2) / n, rel=0.3)
    # Delta method: 4 (delta) sqrt(2/N) at distance 4, and 1/N of bias.
    assert far["mean"] == pytest.approx(8 + 1 / n, abs=4 * 4 * math.sqrt(2 / n) / math.sqrt(repeats))
    assert far.spread == pytest.approx(4 * math.sqrt(2 / n), rel=0.15)
    assert (table.repeats == repeats).all()
    assert (table.lost == 0).all()
    assert list(seconds) == [n]

    limits = pd.DataFrame(trial_to_limits(rows, normals()), columns=LIMIT_COLUMNS).iloc[0]
    assert limits.floor == equal["mean"]
    reach = student.ppf(0.95, repeats - 1) * math.sqrt(1 + 1 / repeats)
    assert limits.critical == pytest.approx(equal["mean"] + reach * equal.spread)
    # 0.25 apart, mean - 1.65 spread is 0.034 - 1.65 * 0.25 sqrt(2/400) = 0.005, below `critical`, which is
    # 1/400 + 1.65 sqrt(2)/400 = 0.008; 0.5 apart it is 0.07.
    assert limits.smallest_distance == 0.5
    assert limits.smallest == 0.125
    assert (limits.largest, limits.beyond) == (far["mean"], "untried"), "right to the farthest pair"
    assert limits.not_told == 0.25**2 / 2
    assert limits.repeats == repeats


def test_what_can_be_believed_ends_where_a_pair_is_misjudged() -> None:
    """By hand: 40 repeats without spread; the pair of infinite truth says 3, the one of truth 4 says 2."""
    said = {"ring_equal": (0.0, 0.0), "ring_shares_2": (0.02, 0.02), "ring_width_8": (4.0, 2.0)}
    rows = [("kl", name, 100, 40, truth, mean, 0.0, 0) for name, (truth, mean) in said.items()]
    rows.append(("kl", "ring_missing_1", 100, 40, math.inf, 3.0, 0.0, 0))

    def believed(chosen: list[tuple[object, ...]]) -> tuple[object, ...]:
        ((*_, least, largest, beyond),) = trial_to_limits(chosen, pairs())
        return least, largest, beyond

    assert believed(rows) == (0, 2, "wrong")
    assert believed([row for row in rows if row[1] != "ring_width_8"]) == (0, 3, "wrong")
    assert believed(rows[:2]) == (0, 0.02, "untried")
    assert all(map(math.isnan, believed(rows[:1])[:2]))
    # Overstated: 0.5 for 0.1, with a spread; what lies above that can be believed.
    over = [*rows[:2], ("kl", "ring_shares_10", 100, 40, 0.1, 0.5, 0.01, 0)]
    reach = student.ppf(0.95, 39) * math.sqrt(1 + 1 / 40) * 0.01
    assert believed(over) == (pytest.approx(0.5 + reach), 0.5, "untried")


def test_what_is_not_told_from_zero_does_not_count_as_misjudged() -> None:
    """The wide ring is blind (0 for 4): its estimates are marked as zero, and others keep their range."""
    said = {"ring_equal": (0.0, 0.0), "ring_shares_2": (0.02, 0.02), "ring_width_8": (4.0, -0.01)}
    rows = [("kl", name, 100, 40, truth, mean, 0.0, 0) for name, (truth, mean) in said.items()]
    (limits,) = (dict(zip(LIMIT_COLUMNS, row, strict=True)) for row in trial_to_limits(rows, pairs()))
    assert (limits["least"], limits["largest"], limits["beyond"]) == (0, 0.02, "untried")
    assert limits["not_told"] == 4
    assert math.isnan(limits["smallest"]), "the farthest pair is not told"


def test_nothing_lies_beyond_the_largest_value_that_there_is() -> None:
    said = {"ring_equal": (0.0, 0.0), "ring_aside_300": (math.log(2), 0.69)}
    rows = [("jensen_shannon", name, 100, 40, truth, mean, 0.0, 0) for name, (truth, mean) in said.items()]
    ((*_, largest, beyond),) = trial_to_limits(rows, pairs())
    assert (largest, beyond) == (math.inf, "")


def test_the_two_sample_test_is_tried_by_how_often_it_rejects() -> None:
    def function(real: torch.Tensor, fake: torch.Tensor, _: torch.Generator) -> dict[str, torch.Tensor]:
        return {"two_sample_p_value": (fake.mean(1) - real.mean(1)).abs()[:, 0]}

    estimator = Estimator("p", "p", ("two_sample_p_value",), function, "O(N)", "here")
    # Means of 10,000: at equal laws they differ by less than 0.05 always, at distance 4 never.
    rows, _ = try_estimator(estimator, normals(), (10_000,), 4, stacked=False)
    found = {row[1]: row for row in rows}
    assert found["normals_1d_0"][:1] + found["normals_1d_0"][4:6] == (REJECTS, LEVEL, 1.0)
    assert found["normals_1d_4"][5] == 0.0
    assert trial_to_limits(rows, normals()) == []


def test_skewed_estimates_exceed_the_critical_value_at_most_twice_as_often() -> None:
    """Squared MMD of 250 samples at equal laws: `critical` of 50 values, exceeded by 4 % to 10 % of all 400.

    Over 8 sets of 50 the standard error is about 1 %.
    """
    kernel, equal = TRIALS["kernel"], normals()[:1]
    values = np.array(
        [
            float(kernel(*torch.randn(2, 1, 250, 1, generator=generator), generator)["mmd_squared"])
            for generator in (torch.Generator().manual_seed(i) for i in range(400))
        ]
    )
    exceeded = []
    for part in values.reshape(8, 50):
        row = ("mmd_squared", equal[0].name, 250, 50, 0.0, part.mean(), part.std(ddof=1), 0)
        (limits,) = trial_to_limits([row], equal)
        exceeded.append(float((values > limits[LIMIT_COLUMNS.index("critical")]).mean()))
    assert 0.04 < np.mean(exceeded) < 0.1


def test_an_estimate_is_the_same_whatever_else_is_tried_and_at_most_the_largest_n_is() -> None:
    one, _ = try_estimator(shifted(), normals()[2:3], (100,), 3, stacked=False)
    among, _ = try_estimator(shifted(), normals(), (50, 100), 3, stacked=False)
    assert one[0] in among
    rows, _ = try_estimator(shifted(largest=80), normals()[:1], (50, 100, 200), 3, stacked=False)
    assert [row[2] for row in rows] == [50, 80]


def test_slow_estimators_have_fewer_repeats_and_the_table_says_so() -> None:
    rows, _ = try_estimator(shifted("kernel"), normals()[:1], (100, 5000), 10, stacked=False)
    assert [(row[2], row[3]) for row in rows] == [(100, 10), (5000, 2)]


def test_what_never_exceeds_the_critical_value_has_no_smallest() -> None:
    def blind(real: torch.Tensor, fake: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {"kl": torch.randn(len(real), generator=generator)}

    estimator = Estimator("blind", "blind", ("kl",), blind, "O(1)", "here")
    rows, _ = try_estimator(estimator, normals()[:3], (50,), 20, stacked=False)
    (limits,) = trial_to_limits(rows, normals())
    assert math.isnan(limits[LIMIT_COLUMNS.index("smallest")])
    assert math.isnan(limits[LIMIT_COLUMNS.index("smallest_distance")])


def test_the_stages_are_the_estimators_and_each_meets_the_pairs_it_is_meant_for() -> None:
    (listed,) = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["vars"]
    assert listed["estimators"] == list(TRIALS)
    for name, estimator in TRIALS.items():
        families = {pair.family for pair in pairs_for(estimator)}
        if name.startswith("known_density"):
            assert families == {name.removeprefix("known_density_")}
        else:
            assert {"normals_1d", "normals_2d", "ring"} <= families
            assert "grid" not in families
        assert ("normals_64d" in families) == (estimator.largest_dimensions is None)


def test_the_tables_of_the_ring_mark_its_divergences(tmp_path: Path) -> None:
    """Written twice they are the same bytes; their limits mark what is reported of the ring at that N."""
    write_model(CalibrationPlan(samples=(100,), repeats=4), tmp_path / PLAN / CALIBRATION)
    folder = tmp_path / "reports" / "results" / "calibration"
    calibrate("known_density_ring", tmp_path)
    names = ["known_density_ring.csv.gz", "known_density_ring.json", "known_density_ring_limits.csv"]
    before = {name: (folder / name).read_bytes() for name in names}
    assert sorted(path.name for path in folder.iterdir()) == names
    calibrate("known_density_ring", tmp_path)
    assert {name: (folder / name).read_bytes() for name in names} == before

    network = {"widths": (4,), "activation": "relu"}
    setting = Setting.model_validate(
        {
            "data": DATA["ring"].model_dump(),
            "latent": 2,
            "generator": network | {"output": "linear"},
            "critic": network,
            "evaluation_samples": 100,
            "checkpoint_samples": 50,
            "collapse_below": 0.5,
        }
    )
    known = ranges(setting, tmp_path)
    assert set(known) == {"jsd", "kl_forward", "kl_reverse"}
    limits = pd.read_csv(folder / names[2]).set_index("quantity")
    assert known["jsd"].critical == limits.critical["jensen_shannon"]
    assert mark("jsd", known["jsd"].critical / 2, known) == "zero"
    assert mark("fid", 0.0, known) == ""
    assert ranges(setting.model_copy(update={"evaluation_samples": 101}), tmp_path) == {}
    wider = DATA["ring"].model_copy(update={"std": 0.02})
    assert ranges(setting.model_copy(update={"data": wider}), tmp_path) == {}
    digits = DigitsData(kind="digits", held_out=100, split_seed=0)
    assert ranges(setting.model_copy(update={"data": digits}), tmp_path) == {}
    assert mark("jsd", 0.1, {}) == "uncalibrated"
    (folder / names[1]).write_text("{}")
    with pytest.raises(UserError, match=r"known_density_ring: not what calibrate writes"):
        ranges(setting, tmp_path)


def test_a_mark_says_on_which_side_of_the_range_a_value_lies() -> None:
    known = Range(critical=0.1, least=0.3, largest=2.0, beyond="untried")
    marks = [known.mark(value) for value in (-1, 0.1, 0.2, 0.3, 2.0, 2.1, math.nan)]
    assert marks == ["zero", "zero", "wrong", "", "", "untried", ""]
    assert Range(0.1, 0.1, 2.0, "wrong").mark(2.1) == "wrong"
    assert Range(0.1, 0.1, math.inf, "").mark(1e9) == ""
    assert Range(0.1, math.nan, math.nan, "").mark(0.2) == "wrong", "nothing was seen above `critical`"


def test_a_floor_marks_what_cannot_be_told_from_real_data() -> None:
    fid = "fid_n599_held_out_classifier"
    rows = [
        {"benchmark": "digits", "metric": fid, "high": 0.6},
        {"benchmark": "digits", "metric": "precision_k3_n599_held_out_classifier", "high": 0.95},
        {"benchmark": "ring", "metric": "reverse_kl_modes_n2500", "high": 0.003},
    ]
    found = floor_ranges(rows, "digits")
    assert list(found) == [fid]
    marks = [found[fid].mark(value) for value in (0.5, 0.6, 0.7, 1e9, math.nan)]
    assert marks == ["zero", "zero", "", "", ""]


def test_an_unknown_estimator_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown estimator 'histogramm'; did you mean 'histogram'"):
        calibrate("histogramm", tmp_path)
