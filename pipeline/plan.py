"""The runs of the study: where their files lie, and what `plan` resolved for them."""

from pathlib import Path

from pipeline.config import RunPlan, StudyPlan
from pipeline.errors import unknown
from pipeline.settings import read_model

PLAN = "plan"
DATA = "data"
FEATURES = "features"
RUNS = "runs"
EVALUATED = "evaluated"
RESULTS = "reports/results"
FIGURES = "reports/figures"
WORK = ".work"


def run_path(root: Path, folder: str, benchmark: str, variant: str) -> Path:
    """root/FOLDER/BENCHMARK/VARIANT, for RUNS and EVALUATED."""
    return root / folder / benchmark / variant


def load_study(root: Path) -> StudyPlan:
    """plan/study.json. Raises UserError when the plan stage has not run."""
    return read_model(StudyPlan, root / PLAN / "study.json")


def load_run(benchmark: str, variant: str, root: Path) -> RunPlan:
    """plan/BENCHMARK/VARIANT.json. Raises UserError naming the nearest known benchmark or variant."""
    path = root / PLAN / benchmark / f"{variant}.json"
    if not path.exists():
        study = load_study(root)
        if benchmark not in study.benchmarks:
            raise unknown("benchmark", benchmark, study.benchmarks, str(root / PLAN))
        raise unknown("variant", variant, study.variants, str(root / PLAN))
    return read_model(RunPlan, path)
