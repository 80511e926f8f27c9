"""The runs of the study: where their files lie, and what `plan` resolved for them."""

import shutil
from pathlib import Path

from pipeline.config import CalibrationPlan, EvaluationPlan, FreshCriticsPlan, RunPlan, StudyPlan
from pipeline.errors import unknown
from pipeline.settings import read_model

PLAN = "plan"
DATA = "data"
FEATURES = "features"
RUNS = "runs"
EVALUATED = "evaluated"
FRESH_CRITICS = "fresh_critics"
RESULTS = "reports/results"
FIGURES = "reports/figures"
WORK = ".work"
# Files of the plan.
EVALUATION = "evaluation.json"
CALIBRATION = "calibration.json"


def run_path(root: Path, folder: str, benchmark: str, variant: str) -> Path:
    """root/FOLDER/BENCHMARK/VARIANT, for RUNS and EVALUATED."""
    return root / folder / benchmark / variant


def load_study(root: Path) -> StudyPlan:
    """plan/study.json. Raises UserError when the plan stage has not run."""
    return read_model(StudyPlan, root / PLAN / "study.json")


def remove_unlisted(study: StudyPlan, root: Path) -> None:
    """Delete what runs and benchmarks left that the study no longer lists, where aggregate reads folders.

    DVC hashes whole folders, and a removed variant's files stay on disk: without this, the same study would
    have two hashes, and a variant taken back out would look like a change. What is deleted is an output in
    DVC's cache. Snakemake's schedule does it before it asks what is stale, aggregate for a plain `dvc repro`.
    """
    for folder in sorted((root / EVALUATED).glob("*/*")):
        if folder.is_dir() and (folder.parent.name, folder.name) not in study.runs:
            shutil.rmtree(folder)
    for kind in (EVALUATED, DATA, FEATURES, FRESH_CRITICS):
        for folder in sorted((root / kind).glob("*")):
            if folder.is_dir() and folder.name not in study.benchmarks:
                shutil.rmtree(folder)


def load_run(benchmark: str, variant: str, root: Path) -> RunPlan:
    """plan/BENCHMARK/VARIANT.json. Raises UserError naming the nearest known benchmark or variant."""
    path = root / PLAN / benchmark / f"{variant}.json"
    if not path.exists():
        study = load_study(root)
        if benchmark not in study.benchmarks:
            raise unknown("benchmark", benchmark, study.benchmarks, str(root / PLAN))
        known = [name for place, name in study.runs if place == benchmark]
        raise unknown(f"variant on {benchmark}", variant, known, str(root / PLAN))
    return read_model(RunPlan, path)


def load_fresh_critics(benchmark: str, root: Path) -> FreshCriticsPlan:
    """plan/fresh_critics/BENCHMARK.json. Raises UserError naming the nearest known benchmark."""
    path = root / PLAN / FRESH_CRITICS / f"{benchmark}.json"
    if not path.exists():
        raise unknown("benchmark", benchmark, load_study(root).of_every_variant, str(root / PLAN))
    return read_model(FreshCriticsPlan, path)


def load_evaluation(root: Path) -> EvaluationPlan:
    """plan/evaluation.json. Raises UserError when the plan stage has not run."""
    return read_model(EvaluationPlan, root / PLAN / EVALUATION)


def load_calibration(root: Path) -> CalibrationPlan:
    """plan/calibration.json. Raises UserError when the plan stage has not run."""
    return read_model(CalibrationPlan, root / PLAN / CALIBRATION)
