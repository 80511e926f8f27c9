"""Trained critics on known densities (D5, W5) and sample averages against expectations (D6)."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad

from pipeline.calibration import density_ratio, sample_average
from pipeline.calibration.density_ratio import DENSITY_RATIO_COLUMNS, Centred, density_ratio_rows, shared
from pipeline.calibration.sample_average import (
    PAIRS,
    SAMPLE_AVERAGE_COLUMNS,
    Normals,
    error_slope,
    exact,
    sample_average_rows,
)
from pipeline.errors import UserError
from pipeline.objectives import Objective, load_objectives
from pipeline.theory.recipe import with_omega

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def objectives() -> dict[str, Objective]:
    return load_objectives("objectives.yaml")


def some(objectives: Mapping[str, Objective], *names: str) -> dict[str, Objective]:
    return {name: objectives[name] for name in names}


def trained(objectives: Mapping[str, Objective], seeds: int, updates: int) -> Rows:
    rows = density_ratio_rows(objectives, seeds, updates)
    return [dict(zip(DENSITY_RATIO_COLUMNS, row, strict=True)) for row in rows]


def averaged(objectives: Mapping[str, Objective], samples: tuple[int, ...], repeats: int) -> Rows:
    rows = sample_average_rows(objectives, samples, repeats)
    return [dict(zip(SAMPLE_AVERAGE_COLUMNS, row, strict=True)) for row in rows]


# ---- the density ratio of trained critics


def test_rows_and_their_exact_values(objectives: dict[str, Objective]) -> None:
    rows = trained(some(objectives, "minimax", "hinge", "kl", "wasserstein"), 2, 1)
    keys = [(row["objective"], row["pair"], row["seed"]) for row in rows]
    pairs = density_ratio.TRAINED_ON
    assert keys == [(name, pair, seed) for name in ("minimax", "kl") for pair in pairs for seed in (0, 1)]
    d = 1.5
    for row in rows:
        if row["pair"] != "shift_1.5":
            continue
        assert row["kl_exact"] == pytest.approx(d**2 / 2, rel=1e-9)
        assert row["reverse_kl_exact"] == pytest.approx(d**2 / 2, rel=1e-9)
        assert row["squared_hellinger_exact"] == pytest.approx(2 * (1 - math.exp(-(d**2) / 8)), rel=1e-9)
        assert row["total_variation_exact"] == pytest.approx(2 * stats.norm.cdf(d / 2) - 1, rel=1e-9)
        value = {"minimax": 2 * row["jensen_shannon_exact"] - 2 * math.log(2), "kl": row["kl_exact"]}
        assert row["value_exact"] == pytest.approx(value[row["objective"]], rel=1e-9)


def test_a_critic_begins_with_u_1_and_learns(objectives: dict[str, Objective]) -> None:
    """One update of 2e-3 leaves it near u = 1; after 300 it tells the ratio."""
    first, last = (trained(some(objectives, "minimax"), 2, updates) for updates in (1, 300))
    for row in first:
        assert row["value"] == pytest.approx(-2 * math.log(2), abs=0.01)
        assert row["kl"] == pytest.approx(0, abs=0.05)
    # With u = 1 the error is |log r| itself, whose law is that of |N(d^2/2, d^2)| under p and q.
    start = stats.foldnorm.mean(0.75, scale=1.5)
    assert [row["log_ratio_error"] for row in first][:2] == pytest.approx([start, start], abs=0.03)
    for row in last:
        # 0.1 to 0.2 at 300 of the study's 1,000 updates.
        assert row["log_ratio_error"] < 0.35
        for name in ("jensen_shannon", "squared_hellinger", "total_variation"):
            assert row[name] == pytest.approx(row[f"{name}_exact"], rel=0.2)
        assert row["value"] == pytest.approx(row["value_exact"], abs=0.03)
        # No critic is above the optimum but for the evaluation's noise: 3 x 0.9 / sqrt(10,000).
        assert row["value"] < row["value_exact"] + 0.027
        assert row["out_of_range"] == 0


def test_critics_that_learn_alike_are_one(objectives: dict[str, Objective]) -> None:
    names = ("minimax", "non_saturating", "jensen_shannon", "gan", "kl", "ratio_forward_kl", "exponential")
    groups = [[one.objective.name for one in group] for group in shared(some(objectives, *names).values())]
    assert groups == [list(names[:4]), list(names[4:6]), ["exponential"]]
    with pytest.raises(UserError, match="has no density ratio"):
        shared([objectives["hinge"]])


@pytest.mark.parametrize(("first", "second"), [("minimax", "jensen_shannon"), ("ratio_forward_kl", "kl")])
def test_sharing_a_critic_changes_nothing(objectives: dict[str, Objective], first: str, second: str) -> None:
    """Mirrored and moved critics, trained by themselves: the same but for rounding along 40 updates."""
    together = trained(some(objectives, first, second), 2, 40)
    alone = trained(some(objectives, second), 2, 40)
    assert {row["critic"] for row in together} == {first}
    shared_rows = [row for row in together if row["objective"] == second]
    for row, own in zip(shared_rows, alone, strict=True):
        for column in ("log_ratio_error", "kl", "total_variation", "value", "value_exact"):
            assert row[column] == pytest.approx(own[column], abs=2e-4), column


def test_a_seed_does_not_depend_on_the_others(objectives: dict[str, Objective]) -> None:
    few, many = (trained(some(objectives, "exponential"), seeds, 20) for seeds in (2, 3))
    assert [row for row in many if row["seed"] < 2] == few


def test_outputs_beyond_the_range_are_counted(objectives: dict[str, Objective]) -> None:
    rows = trained(some(objectives, "least_squares", "kl"), 2, 60)
    beyond = {
        name: [row["out_of_range"] for row in rows if row["objective"] == name]
        for name in ("least_squares", "kl")
    }
    assert max(beyond["least_squares"]) > 0
    assert not any(beyond["kl"])


def test_what_density_ratio_needs(objectives: dict[str, Objective]) -> None:
    with pytest.raises(ValueError, match="at least 2 seeds and 1 update, not 1 and 5"):
        density_ratio_rows(objectives, 1, 5)
    with pytest.raises(UserError, match=r"no objective of objectives\.yaml tells the density ratio"):
        density_ratio_rows(some(objectives, "hinge", "wasserstein"), 2, 5)


def test_centred_turns_every_critic_the_same_way(objectives: dict[str, Objective]) -> None:
    h = torch.tensor([-1e-4, 0.0, 1e-4], dtype=torch.float64)
    for objective in objectives.values():
        if objective.formulas.omega_inverse is not None:
            one = Centred.of(objective)
            low, middle, high = density_ratio.log_ratio(objective, one.outputs(h)).tolist()
            assert low < middle < high
            assert middle == pytest.approx(0, abs=1e-12)


# ---- sample averages


def test_expectations_in_closed_form(objectives: dict[str, Objective]) -> None:
    pair = PAIRS["shift_0.5"]
    value = exact(objectives["minimax"], pair, "best").expectation
    p, q = stats.norm(0, 1), stats.norm(0.5, 1)
    loss = quad(lambda x: p.pdf(x) * np.log1p(q.pdf(x) / p.pdf(x)), -10, 10)[0]
    assert value == pytest.approx(-2 * loss, rel=1e-8)  # E_p log D = E_q log(1 - D) by symmetry
    # kl: phi = 1 + log u with variance d^2 under p, psi = -u with variance e^(d^2) - 1 under q.
    law = exact(objectives["kl"], pair, "best")
    assert law.expectation == pytest.approx(0.125, rel=1e-9)
    assert law.deviation == pytest.approx(math.sqrt(0.25 + math.exp(0.25) - 1), rel=1e-9)
    # The wrong critic says p = q at log r = 1, that is x = 9/4: a step is wrong there by quantiles.
    law = exact(objectives["total_variation"], pair, "wrong")
    assert law.expectation == pytest.approx(stats.norm.cdf(2.25) - stats.norm.cdf(1.75), rel=1e-9)
    shares = [stats.norm.cdf(x) for x in (2.25, 1.75)]
    assert law.deviation == pytest.approx(math.sqrt(sum(one * (1 - one) for one in shares)), rel=1e-9)


def test_expectations_against_another_quadrature(objectives: dict[str, Objective]) -> None:
    pair = PAIRS["wider"]

    def at(objective: Objective, x: float, side: str) -> float:
        level = float(pair.log_ratio(torch.tensor(x, dtype=torch.float64)))
        t = objective.omega(torch.tensor(0.5 * level - 0.5, dtype=torch.float64).exp())
        return float(objective.phi(t) if side == "real" else objective.psi(t))

    for name in ("least_squares", "exponential"):
        law = exact(objectives[name], pair, "wrong")
        densities = (("real", stats.norm(0, 1)), ("fake", stats.norm(pair.distance, pair.scale)))
        moments = [
            [
                quad(lambda x: at(objectives[name], x, side) ** power * law_of.pdf(x), -12, 12)[0]  # noqa: B023
                for power in (1, 2)
            ]
            for side, law_of in densities
        ]
        assert law.expectation == pytest.approx(sum(first for first, _ in moments), rel=1e-6)
        variance = sum(second - first**2 for first, second in moments)
        assert law.deviation == pytest.approx(math.sqrt(variance), rel=1e-6)


def test_an_infinite_variance_is_one_that_grows_with_the_range(objectives: dict[str, Objective]) -> None:
    """log of the integrand: where the variance is infinite its maximum over |x| <= 40 is at an end."""
    for name, objective in with_omega(objectives).items():
        for pair in PAIRS.values():
            for critic in ("best", "wrong"):
                grows = False
                for gain, mean, std in (
                    (sample_average.real_gain, 0.0, 1.0),
                    (sample_average.fake_gain, pair.distance, pair.scale),
                ):
                    x = torch.linspace(-40, 40, 16_001, dtype=torch.float64)
                    density = -(((x - mean) / std) ** 2) / 2
                    size = (
                        2 * gain(objective, pair.log_ratio(x), critic).abs().clamp(min=1e-300).log() + density
                    )
                    grows |= float(torch.maximum(size[0], size[-1])) > float(size.max()) - 1
                assert exact(objective, pair, critic).is_variance_finite is not grows, (name, pair, critic)
    infinite = [
        name
        for name, one in with_omega(objectives).items()
        if not exact(one, PAIRS["wider"], "best").is_variance_finite
    ]
    assert infinite == ["mean_square", "power", "neyman_chi2"]  # r^4, r^3 under p and r^4


def test_an_infinite_expectation_is_refused(objectives: dict[str, Objective]) -> None:
    with pytest.raises(ArithmeticError, match="mean_square: the expectation is infinite"):
        exact(objectives["mean_square"], Normals(0.5, 1.5), "best")  # E_p r^2 is finite up to sqrt(2)


def test_averages_err_as_the_deviation_says(objectives: dict[str, Objective]) -> None:
    chosen = some(objectives, "minimax", "least_squares", "kl", "hinge")
    repeats = 400
    rows = averaged(chosen, (100, 1600), repeats)
    assert len(rows) == 4 * 2 * 3 * 2
    for row in rows:
        assert row["exact_error"] == pytest.approx(row["deviation"] / math.sqrt(row["samples"]))
        if row["pair"] == "shift_2" and row["objective"] == "kl":
            continue  # E_q u^4 = e^24: no number of repeats that a test has sees it
        # Four standard errors: 1/sqrt(2 * 400) of an error, 1/sqrt(400) of the mean.
        assert row["root_mean_square_error"] == pytest.approx(row["exact_error"], rel=0.15)
        assert abs(row["mean"] - row["expectation"]) < 4 * row["exact_error"] / math.sqrt(repeats)
        assert row["slope_low"] < -0.5 < row["slope_high"] or abs(row["slope"] + 0.5) < 0.05


def test_objectives_that_differ_by_a_constant_have_one_error(objectives: dict[str, Objective]) -> None:
    rows = averaged(some(objectives, "minimax", "jensen_shannon"), (100, 200), 5)
    first, second = (
        [row for row in rows if row["objective"] == name] for name in ("minimax", "jensen_shannon")
    )
    for one, other in zip(first, second, strict=True):
        assert one["root_mean_square_error"] == other["root_mean_square_error"]
        assert other["expectation"] - one["expectation"] == pytest.approx(2 * math.log(2))
        assert other["mean"] - one["mean"] == pytest.approx(2 * math.log(2))


def test_every_repeat_has_all_of_its_samples() -> None:
    for repeats, count in ((3, 25_000), (7, 4000), (5, 10), (4, 10_000)):
        seen = np.zeros(repeats, int)
        for part, columns in sample_average._pieces(repeats, count):
            assert (part.stop - part.start) * columns <= max(sample_average._AT_ONCE, count)
            seen[part] += columns
        assert (seen == count).all()


def test_slopes_and_the_coverage_of_their_intervals() -> None:
    samples, sets = (100, 1000, 10_000), 400
    rng = np.random.default_rng(5)
    for power in (-0.5, -0.3):
        scale = np.array(samples)[:, None] ** power
        found = [error_slope(scale * rng.standard_normal((3, 30)), samples) for _ in range(sets)]
        slopes = np.array([one.slope for one in found])
        # Three standard errors; the error of a slope is that of its end points.
        assert slopes.mean() == pytest.approx(power, abs=3 * slopes.std() / math.sqrt(sets))
        covered = np.mean([one.low <= power <= one.high for one in found])
        assert 0.92 <= covered <= 0.98  # 95 % by 400 sets: a standard error of 1.1 %
        assert np.mean([one.standard_error for one in found]) == pytest.approx(slopes.std(), rel=0.15)


def test_what_sample_averages_need(objectives: dict[str, Objective]) -> None:
    with pytest.raises(ValueError, match="at least 2 sizes and 2 repeats, not 1 and 50"):
        sample_average_rows(objectives, (100,))
    with pytest.raises(ValueError, match="an error is 0 in all repeats but one"):
        error_slope(np.array([[0.0, 1.0], [1.0, 2.0]]), (10, 20))
