# Schedules the graph of dvc.yaml in parallel: `snakemake --cores all`. DVC decides what is stale and owns
# every output; a rule's only output here is a sentinel, which the main process clears when it starts.
import shlex
import sys
from pathlib import Path

workdir: workflow.basedir

sys.path.insert(0, workflow.basedir)
from pipeline import graph
from pipeline.errors import UserError
from pipeline.provenance import expected_seconds

ROOT = Path(workflow.basedir)
try:
    STAGES = graph.schedule(ROOT) if workflow.is_main_process else graph.load_schedule(ROOT)
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
URGENCY = graph.urgency(STAGES, expected_seconds(ROOT))

# How many jobs may share the GPUs: `resources: gpu` of the profile. Without a GPU no stage asks for one.
GPU_SLOTS = int(getattr(workflow.global_resources.get("gpu"), "value", 0) or 0)
LAUNCH = config.get("launch", "")
USES_GPU = bool(LAUNCH) or bool(graph.visible_gpus())


rule study:
    input:
        [graph.sentinel(name) for name in STAGES],


for stage in STAGES.values():
    gpu = stage.gpu if USES_GPU and GPU_SLOTS else 0
    launch = LAUNCH.format(gpu=stage.gpu, mem_mb=stage.mem_mb, runtime=stage.runtime)

    rule:
        name:
            stage.name
        input:
            [graph.sentinel(name) for name in stage.needs],
        output:
            touch(graph.sentinel(stage.name)),
        priority: URGENCY[stage.name]
        resources:
            gpu=gpu,
            mem_mb=stage.mem_mb,
            runtime=stage.runtime,
        params:
            # dvc --wait-for-lock repro --single-item STAGE, with its log and its GPU
            command=shlex.join(
                [sys.executable, "-m", "pipeline.graph", stage.name]
                + ["--gpu-slots", str(GPU_SLOTS if gpu else 0), "--launch", launch]
            ),
        shell:
            "{params.command}"
