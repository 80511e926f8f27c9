"""f-GAN fits by training, all fits under all f, and parallel lines: against closed forms, scipy, mpmath."""

import json
import math
from pathlib import Path

import mpmath
import numpy as np
import pandas as pd
import pytest
import sympy as sp
import torch
from results_fixture import MANY, write_results
from scipy import integrate, optimize, stats

from pipeline.figures import fits as figures
from pipeline.figures.tables import Results
from pipeline.networks import StackedMLP
from pipeline.objectives import load_objectives
from pipeline.paper_theory.fits import collect
from pipeline.theory import mixture_fit, parallel_lines, trained_fit
from pipeline.theory.side_by_side import SideBySide, TensorAdam

ROOT = Path(__file__).parents[1]
OBJECTIVES = load_objectives(ROOT / "objectives.yaml")
OF_F = trained_fit.with_f(OBJECTIVES)
FREE = [one for one in OBJECTIVES.values() if not one.needs_lipschitz]
RESULTS = ROOT / "reports/results"


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / f"theory/{name}.csv")


# ---- side by side


def test_every_slice_has_the_slopes_of_its_own_objective() -> None:
    numbers = torch.Generator().manual_seed(1)
    sides = SideBySide(FREE, 2)
    real, fake, apart = (torch.randn(sides.size, 4, generator=numbers, dtype=torch.float64) for _ in range(3))
    apart = apart.abs() + 0.1
    critics, generators = sides.critic_slopes(real, fake, apart), sides.generator_slopes(fake, real)
    step = 1e-6
    for place, objective in enumerate(FREE):
        row, column = 2 * place + 1, 3
        moved = [fake.clone(), fake.clone()]
        moved[0][row, column] -= step
        moved[1][row, column] += step
        if objective.needs_distance:
            down, up = (objective.critic_loss(real, v, apart)[row] for v in moved)
        else:
            down, up = (objective.critic_loss(real, v)[row] for v in moved)
        assert float(critics[row, 4 + column]) == pytest.approx(
            float(up - down) / (2 * step), rel=1e-5, abs=1e-8
        )
        down, up = (objective.generator_loss(v, real)[row] for v in moved)
        assert float(generators[row, column]) == pytest.approx(
            float(up - down) / (2 * step), rel=1e-5, abs=1e-8
        )


def test_adam_on_a_tensor_is_torchs() -> None:
    ours, theirs = torch.tensor([1.0, -2.0]), torch.tensor([1.0, -2.0], requires_grad=True)
    adam, torchs = TensorAdam(ours, (0.5, 0.9)), torch.optim.Adam([theirs], lr=0.1, betas=(0.5, 0.9))
    for _ in range(20):
        adam.step(2 * ours, 0.1)
        theirs.grad = 2 * theirs.detach()
        torchs.step()
    torch.testing.assert_close(ours, theirs.detach())


# ---- the fits


def test_stratified_samples_are_those_of_the_densities() -> None:
    numbers = np.random.default_rng(3)
    x = np.concatenate([trained_fit.target_samples(numbers, 50).ravel() for _ in range(20)])
    z = trained_fit.stratified_normal(numbers, 50, 100)

    def cdf(x: np.ndarray) -> np.ndarray:
        return 0.67 * stats.norm.cdf(x, 2, math.sqrt(2)) + 0.33 * stats.norm.cdf(x, -1, 0.255)

    # The 1 % point of Kolmogorov's distance of 100,000 independent samples is 0.005; strata only lower it.
    assert stats.kstest(x, cdf).statistic < 0.005
    # One in every stratum of every row, and a mean far nearer than 1/sqrt(100) = 0.1.
    strata = np.floor(stats.norm.cdf(np.sort(z, axis=1)) * 100)
    assert (strata == np.arange(100)).all()
    assert np.abs(z.mean(1)).max() < 0.03


@pytest.mark.parametrize("name", ["pearson_chi2", "jeffrey", "alpha"])
def test_a_divergence_of_the_cross_table_is_mpmaths(name: str) -> None:
    mean, std = 0.9, 1.7
    f = {
        "pearson_chi2": lambda u: (u - 1) ** 2,
        "jeffrey": lambda u: (u - 1) * mpmath.log(u),
        "alpha": lambda u: (u**1.5 - 1 - 1.5 * (u - 1)) / 0.75,
    }[name]

    def integrand(x: mpmath.mpf) -> mpmath.mpf:
        p = 0.67 * mpmath.npdf(x, 2, mpmath.sqrt(2)) + 0.33 * mpmath.npdf(x, -1, 0.255)
        q = mpmath.npdf(x, mean, std)
        return q * f(p / q)

    with mpmath.workdps(25):
        true = mpmath.quad(integrand, [-20, -8, -3, -2, -1, 0, 1, 3, 6, 12, 25])
    found = trained_fit.cross_fit_table({name: OBJECTIVES[name]}, {name: (mean, std)}, {})
    assert found["divergence"][0] == pytest.approx(float(true), rel=1e-10)


def test_the_best_normals_under_reverse_kl_and_kl_are_scipys() -> None:
    rows = table("trained_fit").set_index("objective")
    mean = 0.67 * 2 - 0.33
    variance = 0.67 * (2 + 2**2) + 0.33 * (0.255**2 + 1) - mean**2
    assert rows.mean_exact["kl"] == pytest.approx(mean, abs=1e-5)
    assert rows.std_exact["kl"] == pytest.approx(math.sqrt(variance), abs=1e-5)

    def height(point: np.ndarray) -> float:
        def pdf(x: np.ndarray, mean: float, std: float) -> np.ndarray:
            return np.exp(-(((x - mean) / std) ** 2) / 2) / std

        x = np.linspace(-12, 15, 2001)
        q = pdf(x, *point)
        p = 0.67 * pdf(x, 2, math.sqrt(2)) + 0.33 * pdf(x, -1, 0.255)
        return float(integrate.simpson(q * np.log(q / p), x=x)) / math.sqrt(2 * math.pi)

    best = optimize.minimize(
        height, [1.4, 1.7], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-13}
    )
    assert rows.mean_exact["reverse_kl"] == pytest.approx(best.x[0], abs=1e-4)
    assert rows.std_exact["reverse_kl"] == pytest.approx(best.x[1], abs=1e-4)


def test_each_exact_fit_is_the_best_under_its_own_f() -> None:
    exact = (
        table("cross_fit")
        .query("fit == 'exact'")
        .pivot(index="fitted", columns="measured", values="divergence")
    )
    assert set(exact.index) == set(exact.columns) == set(OF_F)
    for name in OF_F:
        # The table has six digits, and the fits seven.
        assert exact.loc[name, name] <= exact[name].min() * (1 + 1e-5), name
    far = exact.loc["pearson_chi2", "kl"] / exact.loc["kl", "kl"]
    assert far > 1.05  # or the test above could not fail


def test_neymans_divergence_is_infinite_from_a_std_of_two_on() -> None:
    """And finite below, however far out its mass lies: against scipy's quadrature in log space."""
    fits = {"far": (0.573735, 1.927319), "wide": (1.0, 2.1), "at": (1.0, 2.0)}
    rows = trained_fit.cross_fit_table({"neyman_chi2": OBJECTIVES["neyman_chi2"]}, fits, {})
    mean, std = fits["far"]

    def integrand(x: float) -> float:
        wide = math.log(0.67) + stats.norm.logpdf(x, 2, math.sqrt(2))
        narrow = math.log(0.33) + stats.norm.logpdf(x, -1, 0.255)
        return float(np.exp(2 * stats.norm.logpdf(x, mean, std) - np.logaddexp(wide, narrow)))

    parts = [
        integrate.quad(integrand, a, b, epsabs=0, limit=200)[0] for a, b in ((-90, -20), (-20, -3), (-3, 2))
    ]
    true = sum(parts) + integrate.quad(integrand, 2, 90, epsabs=0, limit=200)[0] - 1
    assert rows["divergence"][0] == pytest.approx(true, rel=1e-7)
    assert (
        mixture_fit.divergence(OBJECTIVES["neyman_chi2"], mean, std) == math.inf
    )  # its interval is too short
    assert math.isnan(rows["divergence"][1])  # type: ignore[arg-type]
    assert math.isnan(rows["divergence"][2])  # type: ignore[arg-type]


def test_the_bound_of_a_known_critic_is_its_integral() -> None:
    """KL with t = 1 + log p/q is tight; with t = 1 + c x it is E_p t - exp(c mu + c^2 sigma^2/2)."""
    kl, mean, std = OBJECTIVES["kl"], 0.8, 1.6
    x = trained_fit._X
    c = 0.3
    bound = trained_fit.bound_of(kl, torch.from_numpy(1 + c * x), mean, std)
    true = 1 + c * (0.67 * 2 - 0.33) - math.exp(c * mean + c**2 * std**2 / 2)
    assert bound == pytest.approx(true, rel=1e-10)
    p = 0.67 * stats.norm.pdf(x, 2, math.sqrt(2)) + 0.33 * stats.norm.pdf(x, -1, 0.255)
    with np.errstate(divide="ignore", invalid="ignore"):
        best = 1 + np.log(p) - stats.norm.logpdf(x, mean, std)
    best = np.where(np.isfinite(best), best, -700.0)
    tight = trained_fit.bound_of(kl, torch.from_numpy(best), mean, std)
    assert tight == pytest.approx(mixture_fit.divergence(kl, mean, std), rel=1e-9)
    assert math.isnan(
        trained_fit.bound_of(kl, torch.full((x.size,), torch.nan, dtype=torch.float64), mean, std)
    )


@pytest.fixture(scope="module")
def briefly() -> trained_fit.Trained:
    """Three f for 40 updates."""
    some = {name: OBJECTIVES[name] for name in ("kl", "squared_hellinger", "pearson_chi2")}
    return trained_fit.train(some, updates=40, critic_steps=1)


def test_no_bound_lies_above_its_divergence(briefly: trained_fit.Trained) -> None:
    for row, name in enumerate(("kl", "squared_hellinger", "pearson_chi2")):
        for mean, std, bound in zip(briefly.mean[row], briefly.std[row], briefly.bound[row], strict=True):
            # Both by quadrature: no tolerance for samples is needed.
            assert bound <= mixture_fit.divergence(OBJECTIVES[name], mean, std) + 1e-9
    assert np.abs(briefly.mean - trained_fit.START[0]).min() > 0.01  # something was trained


def test_training_is_deterministic_and_an_objective_trains_alone(briefly: trained_fit.Trained) -> None:
    again = trained_fit.train({"kl": OBJECTIVES["kl"]}, updates=40, critic_steps=1)
    # Stacks of other sizes take other matrix products: rounding, 40 steps on.
    np.testing.assert_allclose(again.mean[0], briefly.mean[0], rtol=1e-8)
    np.testing.assert_allclose(again.bound[0], briefly.bound[0], rtol=1e-6)


def test_the_trained_fits_of_the_study_obey_the_bound() -> None:
    rows = table("trained_fit")
    assert list(rows.objective) == list(OF_F)
    known = rows.dropna(subset=["divergence_reached"])
    # Medians over seeds of both: order carries over. Six digits.
    assert (known.bound <= known.divergence_reached * (1 + 1e-5)).all()
    assert (known.divergence_reached >= known.divergence_exact * (1 - 1e-5)).all()


def test_lost_seeds_are_counted_and_left_out() -> None:
    trained = trained_fit.Trained(
        np.array([[1.0, 1.1, np.nan]]), np.array([[1.8, 1.9, np.nan]]), np.array([[0.2, 0.25, np.nan]])
    )
    kl = {"kl": OBJECTIVES["kl"]}
    rows = trained_fit.trained_fit_table(kl, {"kl": (1.01, 1.830672)}, trained)
    assert (rows["seeds"], rows["lost_seeds"], rows["infinite_seeds"]) == ([3], [1], [0])
    assert (rows["mean_low"], rows["mean_high"]) == ([1.0], [1.1])
    assert trained_fit.medians(kl, trained) == {"kl": (pytest.approx(1.05), pytest.approx(1.85))}
    none = trained_fit.Trained(*(np.full((1, 2), np.nan),) * 3)
    assert math.isnan(trained_fit.trained_fit_table(kl, {"kl": (1.0, 1.8)}, none)["bound"][0])  # type: ignore[arg-type]
    assert trained_fit.medians(kl, none) == {}


# ---- parallel lines, exactly


def test_the_divergence_of_lines_apart_is_that_of_the_textbooks() -> None:
    """lim f(u) + u lim f(u)/u at 0 and infinity, by sympy, for f = d(1/u) u of the f family."""
    u = sp.Symbol("u", positive=True)
    f = {
        "kl": u * sp.log(u),
        "reverse_kl": -sp.log(u),
        "jensen_shannon": u * sp.log(u) - (u + 1) * sp.log((u + 1) / 2),
        "squared_hellinger": (sp.sqrt(u) - 1) ** 2,
        "total_variation": sp.Abs(u - 1) / 2,
        "pearson_chi2": (u - 1) ** 2,
        "neyman_chi2": (1 - u) ** 2 / u,
        "jeffrey": (u - 1) * sp.log(u),
    }
    for name, formula in f.items():
        true = sp.limit(formula, u, 0, "+") + sp.limit(formula / u, u, sp.oo)
        found = parallel_lines.apart(OBJECTIVES[name])
        assert found == pytest.approx(float(true), rel=1e-9), name


def test_the_wasserstein_distance_of_the_lines_is_that_of_the_best_assignment() -> None:
    rows = pd.DataFrame(parallel_lines.exact_table(OBJECTIVES))
    found = rows[rows.objective == "wasserstein"].set_index("theta").divergence
    y = (np.arange(40) + 0.5) / 40
    for theta in parallel_lines.DISTANCES:
        x, z = np.stack([0 * y, y], 1), np.stack([0 * y + theta, y], 1)
        cost = np.linalg.norm(x[:, None] - z, axis=2)
        best = cost[optimize.linear_sum_assignment(cost)].mean()
        assert found[theta] == pytest.approx(best, abs=1e-12)
    assert len(set(rows.objective)) == sum(not one.is_paired for one in OBJECTIVES.values())


def test_all_but_wasserstein_are_level_in_theta() -> None:
    rows = pd.DataFrame(parallel_lines.exact_table(OBJECTIVES))
    away = rows[(rows.theta > 0) & (rows.objective != "wasserstein")]
    assert set(away.gradient.dropna()) == {0.0}
    assert (away.groupby("objective").divergence.nunique() <= 1).all()
    assert (rows[rows.objective == "wasserstein"].gradient.dropna() == 1.0).all()


# ---- parallel lines, trained


def test_everything_is_trained_and_what_needs_a_lipschitz_critic_has_one() -> None:
    groups = parallel_lines.held_under(OBJECTIVES)
    assert {one.name for group in groups.values() for one in group} == set(OBJECTIVES)
    assert not any(one.needs_lipschitz for one in groups["none"])
    for name in parallel_lines.COMPARED:
        held = {penalty for penalty, group in groups.items() if OBJECTIVES[name] in group}
        assert held == {"none", "gradient_penalty", "r1"}


def test_the_gradient_by_theta_is_the_difference_quotient() -> None:
    group = [OBJECTIVES[name] for name in ("minimax", "hinge", "gan_qp", "relativistic")]
    game = parallel_lines.Game.build(group, parallel_lines.PENALTIES["none"])
    y = torch.rand(parallel_lines.SEEDS, 32, generator=torch.Generator().manual_seed(0))
    # In float64: a difference of float32 losses would be noise.
    double = StackedMLP(
        (2, 16, 16, 1), "leaky_relu", "linear", tuple(range(10)) * 12, "critic_weights", dtype=torch.float64
    )
    game = parallel_lines.Game(game.sides, game.penalty, double, game.theta.double())

    def losses() -> torch.Tensor:
        real, fake = game.points(y.double())
        v_real, v_fake = (double.layers(x)[-1].squeeze(-1) for x in (real, fake))
        copies = game.sides.copies
        return torch.cat(
            [
                one.generator_loss(
                    v_fake[i * copies : (i + 1) * copies], v_real[i * copies : (i + 1) * copies]
                )
                if one.is_paired
                else one.generator_loss(v_fake[i * copies : (i + 1) * copies])
                for i, one in enumerate(group)
            ]
        )

    gradient = game.gradient(*game.points(y.double()))
    step = 1e-6
    game.theta += step
    up = losses()
    game.theta -= 2 * step
    # Leaky ReLU has kinks; a step of 1e-6 meets one in few of 120 networks.
    off = (gradient - (up - losses()) / (2 * step)).abs()
    assert float(off.median()) < 1e-8
    assert float((off > 1e-6).double().mean()) < 0.05


def test_a_linear_critic_pulls_with_its_slope() -> None:
    """The gradient of beta(t) = -t (Wasserstein) through a critic with slope c in x is -c."""
    group = [OBJECTIVES["wasserstein"]]
    game = parallel_lines.Game.build(group, parallel_lines.PENALTIES["weight_clipping"])
    linear = StackedMLP((2, 1), "linear", "linear", tuple(range(10)) * 3, "critic_weights")
    game = parallel_lines.Game(game.sides, game.penalty, linear, game.theta)
    y = torch.rand(parallel_lines.SEEDS, 32, generator=torch.Generator().manual_seed(0))
    slope = linear.parameters[0][:, 0, 0]
    torch.testing.assert_close(game.gradient(*game.points(y)), -slope)


@pytest.fixture(scope="module")
def courses() -> parallel_lines.Courses:
    some = {name: OBJECTIVES[name] for name in ("minimax", "non_saturating", "wasserstein")}
    return parallel_lines.train_all(some, updates=150)


def test_short_training_moves_from_the_near_starts(courses: parallel_lines.Courses) -> None:
    rows = pd.DataFrame(parallel_lines.summary_table(courses))
    assert set(zip(rows.objective, rows.penalty, strict=True)) == {
        *(("minimax", kind) for kind in ("none", "gradient_penalty", "r1")),
        *(("non_saturating", kind) for kind in ("none", "gradient_penalty", "r1")),
        *(("wasserstein", kind) for kind in ("gradient_penalty", "weight_clipping")),
    }
    near = rows[(rows.start == 1.0) & (rows.penalty == "none")]
    assert (near.distance < 0.5).all()
    for course in courses.values():
        np.testing.assert_array_equal(course.theta[0], np.array(parallel_lines.STARTS)[:, None].repeat(10, 1))


def test_training_is_deterministic(courses: parallel_lines.Courses) -> None:
    again = parallel_lines.train(
        [OBJECTIVES["wasserstein"]], parallel_lines.PENALTIES["weight_clipping"], 150
    )
    np.testing.assert_array_equal(again[0].theta, courses["wasserstein", "weight_clipping"].theta)


def test_the_summary_counts_what_arrives_and_stays() -> None:
    theta = np.full((301, 3, 10), 1.0)
    theta[40:, 0, :6] = -0.05  # six seeds arrive after 40 updates and stay
    theta[60:200, 0, 6:8] = 0.01  # two come and go
    theta[100:, 1, :] = np.nan
    gradient = np.where(theta[:-1] > 0.5, 2.0, -9.0)
    rows = parallel_lines.summary_table({("minimax", "none"): parallel_lines.Course(theta, gradient)})
    assert rows["arrived_share"] == [0.8, 0.0, 0.0]
    assert rows["stayed_share"] == [0.6, 0.0, 0.0]
    assert rows["updates_to_arrive"][0] == 40.0
    assert math.isnan(rows["updates_to_arrive"][2])  # type: ignore[arg-type]
    assert rows["distance"][0] == 0.05
    assert math.isnan(rows["distance"][1])  # type: ignore[arg-type]
    assert rows["gradient_apart"][0] == 2.0
    assert rows["wrong_way_share"][0] == 0.0
    course = parallel_lines.course_table({("minimax", "none"): parallel_lines.Course(theta, gradient)})
    assert (course["update"][0], course["update"][-1]) == (0, 300)


# ---- figures and the paper's values


def test_the_figure_draws_the_target_of_the_tables() -> None:
    target = mixture_fit.TARGET
    assert tuple(zip(target.weights, target.means, target.stds, strict=True)) == figures.TARGET


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results(write_results(tmp_path_factory.mktemp("fits"), variants=MANY) / "reports/results")


def test_both_figures_draw_with_numbers_of_the_tables(results: Results) -> None:
    fits, lines = figures.f_gan_fits(results), figures.parallel_lines(results)
    assert fits is not None
    assert lines is not None
    assert "Pearson χ²" in fits.alt
    assert "infinite for" in lines.caption
    assert all((results.folder / file).is_file() for file in (*fits.source, *lines.source))


def test_without_their_objectives_there_is_no_figure(tmp_path: Path) -> None:
    few = {"minimax": ("Minimax", "minimax")}
    results = Results(write_results(tmp_path, seeds=2, variants=few) / "reports/results")
    assert figures.f_gan_fits(results) is None
    assert figures.parallel_lines(results) is not None


def test_the_papers_values_are_plain_and_complete() -> None:
    found = collect(Results(RESULTS))
    assert json.loads(json.dumps(found)) == found
    assert len(found["fits"]) == len(OF_F)
    assert found["lines"]["linear"] == ["Wasserstein"]
    assert found["lines"]["jump"]["Squared Hellinger"] == pytest.approx(2.0)
    assert len(found["lines"]["jump"]) + len(found["lines"]["infinite"]) + 1 == sum(
        not one.is_paired for one in OBJECTIVES.values()
    )
    assert found["cross"]["pairs"] == len(OF_F) * (len(OF_F) - 1)
