"""Result files -> MLflow: one parent run per benchmark and variant, one child run per seed.

Mirroring twice adds nothing:

- a *family* (parent and children) carries the tag `content`, the sha256 of all that it shows. The parent's is
  set when everything else is written, so a family that was cut off half-way never counts as written;
- a family whose content changed is written anew, then the old one is deleted (MLflow keeps deleted runs until
  `mlflow gc`), so the UI shows one run per benchmark, variant and seed. Not updated in place, because MLflow
  appends to a metric's history and refuses to change a parameter;
- figures change with any variant, and artifacts can be overwritten: figures are, in place (tag `figures`);
- a run that left the study is deleted too. One whose files are missing here is left as it is.

MLflow takes 0.06 ms for each point of a metric and 10 ms for each run, and a study has 700 runs: a seed shows
every metric at every checkpoint, and its history at 25 of the 100 steps that `train` logs.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.image import imsave

from pipeline.config import OBJECTIVES, PARAMS, RunPlan, StudyPlan
from pipeline.plan import load_run, load_study
from pipeline.tracking.files import (
    Measured,
    Source,
    digest,
    figures_of,
    flat_params,
    measured,
    note,
    read_sources,
    samples_picture,
    sha256,
    summary_values,
)
from pipeline.tracking.store import (
    FIRST_CALL,
    LATER_CALLS,
    QUIET,
    REMOTE,
    STORE,
    environment,
    one_at_a_time,
    silence,
    store_uri,
    without_password,
)

if TYPE_CHECKING:  # MLflow takes seconds to import and reads its settings while it does
    from mlflow.entities import Run

EXPERIMENT = "gan-foundry"
ARTIFACTS = "mlartifacts"
PARENT = "mlflow.parentRunId"
MIRRORED_BY = "pipeline track"
METRICS_PER_CALL, PARAMS_PER_CALL = 900, 100  # MLflow's limits: 1000 entries, of them 100 parameters

DESCRIPTION = (
    "A mirror of the result files: one parent run per benchmark and variant (its metrics are interquartile "
    "means over seeds with 95 % intervals, NAME.low and NAME.high), one child run per seed. Steps are "
    "generator updates."
)


def track(root: Path) -> None:
    """Mirror the study's result files to `sqlite:///mlflow.db` in root, or to MLFLOW_TRACKING_URI.

    What is missing is skipped with one line; a store that is down or broken costs one warning on stderr
    within seconds. MLFLOW_EXPERIMENT_NAME names another experiment than "gan-foundry".
    Raises UserError without a plan and for a result file that is not what its stage writes.
    """
    root = root.resolve()
    study = load_study(root)
    sources = read_sources(root, (load_run(benchmark, variant, root) for benchmark, variant in study.runs))
    uri = store_uri(root)
    with environment(QUIET), silence(), one_at_a_time(root):
        from alembic.util.exc import CommandError
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with environment(FIRST_CALL):
                mirror = _Mirror(root, uri, study)
            with environment(LATER_CALLS):
                written = mirror.update(sources)
        except (MlflowException, SQLAlchemyError, CommandError, ImportError, OSError) as error:
            # A request that failed is told at length, its cause last.
            reason = without_password(" ".join(str(error).split()).rpartition("Caused by ")[2])[:300]
            note(f"warning: not mirrored, no result is affected: MLflow at {without_password(uri)}: {reason}")
            return
    print(f"MLflow: {written} of {len(sources)} runs new or changed, now in {without_password(uri)}")


class _Mirror:
    """One connection to one experiment."""

    def __init__(self, root: Path, uri: str, study: StudyPlan) -> None:
        from mlflow import MlflowClient

        self.root, self.uri, self.scale = root, uri, study.scale
        self.titles = {name: variant.title for name, variant in study.variants.items()}
        self.client: MlflowClient = MlflowClient(tracking_uri=uri)
        self.experiment = self._experiment()
        self.commit = _commit_tags(root)

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        # A server knows where its artifacts belong; a database in this process would take the working folder.
        here = None if REMOTE.match(self.uri) else (self.root / ARTIFACTS).as_uri()
        found = self.client.get_experiment_by_name(name)
        if found is None:
            # The kind makes the UI open with the table of runs.
            tags = {"mlflow.note.content": DESCRIPTION, "mlflow.experimentKind": "custom_model_development"}
            return str(self.client.create_experiment(name, artifact_location=here, tags=tags))
        if self.uri == f"sqlite:///{self.root / STORE}" and found.artifact_location != here:
            raise MlflowException(
                f"its artifacts are at {found.artifact_location}, not in this folder; was the project moved? "
                f"Delete {STORE}, a mirror, and track again"
            )
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def update(self, sources: list[Source]) -> int:
        """Write what changed, then delete what it replaces; the number of families written."""
        known = self._runs()
        benchmarks = {source.plan.benchmark for source in sources}
        written = 0
        for source in sources:
            former = known.pop((source.plan.benchmark, source.plan.variant), [])
            if not source.files:
                continue
            content = source.content
            figures = figures_of(self.root, source.plan.benchmark, benchmarks)
            family = _whole_family(former, source.plan.seeds, content)
            if family:
                self._figures(family[0].info.run_id, figures, family[0].data.tags.get("figures"))
            else:
                self._write(source, content, figures)
                written += 1
            self._delete(run for run in former if run not in family)
        self._delete(run for runs in known.values() for run in runs)
        return written

    def _runs(self) -> dict[tuple[str, str], list["Run"]]:
        """The runs that `track` wrote, without deleted ones, by benchmark and variant."""
        found: dict[tuple[str, str], list[Run]] = {}
        page_token: str | None = None
        while True:
            page = self.client.search_runs(
                [self.experiment], f"tags.mirrored_by = '{MIRRORED_BY}'", page_token=page_token
            )
            for run in page:
                found.setdefault((run.data.tags["benchmark"], run.data.tags["variant"]), []).append(run)
            page_token = page.token
            if not page_token:
                return found

    def _delete(self, runs: Iterable["Run"]) -> None:
        for run in runs:
            self.client.delete_run(run.info.run_id)

    def _write(self, source: Source, content: str, figures: Mapping[str, Path]) -> None:
        """One whole family. The parent's `content` comes last: it says that the family is whole."""
        plan, data, params = source.plan, measured(source), flat_params(source.plan)
        now = int(time.time() * 1000)
        tags = {
            "mirrored_by": MIRRORED_BY,
            "benchmark": plan.benchmark,
            "variant": plan.variant,
            "objective": plan.objective,
            "stage": plan.stage("evaluate" if "metrics.csv" in source.files else "train"),
            "scale": self.scale,
            "plan_sha256": sha256(source.files["plan.json"].read_bytes()),
        } | self.commit
        seeds = " ".join(str(seed) for seed in sorted(data.diverged)) or "none"
        own = {"level": "variant", "diverged_seeds": seeds, "mlflow.note.content": self.titles[plan.variant]}
        parent = self._create(plan.name, tags | own)
        for seed in plan.seeds:
            own = {"level": "seed", "seed": str(seed), PARENT: parent, "content": content}
            self._write_seed(seed, plan, data, tags | own, now)
        values = summary_values(source, data.diverged)
        self._log(
            parent, [(name, value, plan.generator_updates) for name, value in values.items()], params, now
        )
        self._result_files(parent, source)
        self._figures(parent, figures, None)
        self.client.set_terminated(parent)
        self.client.set_tag(parent, "content", content)

    def _write_seed(self, seed: int, plan: RunPlan, data: Measured, tags: dict[str, str], now: int) -> None:
        rows = data.rows[data.rows["seed"] == seed]
        values = [
            (str(name), float(value), int(step))
            for name, value, step in zip(rows["metric"], rows["value"], rows["step"], strict=True)
        ]
        if not any(name == "diverged" for name, _, _ in values):  # not evaluated yet
            step = data.diverged.get(seed, plan.generator_updates)
            values.append(("diverged", float(seed in data.diverged), step))
        tags |= {"diverged": str(seed in data.diverged).lower()}
        if seed in data.diverged:
            tags["diverged_step"] = str(data.diverged[seed])
        if seed in data.not_finite:
            # MLflow would store an infinity as the largest number.
            tags["not_finite"] = " ".join(data.not_finite[seed])
        params = {name: value for name, value in flat_params(plan).items() if name != "seeds"}
        run = self._create(f"{plan.name}-seed{seed}", tags)
        self._log(run, values, params | {"seed": str(seed)}, now)
        self.client.set_terminated(run)

    def _create(self, name: str, tags: dict[str, str]) -> str:
        return str(self.client.create_run(self.experiment, run_name=name, tags=tags).info.run_id)

    def _log(
        self, run: str, values: list[tuple[str, float, int]], params: dict[str, str], timestamp: int
    ) -> None:
        from mlflow.entities import Metric, Param

        entries = [Param(name, value) for name, value in params.items()]
        metrics = [Metric(name, value, timestamp, step) for name, value, step in values]
        while entries or metrics:
            self.client.log_batch(
                run, metrics[:METRICS_PER_CALL], entries[:PARAMS_PER_CALL], synchronous=True
            )
            metrics, entries = metrics[METRICS_PER_CALL:], entries[PARAMS_PER_CALL:]

    def _result_files(self, run: str, source: Source) -> None:
        """The small files themselves, and a picture of the gallery."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("plan.json", "meta.json", "metrics.csv"):
                if path := source.files.get(name):
                    shutil.copyfile(path, Path(folder) / name)
            picture = samples_picture(source)
            if picture is not None:
                imsave(Path(folder) / "samples.png", picture, cmap="gray", vmin=0, vmax=255)
            self.client.log_artifacts(run, folder)

    def _figures(self, run: str, figures: Mapping[str, Path], mirrored: str | None) -> None:
        """Overwrite a run's figures, unless they are the ones already `mirrored`; remove those that went."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        wanted = digest({name: sha256(path.read_bytes()) for name, path in figures.items()})
        if wanted == mirrored:
            return
        with tempfile.TemporaryDirectory() as folder:  # one call for all: each asks the store for the run
            for name, path in figures.items():
                shutil.copyfile(path, Path(folder) / name)
            self.client.log_artifacts(run, folder, "figures")
        if mirrored is not None:
            place = get_artifact_repository(self.client.get_run(run).info.artifact_uri, tracking_uri=self.uri)
            for former in self.client.list_artifacts(run, "figures"):
                if Path(former.path).name not in figures:
                    with contextlib.suppress(NotImplementedError):  # some stores cannot delete
                        place.delete_artifacts(former.path)  # type: ignore[no-untyped-call]
        self.client.set_tag(run, "figures", wanted)


def _whole_family(runs: list["Run"], seeds: tuple[int, ...], content: str) -> list["Run"]:
    """The parent with this content and its finished children, one per seed; [] when there is none."""

    def finished(run: "Run") -> bool:
        return run.info.status == "FINISHED" and run.data.tags.get("content") == content

    for parent in runs:
        if PARENT in parent.data.tags or not finished(parent):
            continue
        children = [run for run in runs if run.data.tags.get(PARENT) == parent.info.run_id and finished(run)]
        if sorted(int(run.data.tags["seed"]) for run in children) == sorted(seeds):
            return [parent, *children]
    return []


def _commit_tags(root: Path) -> dict[str, str]:
    """The commit at the time of mirroring, and whether the code or the settings differ from it."""

    def git(*arguments: str) -> str | None:
        with contextlib.suppress(OSError):
            answer = subprocess.run(
                ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
            )
            return answer.stdout.strip() if answer.returncode == 0 else None
        return None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return {}
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "pipeline", PARAMS, OBJECTIVES)
    return {"git_commit": commit, "mlflow.source.git.commit": commit, "git_dirty": str(bool(changed)).lower()}
