"""From run files to the study's tables: known generators in, the documented rows out, nothing dropped."""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import scipy.stats
import torch
import yaml

from pipeline.aggregate import aggregate
from pipeline.catalogue_tables import objective_name, trained_objectives
from pipeline.config import RunPlan
from pipeline.data.fetch import fetch
from pipeline.data.images import load_images
from pipeline.data.mixtures import load_mixture
from pipeline.errors import UserError
from pipeline.evaluate import evaluate
from pipeline.figures.tables import Results as FigureResults
from pipeline.fresh_critics import COLUMNS
from pipeline.metrics.features import train_features
from pipeline.metrics.registry import measured, measured_through_training, split_name
from pipeline.metrics.streams import torch_generator
from pipeline.networks import StackedMLP
from pipeline.plan import load_run, load_study, remove_unlisted
from pipeline.resampling import fresh_samples
from pipeline.resolve import write_plan
from pipeline.run_reading import load_final_generators
from pipeline.tables import write_csv

PROJECT = Path(__file__).parents[1]
PERFECT, COLLAPSED, DIVERGED = "non_saturating", "minimax", "wgan_clip"
RESULTS = Path("reports/results")
FILES = (
    *("metrics.csv", "summary.csv", "progress.csv", "history.csv", "references.csv"),
    *("comparisons.csv", "scores.csv", "profiles.csv", "variance.csv"),
    *("objectives.csv", "slopes.csv", "fresh_critics.csv", "fresh_critics_course.csv"),
    *("gallery.parquet", "study.json", "metrics.json"),
)


def _write_settings(root: Path, variants: list[str]) -> None:
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["scale"] = "smoke"
    params["scales"]["smoke"] |= {"seeds": 4, "classifier_epochs": 15}
    params["study"] = {
        "datasets": ["ring", "digits"],
        "benchmarks": ["ring", "digits"],
        "variants": variants,
        "more_modes": {"benchmarks": [], "variants": []},
    }
    params["benchmarks"]["ring"]["evaluation_samples"] = 2500
    params["fresh_critics"]["generator"] = variants[0]
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    shutil.copy(PROJECT / "objectives.yaml", root / "objectives.yaml")


def _fakes(plan: RunPlan, root: Path, seed: int) -> torch.Tensor:
    """(N, D): real samples, or the first mode or class only."""
    generator = torch.Generator().manual_seed(seed)
    n, folder = plan.setting.evaluation_samples, root / "data" / plan.benchmark
    if plan.benchmark == "ring":
        samples = load_mixture(folder).sample(4 * 8 * n, generator)
        if plan.variant == COLLAPSED:
            samples = samples[(samples - torch.tensor([1.0, 0.0])).norm(dim=1) < 0.1]
        return samples[:n]
    images = load_images(folder)
    pool = images.train_images
    if plan.variant == COLLAPSED:
        pool = pool[images.train_labels == 3]
        return pool[torch.randint(len(pool), (n,), generator=generator)]
    # None twice: `image_support` would see it.
    return pool[torch.randperm(len(pool), generator=generator)[:n]]


def write_run(plan: RunPlan, root: Path) -> None:
    """runs/BENCHMARK/VARIANT/ as training documents it; of COLLAPSED seed 1 diverges, of DIVERGED all do."""
    folder = root / "runs" / plan.benchmark / plan.variant
    folder.mkdir(parents=True)
    steps = [round(plan.generator_updates * (i + 1) / plan.checkpoints) for i in range(plan.checkpoints)]
    diverged = {COLLAPSED: {1: 17}, DIVERGED: dict.fromkeys(plan.seeds, 5)}.get(plan.variant, {})
    final = torch.stack([_fakes(plan, root, s) for s in plan.seeds])
    samples = final[:, : plan.setting.checkpoint_samples].repeat(len(steps), 1, 1, 1)
    lost = math.nan if samples.is_floating_point() else 0
    for i, seed in enumerate(plan.seeds):
        for c, step in enumerate(steps):
            if step > diverged.get(seed, step):
                samples[c, i] = lost
        if seed in diverged:
            final[i] = lost
    tensors = {"samples": samples, "final": final, "steps": torch.tensor(steps)}
    safetensors.torch.save_file(tensors, folder / "samples.safetensors")
    sizes = (plan.setting.latent, *plan.setting.generator.widths, final.shape[2])
    activations = (plan.setting.generator.activation, plan.setting.generator.output)
    generators = StackedMLP(sizes, *activations, plan.seeds, "generator_weights")
    safetensors.torch.save_file(generators.state("generator"), folder / "weights.safetensors")
    rows = [
        {"seed": seed, "step": step, "critic_loss": float(seed + step), "penalty": 0.0}
        for seed in plan.seeds
        for step in range(1, plan.generator_updates + 1)
        if step <= diverged.get(seed, step)
    ]
    pd.DataFrame(rows).to_parquet(folder / "history.parquet", index=False)
    meta = {"seeds": list(plan.seeds), "diverged": {str(k): v for k, v in diverged.items()}}
    (folder / "meta.json").write_text(json.dumps(meta))


def write_fresh_critics(root: Path, plans: list[RunPlan]) -> None:
    """fresh_critics/BENCHMARK/: a norm of 2 that falls by a decade per seed and measurement."""
    for benchmark in dict.fromkeys(plan.benchmark for plan in plans):
        rows = [
            (benchmark, saved, plan.variant, seed, updates, 2 * 10.0 ** (-seed * step), 1.5, 0.9)
            for plan in plans
            if plan.benchmark == benchmark
            for saved in plan.saved_at
            for seed in plan.seeds
            for step, updates in enumerate((0, 1, 16))
        ]
        write_csv(rows, COLUMNS, root / "fresh_critics" / benchmark / "fresh_critics.csv")


def _build(root: Path) -> None:
    _write_settings(root, [PERFECT, COLLAPSED, DIVERGED])
    plans = write_plan(root)
    for dataset in ("ring", "digits"):
        fetch(dataset, root)
        train_features(dataset, root)
    for plan in plans:
        write_run(plan, root)
        evaluate(plan.benchmark, plan.variant, root)
    write_fresh_critics(root, plans)
    aggregate(root)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("study")
    _build(root)
    return root


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "copy"
    shutil.copytree(built, root)
    yield root
    shutil.rmtree(root)


def _table(root: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(root / RESULTS / f"{name}.csv")


def _summary(root: Path, benchmark: str, variant: str, metric: str) -> dict[str, Any]:
    table = _table(root, "summary")
    chosen = (table.benchmark == benchmark) & (table.variant == variant) & (table.metric == metric)
    (row,) = table[chosen].to_dict("records")
    return row


# Evaluation


def test_metrics_are_long_form_with_one_row_per_seed_checkpoint_and_metric(built: Path) -> None:
    table = pd.read_csv(built / "evaluated" / "ring" / PERFECT / "metrics.csv")
    assert list(table.columns) == ["benchmark", "variant", "seed", "step", "metric", "value"]
    assert sorted(table.step.unique()) == [20, 40, 60]
    assert not table.duplicated(["seed", "step", "metric"]).any()
    assert set(table[table.metric == "jsd_n2500"].seed) == {0, 1, 2, 3}
    diverged = table[table.metric == "diverged"]
    assert list(diverged.step) == [60] * 4
    assert set(diverged.value) == {0}


def test_a_diverged_seed_has_one_row_and_the_others_go_on(built: Path) -> None:
    table = pd.read_csv(built / "evaluated" / "ring" / COLLAPSED / "metrics.csv")
    (row,) = table[table.seed == 1].to_dict("records")
    assert (row["metric"], row["step"], row["value"]) == ("diverged", 17, 1)
    assert set(table[table.metric == "jsd_n2500"].seed) == {0, 2, 3}
    gallery = pd.read_parquet(built / "evaluated" / "ring" / COLLAPSED / "gallery.parquet")
    assert set(gallery.seed) == {0, 2, 3}


def test_broken_samples_of_a_seed_count_as_divergence(copy: Path) -> None:
    """A generator whose parameters are finite can still overflow."""
    path = copy / "runs" / "ring" / PERFECT / "samples.safetensors"
    tensors = safetensors.torch.load_file(path)
    tensors["samples"][1:, 2, 0, 0] = math.inf
    tensors["final"][3, 2000, 1] = math.nan
    safetensors.torch.save_file(tensors, path)
    evaluate("ring", PERFECT, copy)
    table = pd.read_csv(copy / "evaluated" / "ring" / PERFECT / "metrics.csv")
    (row,) = table[table.seed == 2].to_dict("records")
    assert (row["metric"], row["step"], row["value"]) == ("diverged", 40, 1)
    (row,) = table[table.seed == 3].to_dict("records")
    assert (row["metric"], row["step"], row["value"]) == ("diverged", 60, 1)


def test_history_is_thinned_to_the_same_steps_for_all_seeds(copy: Path) -> None:
    path = copy / "runs" / "ring" / PERFECT / "history.parquet"
    rows = [{"seed": s, "step": t, "critic_loss": 1.5 * t} for s in range(4) for t in range(1, 1001)]
    pd.DataFrame(rows).to_parquet(path, index=False)
    evaluate("ring", PERFECT, copy)
    table = pd.read_csv(copy / "evaluated" / "ring" / PERFECT / "history.csv")
    steps = table.step.unique()
    assert len(steps) == 100
    assert (steps.min(), steps.max()) == (1, 1000)
    assert len(table) == 400
    assert (table.value == 1.5 * table.step).all()


def test_gallery_holds_the_final_samples(built: Path) -> None:
    ring = pd.read_parquet(built / "evaluated" / "ring" / PERFECT / "gallery.parquet")
    assert list(ring.groupby("seed").size()) == [300] * 4
    tensors = safetensors.torch.load_file(built / "runs" / "ring" / PERFECT / "samples.safetensors")
    assert list(ring["values"][7]) == tensors["final"][0, 7].tolist()
    digits = pd.read_parquet(built / "evaluated" / "digits" / PERFECT / "gallery.parquet")
    assert list(digits.groupby("seed").size()) == [16] * 4
    assert len(digits["values"][0]) == 64


@pytest.mark.parametrize(
    "name", ["samples.safetensors", "history.parquet", "meta.json", "weights.safetensors"]
)
def test_a_corrupt_run_file_is_one_line_that_names_it(copy: Path, name: str) -> None:
    path = copy / "runs" / "ring" / PERFECT / name
    for damage in (lambda: path.write_bytes(path.read_bytes()[:-20]), lambda: path.unlink()):
        damage()
        with pytest.raises(UserError, match=name) as caught:
            evaluate("ring", PERFECT, copy)
        assert f"train@ring-{PERFECT}" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_run_of_another_plan_is_refused(copy: Path) -> None:
    shutil.rmtree(copy / "runs" / "ring" / PERFECT)
    shutil.copytree(copy / "runs" / "digits" / PERFECT, copy / "runs" / "ring" / PERFECT)
    with pytest.raises(UserError, match="not the run of plan"):
        evaluate("ring", PERFECT, copy)


# Aggregation


def test_a_perfect_sampler_meets_the_references(built: Path) -> None:
    """On the ring every value lies near the floor or ceiling, on digits near real-vs-real."""
    references = _table(built, "references").set_index("metric")
    final = set(_table(built, "summary").metric)  # references are of the checkpoints' N too
    for benchmark in ("ring", "digits"):
        chosen = references[(references.benchmark == benchmark) & references.index.isin(final)]
        assert len(chosen) > 10
        for metric, row in chosen.iterrows():
            got = _summary(built, benchmark, PERFECT, str(metric))["point"]
            # 4 repeats give a rough range; 4 times its width also holds for another 4 samples.
            width = max(row["high"] - row["low"], 1e-6)
            assert abs(got - row["value"]) < 4 * width, metric
    assert references.loc["high_quality_n2500", "value"] == pytest.approx(1 - math.exp(-4.5), abs=1e-9)
    assert references.loc["modes_covered_n2500", "kind"] == "ceiling"
    assert references.loc["fid_n599_held_out_classifier", "kind"] == "real_vs_real"
    assert set(references[references.benchmark == "ring"].kind) == {"floor", "ceiling", "perfect"}
    assert references.loc["mode_spread_ratio_n2500", "kind"] == "perfect"


def test_what_cannot_be_told_from_real_data_is_marked(built: Path) -> None:
    highs = _table(built, "references").set_index("metric").high
    for benchmark, metric in (("ring", "reverse_kl_modes_n2500"), ("digits", "fid_n599_held_out_classifier")):
        assert pd.isna(_summary(built, benchmark, COLLAPSED, metric)["mark"])
        got = _summary(built, benchmark, PERFECT, metric)
        assert (got["mark"] == "zero") == (got["point"] <= highs[metric])
    # A perfect sampler's mean is below the upper end of its floor, but for chance.
    assert _summary(built, "ring", PERFECT, "reverse_kl_modes_n2500")["mark"] == "zero"


def test_a_collapsed_generator_is_seen_with_its_rate(built: Path) -> None:
    """3 seeds collapsed; the 1 that diverged counts against the rate's lower bound and for its upper."""
    row = _summary(built, "ring", COLLAPSED, "modes_covered_n2500")
    assert (row["point"], row["low"], row["high"], row["median"]) == (1, 1, 1, 1)
    assert (row["seeds"], row["diverged"], row["collapse_rate"], row["collapse_high"]) == (3, 1, 0.75, 1)
    assert row["collapse_low"] == pytest.approx(scipy.stats.beta.ppf(0.025, 3, 2), rel=1e-5)  # six digits
    assert _summary(built, "ring", COLLAPSED, "reverse_kl_modes_n2500")["point"] == pytest.approx(math.log(8))
    assert _summary(built, "digits", COLLAPSED, "fid_n599_held_out_classifier")["collapse_rate"] == 0.75
    assert _summary(built, "ring", PERFECT, "jsd_n2500")["collapse_rate"] == 0


def test_a_run_that_diverged_everywhere_keeps_its_rows(built: Path) -> None:
    table = _table(built, "summary")
    rows = table[(table.benchmark == "ring") & (table.variant == DIVERGED)]
    assert set(rows.metric) == set(table[(table.benchmark == "ring") & (table.variant == PERFECT)].metric)
    assert rows[["point", "low", "high", "median"]].isna().all(axis=None)
    assert set(rows.seeds) == {0}
    assert set(rows.diverged) == {4}
    nested = json.loads((built / RESULTS / "metrics.json").read_text())
    assert nested["ring"][DIVERGED]["jsd_n2500"] is None
    assert nested["ring"][DIVERGED]["diverged"] == 4


def test_progress_is_one_line_per_checkpoint_and_ends_where_the_summary_is(built: Path) -> None:
    """On digits, where checkpoints have as many samples as the end."""
    progress = _table(built, "progress")
    assert not progress.duplicated(["benchmark", "variant", "step"]).any()
    metric = "fid_n599_held_out_classifier"
    row = _summary(built, "digits", PERFECT, metric)
    last = progress[(progress.benchmark == "digits") & (progress.variant == PERFECT)].iloc[-1]
    # Curves have four digits.
    expected = [row["point"], row["low"], row["high"]]
    assert [last[f"{metric}{end}"] for end in ("", "_low", "_high")] == pytest.approx(expected, rel=1e-3)
    ring = progress[progress.benchmark == "ring"]
    assert ring[metric].isna().all()
    assert list(ring[ring.variant == PERFECT].step) == [20, 40, 60]
    assert (ring[ring.variant == PERFECT]["modes_occupied_n1000"] == 8).all()
    # A variant of which every seed diverged has no line.
    assert DIVERGED not in set(progress.variant)
    long = FigureResults(built / RESULTS).progress
    assert len(long) == int(progress.filter(regex="_n[0-9]+(_held_out_classifier)?$").notna().sum().sum())


def test_fresh_samples_of_the_final_generators_are_measured_again(built: Path) -> None:
    table = pd.read_csv(built / "evaluated" / "ring" / COLLAPSED / "resampled.csv")
    assert list(table.columns) == ["benchmark", "variant", "seed", "resample", "metric", "value"]
    assert set(table.metric) == {"jsd_n2500", "modes_occupied_n2500", "high_quality_n2500"}
    # Seed 1 diverged; the scale has two resamples.
    assert set(zip(table.seed, table["resample"], strict=True)) == {(s, r) for s in (0, 2, 3) for r in (0, 1)}
    digits = pd.read_csv(built / "evaluated" / "digits" / PERFECT / "resampled.csv")
    assert {split_name(name).stem for name in digits.metric} == {"fid", "recall_k3", "classes_covered"}


def test_resamples_are_of_the_generator_and_differ(built: Path) -> None:
    plan = load_run("ring", PERFECT, built)
    generators = load_final_generators(plan, built / "runs" / "ring" / PERFECT, 2)
    first, second = (fresh_samples(plan, generators, resample) for resample in (0, 1))
    assert first.shape == (4, 2500, 2)
    assert not (first == second).all(2).any()
    latent = torch.randn(2500, 2, generator=torch_generator("resample", "ring", PERFECT, 2, 1))
    weights = safetensors.torch.load_file(built / "runs" / "ring" / PERFECT / "weights.safetensors")
    hidden = latent
    for layer in (1, 2, 3):
        hidden = hidden @ weights[f"generator.weight_{layer}"][2] + weights[f"generator.bias_{layer}"][2]
        hidden = hidden.relu() if layer < 3 else hidden
    # The same products in another order of summation.
    torch.testing.assert_close(second[2], hidden, rtol=0, atol=1e-5)


def test_checkpoints_have_the_cheap_metrics_and_the_end_has_all(built: Path) -> None:
    table = pd.read_csv(built / "evaluated" / "ring" / PERFECT / "metrics.csv")
    setting = load_run("ring", PERFECT, built).setting
    early = set(table[table.step == 20].metric)
    assert early == set(measured_through_training(setting))
    last = set(table[table.step == 60].metric)
    assert last == early | {*measured(setting), "collapsed", "missed", "diverged"}


def test_frames_are_the_first_seeds_first_samples(built: Path) -> None:
    for benchmark, variant, lost in (("ring", PERFECT, -1), ("digits", PERFECT, -1), ("ring", DIVERGED, 5)):
        frames = safetensors.torch.load_file(built / "evaluated" / benchmark / variant / "frames.safetensors")
        run = safetensors.torch.load_file(built / "runs" / benchmark / variant / "samples.safetensors")
        count = 100 if benchmark == "ring" else 9
        expected = run["samples"][:, 0, :count]
        expected = expected.half() if benchmark == "ring" else expected
        assert torch.equal(frames["frames"].nan_to_num(7), expected.nan_to_num(7))
        assert frames["diverged"].tolist() == [lost]


def test_variants_are_compared_with_the_non_saturating_one(built: Path) -> None:
    table = _table(built, "comparisons")
    assert set(table.variant) == {COLLAPSED, DIVERGED}
    assert {split_name(name).stem for name in table.metric} == {"jsd", "modes_occupied", "fid", "recall_k3"}
    # One mode or class only, or no samples at all: no seed of either is better than any of 4.
    assert (table.probability == 0).all()
    # 2 of the 70 ways to deal 8 values, and two tests per metric.
    assert table.p.to_numpy() == pytest.approx(2 / 70, rel=1e-3)  # four digits
    assert table.p_holm.to_numpy() == pytest.approx(4 / 70, rel=1e-3)
    lost = table[table.benchmark == "ring"].set_index("variant").diverged
    assert lost.groupby("variant").first().to_dict() == {COLLAPSED: 1, DIVERGED: 4}


def test_profiles_hold_all_seeds_of_every_variant(built: Path) -> None:
    """A perfect sampler passes everywhere but near 1, a collapsed one nowhere."""
    table = _table(built, "profiles").set_index(["variant", "score"])
    assert table.loc[(PERFECT, 0.9), "share"] > 0.9
    assert table.loc[(DIVERGED, 0.05), "share"] == 0
    assert table.loc[(COLLAPSED, 0.5), "share"] < 0.5
    scores = _table(built, "scores").set_index("variant")
    assert list(scores.scores) == [16, 16, 16]
    assert scores.loc[PERFECT, "point"] > 0.9
    assert scores.loc[DIVERGED, "point"] == 0


def test_training_variance_is_told_from_evaluation_variance(built: Path) -> None:
    """Of the resampled values of every run: evaluation variance is the mean over seeds, and seeds that
    diverged have none."""
    table = _table(built, "variance").set_index(["benchmark", "variant", "metric"])
    assert len(table) == 2 * 3 * 3
    for (benchmark, variant, metric), row in table.iterrows():
        rows = pd.read_csv(built / "evaluated" / benchmark / variant / "resampled.csv")
        seeds = [one.value.to_numpy() for _, one in rows[rows.metric == metric].groupby("seed")]
        assert row.seeds == {PERFECT: 4, COLLAPSED: 3, DIVERGED: 0}[variant]
        if not seeds:
            assert math.isnan(row.training_variance)
            assert math.isnan(row.training_share)
            continue
        evaluation = np.mean([np.var(values, ddof=1) for values in seeds])
        training = np.var([values.mean() for values in seeds], ddof=1) - evaluation / 2
        # Four digits; what is left of metrics that do not vary at all is rounding.
        assert row.evaluation_variance == pytest.approx(evaluation, rel=1e-3, abs=1e-20)
        assert row.training_variance == pytest.approx(max(0, training), rel=1e-2, abs=1e-15)


def test_history_bands_count_the_seeds_still_training(built: Path) -> None:
    table = _table(built, "history")
    bands = table[(table.benchmark == "ring") & (table.variant == COLLAPSED)].set_index("step")
    assert len(bands) == 30
    assert (bands.index.min(), bands.index.max()) == (1, 60)
    # Seed 1 diverges at 17. Losses are seed + step.
    assert list(bands.loc[[17, 19], "seeds"]) == [4, 3]
    columns = ["critic_loss", "critic_loss_q25", "critic_loss_q75"]
    assert tuple(bands.loc[17, columns]) == (18.5, 17, 20)
    assert tuple(bands.loc[19, columns]) == (21, 19, 22)
    assert list(table.columns[:4]) == ["benchmark", "variant", "step", "seeds"]


def test_single_seeds_are_kept_at_their_last_step(built: Path) -> None:
    table = _table(built, "metrics")
    kept = table[table.metric != "diverged"]
    final = {"ring": 60, "digits": 40}
    assert all(row.step == final[row.benchmark] for row in kept.itertuples())
    assert len(kept[(kept.variant == PERFECT) & (kept.metric == "jsd_n2500")]) == 4
    lost = table[(table.metric == "diverged") & (table.value == 1) & (table.benchmark == "ring")]
    assert list(zip(lost.variant, lost.seed, lost.step, strict=True)) == [
        (COLLAPSED, 1, 17), *((DIVERGED, seed, 5) for seed in range(4))
    ]  # fmt: skip


def test_samples_of_the_first_seeds_are_kept_to_three_digits(built: Path) -> None:
    kept = pd.read_parquet(built / RESULTS / "gallery.parquet")
    whole = pd.read_parquet(built / "evaluated" / "ring" / PERFECT / "gallery.parquet")
    ring = kept[(kept.benchmark == "ring") & (kept.variant == PERFECT)]
    assert list(ring.groupby("seed").size()) == [60] * 3
    # float16 has 11 significant bits.
    assert np.stack(ring["values"][:60]) == pytest.approx(np.stack(whole["values"][:60]), rel=2**-11)
    digits = kept[(kept.benchmark == "digits") & (kept.variant == PERFECT)]
    # The digits have 17 grey levels of their own, so real ones come through unchanged.
    assert set(np.concatenate(list(digits["values"]))) <= {np.float16(255 / 16 * k) for k in range(17)}
    # Seed 1 diverged, and no other takes its place.
    assert set(kept[(kept.benchmark == "ring") & (kept.variant == COLLAPSED)].seed) == {0, 2}


def test_the_slope_of_every_objective_is_a_table(built: Path) -> None:
    table = _table(built, "slopes")
    # minimax: s = 1/(1 + r); non-saturating: r/(1 + r); wasserstein has none.
    assert set(table.objective) == {"minimax", "non_saturating"}
    r = 10**table.log10_r
    expected = np.where(table.objective == "minimax", 1 / (1 + r), r / (1 + r))
    assert table.slope.to_numpy() == pytest.approx(expected, rel=1e-5)
    facts = _table(built, "objectives").set_index("objective")
    assert bool(facts.loc["minimax", "vanishes_at_infinity"])
    assert not bool(facts.loc["non_saturating", "vanishes_at_infinity"])
    assert bool(facts.loc["non_saturating", "vanishes_at_zero"])
    assert facts.loc["minimax", "divergence"] == "jensen_shannon"
    assert pd.isna(facts.loc["wasserstein", "limit_at_zero"])
    assert bool(facts.loc["wasserstein", "needs_lipschitz"])


def test_a_variant_with_its_own_parameters_trains_an_objective_of_its_own(built: Path) -> None:
    plans = [load_run("ring", name, built) for name in (PERFECT, COLLAPSED)]
    other = plans[0].model_copy(
        update={"variant": "softer", "objective_spec": {**plans[0].objective_spec, "parameters": {"a": 2}}}
    )
    again = plans[0].model_copy(update={"variant": "again"})
    trained = trained_objectives([other, again, *plans])
    assert list(trained) == ["non_saturating_as_softer", "non_saturating", "minimax"]
    assert trained["non_saturating"].variant == PERFECT
    assert objective_name(again, trained) == "non_saturating"


def test_study_json_tells_what_was_run(built: Path) -> None:
    study = json.loads((built / RESULTS / "study.json").read_text())
    assert study["scale"] == "smoke"
    assert study["recipes"][DIVERGED]["penalty"]["kind"] == "weight_clipping"
    assert set(study["features"]) == {"digits"}
    assert study["features"]["digits"]["held_out_accuracy"] > 0.95
    assert set(study["objectives"]) == {"non_saturating", "minimax", "wasserstein"}
    assert study["objectives"]["minimax"]["derived"]["omega"] == "log(r)"
    assert study["metrics"]["fid"]["higher_is_better"] is False
    assert study["trains"] == {PERFECT: "non_saturating", COLLAPSED: "minimax", DIVERGED: "wasserstein"}
    value, at = study["objectives"]["minimax"]["checks"]["maximum"]
    assert value <= 1e-9
    assert "r = " in at
    # d'(1) = -log 2: only with its tangent taken off is d lowest at r = 1, and no entry has to meet either.
    reported = study["objectives"]["minimax"]["reported"]
    assert {name: held for name, (held, _, _) in reported.items()} == {
        "literal_minimum": False,
        "normalised_minimum": True,
    }
    assert not set(reported) & set(study["objectives"]["minimax"]["checks"])
    assert study["objectives"]["wasserstein"]["reported"] == {}


def test_the_same_study_gives_the_same_bytes(built: Path, copy: Path) -> None:
    for benchmark, variant in load_study(copy).runs:
        shutil.rmtree(copy / "evaluated" / benchmark / variant)
        evaluate(benchmark, variant, copy)
    shutil.rmtree(copy / RESULTS)
    aggregate(copy)
    for name in FILES:
        assert (copy / RESULTS / name).read_bytes() == (built / RESULTS / name).read_bytes(), name


def test_a_removed_variant_is_gone_and_changes_no_other_row(built: Path, copy: Path) -> None:
    _write_settings(copy, [PERFECT, DIVERGED])
    write_plan(copy)
    aggregate(copy)
    assert not (copy / "evaluated" / "ring" / COLLAPSED).exists()
    assert not (copy / "evaluated" / "digits" / COLLAPSED).exists()
    for name in ("metrics", "summary", "progress", "history"):
        before = (built / RESULTS / f"{name}.csv").read_text().splitlines()
        kept = [line for line in before if f",{COLLAPSED}," not in line]
        assert (copy / RESULTS / f"{name}.csv").read_text().splitlines() == kept
    assert COLLAPSED not in (copy / RESULTS / "metrics.json").read_text()


def test_a_run_that_is_not_evaluated_stops_aggregation_with_its_name(copy: Path) -> None:
    shutil.rmtree(copy / "evaluated" / "ring" / PERFECT)
    with pytest.raises(UserError, match=f"evaluate@ring-{PERFECT}"):
        aggregate(copy)


@pytest.mark.parametrize("name", ["metrics.csv", "history.csv", "gallery.parquet", "resampled.csv"])
def test_a_corrupt_table_stops_aggregation_with_its_name(copy: Path, name: str) -> None:
    path = copy / "evaluated" / "ring" / PERFECT / name
    path.write_bytes(b"benchmark,variant\nx,\x00y\n" + path.read_bytes()[40:])
    with pytest.raises(UserError, match=name) as caught:
        aggregate(copy)
    assert "\n" not in str(caught.value)


def test_a_missing_seed_is_not_passed_over(copy: Path) -> None:
    path = copy / "evaluated" / "ring" / PERFECT / "metrics.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if f",{PERFECT},3," not in line) + "\n")
    with pytest.raises(UserError, match="3 final values and 0 diverged seeds of 4"):
        aggregate(copy)


def test_folders_that_the_study_does_not_list_are_removed(built: Path, tmp_path: Path) -> None:
    """Of the folders that aggregate reads as a whole; runs/ keeps what was trained."""
    study = load_study(built)
    kept = [
        tmp_path / "evaluated/ring" / study.runs[0][1],
        tmp_path / "data/ring",
        tmp_path / "features/digits",
    ]
    kept.append(tmp_path / "runs/grid/old")
    gone = [tmp_path / "evaluated/ring/old", tmp_path / "evaluated/grid/old"]
    gone += [tmp_path / "data/grid", tmp_path / "features/grid"]
    for folder in (*kept, *gone):
        folder.mkdir(parents=True)
    remove_unlisted(study, tmp_path)
    assert all(folder.is_dir() for folder in kept)
    assert not any(folder.exists() for folder in gone)
    assert not (tmp_path / "evaluated/grid").exists()


# Fresh critics


def test_fresh_critics_become_decays_and_courses(built: Path) -> None:
    decays, course = _table(built, "fresh_critics"), _table(built, "fresh_critics_course")
    assert len(decays) == 2 * 3 * 3 * 4  # benchmarks, variants, saved generators, seeds
    assert decays.decay_decades.to_numpy() == pytest.approx(2.0 * decays.seed.to_numpy(), abs=1e-3)
    last = course[course.critic_updates == 16]
    # Seeds 0 to 3: norms 2, 0.02, 2e-4, 2e-6; the median is the mean of the middle two.
    assert last.gradient_norm.to_numpy() == pytest.approx(0.0101, rel=1e-3)
    assert set(course.seeds) == {4}
    content = json.loads((built / RESULTS / "study.json").read_text())
    assert content["fresh_critics"] == {"generator": PERFECT, "critic_updates": 16}


def test_fresh_critics_that_are_missing_or_corrupt_are_named(copy: Path) -> None:
    path = copy / "fresh_critics/digits/fresh_critics.csv"
    path.write_text("")
    with pytest.raises(UserError, match=r"digits/fresh_critics.csv: corrupt .*stage fresh_critics@digits"):
        aggregate(copy)
    path.unlink()
    with pytest.raises(UserError, match=r"cannot be read .*run the stage fresh_critics@digits"):
        aggregate(copy)
