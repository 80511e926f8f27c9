"""The one command line: `python -m pipeline VERB`.

It only dispatches: each verb calls one function, and a user's mistake becomes one line and exit code 2.
"""

import contextlib
import gc
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from pipeline.errors import UserError, unknown

# Before numpy and torch load: thread pools of jobs that run side by side would fight for the cores, and the
# number of threads can change the last digits of a result.
os.environ.setdefault("OMP_NUM_THREADS", "1")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="GAN Foundry: from an objective's formula to a row in the paper. Stages are run by `make study`, "
    "`dvc repro` or `snakemake --cores all`; each can be run alone with the verbs below.",
)
ROOT = Path()

BenchmarkName = Annotated[str, typer.Argument(help="a benchmark of params.yaml")]
VariantName = Annotated[str, typer.Argument(help="a variant of params.yaml")]


def _one_thread() -> None:
    """One thread per job, jobs in parallel: faster on few cores, and results do not depend on the cores."""
    import torch

    torch.set_num_threads(1)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Garbage is not collected in the block, nor what it leaves at the end of the process.

    For a command of a second, and for imports: collecting over the modules of torch and SymPy takes a third
    of their time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@app.command()
def plan() -> None:
    """Resolve params.yaml and objectives.yaml into one checked file per run."""
    from pipeline.provenance import record_stage
    from pipeline.resolve import write_plan

    with record_stage("plan", ROOT):
        runs = write_plan(ROOT)
    print(f"plan: {len(runs)} runs")


@app.command()
def fetch(dataset: Annotated[str, typer.Argument(help="a benchmark's data set")]) -> None:
    """Fetch or make a data set, and verify it."""
    from pipeline.data.fetch import fetch as run
    from pipeline.provenance import record_stage

    with record_stage(f"fetch@{dataset}", ROOT):
        run(dataset, ROOT)


@app.command()
def features(dataset: Annotated[str, typer.Argument(help="a benchmark's data set")]) -> None:
    """Train the classifier whose features FID, KID, precision and recall use."""
    from pipeline.metrics.features import train_features
    from pipeline.provenance import record_stage

    _one_thread()
    with record_stage(f"features@{dataset}", ROOT):
        train_features(dataset, ROOT)


@app.command()
def theory(
    name: Annotated[str | None, typer.Argument(help="one experiment; all of them if not given")] = None,
) -> None:
    """Exact results, without a trained generator."""
    from pipeline.provenance import record_stage
    from pipeline.theory import run

    _one_thread()
    if name is not None:
        # By hand and a part: not the stage, whose time and record stay.
        for path in run(ROOT, name):
            print(path)
        return
    with record_stage("theory", ROOT):
        run(ROOT)


@app.command()
def train(benchmark: BenchmarkName, variant: VariantName) -> None:
    """Train one variant on one benchmark, all seeds at once; a killed training resumes."""
    with _no_collection():
        from pipeline.provenance import record_stage
        from pipeline.training import train as run

        _one_thread()
    with record_stage(f"train@{benchmark}-{variant}", ROOT):
        run(benchmark, variant, ROOT)


@app.command()
def evaluate(benchmark: BenchmarkName, variant: VariantName) -> None:
    """Measure one trained run."""
    with _no_collection():
        from pipeline.evaluate import evaluate as run
        from pipeline.provenance import record_stage

        _one_thread()
    with record_stage(f"evaluate@{benchmark}-{variant}", ROOT):
        run(benchmark, variant, ROOT)


@app.command("fresh_critics")
def fresh_critics(benchmark: BenchmarkName) -> None:
    """Train new critics against saved generators, and follow the generator's gradient."""
    from pipeline.fresh_critics import fresh_critics as run
    from pipeline.provenance import record_stage

    _one_thread()
    with record_stage(f"fresh_critics@{benchmark}", ROOT):
        run(benchmark, ROOT)


@app.command()
def calibrate(
    name: Annotated[str, typer.Argument(help="an estimator")],
) -> None:
    """Try an estimator on pairs of known laws: bias, spread, and what it can tell from zero."""
    from pipeline.calibration import calibrate as run
    from pipeline.provenance import record_stage

    _one_thread()
    with record_stage(f"calibrate@{name}", ROOT):
        run(name, ROOT)


@app.command("critic_estimates")
def critic_estimates() -> None:
    """What trained critics tell of known densities, and the error of a sample average."""
    from pipeline.calibration.critic_estimates import critic_estimates as run
    from pipeline.provenance import record_stage

    _one_thread()
    with record_stage("critic_estimates", ROOT):
        run(ROOT)


@app.command()
def aggregate() -> None:
    """Collect all runs into reports/results, with intervals over seeds."""
    from pipeline.aggregate import aggregate as run
    from pipeline.provenance import record_stage

    _one_thread()
    with record_stage("aggregate", ROOT):
        run(ROOT)


@app.command()
def claims() -> None:
    """Judge each claim by the criterion fixed in claims.yaml."""
    from pipeline.claims import write_claims
    from pipeline.provenance import record_stage

    with record_stage("claims", ROOT):
        write_claims(ROOT)


@app.command()
def figures() -> None:
    """Draw every figure from reports/results."""
    from pipeline.figures import write_figures
    from pipeline.provenance import record_stage

    with record_stage("figures", ROOT):
        write_figures(ROOT)


@app.command()
def movie(benchmark: BenchmarkName) -> None:
    """Draw the samples of every variant through training as one animated picture."""
    from pipeline.movie import write_movie
    from pipeline.provenance import record_stage

    with record_stage(f"movie@{benchmark}", ROOT):
        write_movie(benchmark, ROOT)


@app.command()
def paper() -> None:
    """Build reports/paper.pdf and reports/paper.html from one source."""
    from pipeline.paper import write_paper
    from pipeline.provenance import record_stage

    with record_stage("paper", ROOT):
        write_paper(ROOT)


@app.command()
def provenance() -> None:
    """Record versions, commit, hardware and times of the stages that ran here."""
    from pipeline.provenance import write_provenance

    write_provenance(ROOT)


@app.command()
def track() -> None:
    """Mirror the result files to MLflow; running it twice adds nothing."""
    from pipeline.tracking import track as run

    run(ROOT)


@app.command("ui")
def show_ui(port: Annotated[int, typer.Option(min=1, max=65535, help="port on 127.0.0.1")] = 5000) -> None:
    """Show the runs in the MLflow UI on 127.0.0.1."""
    from pipeline.tracking import check_port, ui
    from pipeline.tracking import track as run

    check_port(port)
    run(ROOT)
    ui(ROOT, port)


@app.command()
def objective(
    name: Annotated[str | None, typer.Argument(help="an objective of objectives.yaml")] = None,
    omega: Annotated[str | None, typer.Option(help="the critic's best output at r = q/p; with --rho")] = None,
    rho: Annotated[str | None, typer.Option(help="psi'(t)")] = None,
    f: Annotated[str | None, typer.Option(help="a convex function of u = p/q: an f-divergence")] = None,
    phi: Annotated[str | None, typer.Option(help="the critic's gain on real data at t; with --psi")] = None,
    psi: Annotated[str | None, typer.Option(help="the critic's gain on fake data at t")] = None,
    beta: Annotated[str | None, typer.Option(help="the generator's loss at t; psi if not given")] = None,
    alpha: Annotated[str | None, typer.Option(help="the part of d that p weighs")] = None,
    domain: Annotated[str | None, typer.Option(help='of t: "[-oo, oo]", "[0, 1]"')] = None,
    activation: Annotated[str | None, typer.Option(help="from the raw output v to t")] = None,
    parameter: Annotated[list[str] | None, typer.Option(help="a=2; may stand several times")] = None,
    title: Annotated[str | None, typer.Option(help="its name in the paper")] = None,
    citation: Annotated[str | None, typer.Option(help="where it was published")] = None,
    plot: Annotated[Path | None, typer.Option(help="draw its curves: .svg, .png or .pdf")] = None,
    add: Annotated[str | None, typer.Option(help="append it to objectives.yaml by this name")] = None,
    show_all: Annotated[bool, typer.Option("--all", help="the table of the whole catalogue")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Derive an objective, by NAME or from formulas: its divergence, what vanishes, and every check."""
    formulas = {
        "omega": omega, "rho": rho, "f": f, "phi": phi, "psi": psi, "alpha": alpha, "beta": beta,
        "domain": domain, "activation": activation,
    }  # fmt: skip
    with _no_collection():
        from pipeline.config import OBJECTIVES
        from pipeline.objectives.command import Request, answer

        request = Request(
            name=name,
            formulas={key: text for key, text in formulas.items() if text is not None},
            parameters=tuple(parameter or ()),
            citation=citation,
            title=title,
            plot=plot,
            add=add,
            as_json=as_json,
            show_all=show_all,
        )
        answer(request, ROOT / OBJECTIVES)


@app.command()
def scale(
    name: Annotated[str, typer.Argument(help="a scale of params.yaml: smoke, laptop or paper")],
) -> None:
    """Set the `scale:` line of params.yaml."""
    from pipeline.config import PARAMS, load_params

    path = ROOT / PARAMS
    known = load_params(path).scales
    if name not in known:
        raise unknown("scale", name, known, PARAMS)
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(?m)^scale:\s*\w+", f"scale: {name}", text, count=1), encoding="utf-8")


@app.command()
def study(
    jobs: Annotated[int, typer.Option(min=0, help="stages at once; 0: one per processor core")] = 0,
) -> None:
    """Run everything that is stale, show progress, mirror to MLflow, say where the paper is."""
    from pipeline.study import run_study

    run_study(ROOT, jobs or (os.cpu_count() or 1))


def main() -> None:
    """Entry point: exit code 2 and one line for a user's mistake, 130 when interrupted."""
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        _stop(str(error))
    except TyperException as error:
        told = " ".join(str(getattr(error, "message", "") or error).split())
        # Without a verb, typer's message is the whole help: it has been printed.
        _stop(f"{told} (python -m pipeline --help)" if told else "which verb? (python -m pipeline --help)")
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted; run it again to go on where it stopped", file=sys.stderr)
        sys.exit(130)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _stop(message: str) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
