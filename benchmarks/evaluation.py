"""`python -m benchmarks.evaluation [BENCHMARK ...]`: seconds that judging one run takes.

A run is 10 seeds of 10,000 samples, every metric, and 20 checkpoints of the benchmark's own number of
samples, the metrics through training. Good fakes are real ones with a little noise, collapsed ones the same
of a single mode or class: pairs that are counted because they are near are few in the first case and nearly
all in the second. Seconds of one thread of the processor, which others that run beside it do not change
much; medians over the seeds, times their number.
"""

import statistics
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from pipeline.config import PARAMS, DigitsData, MixtureData, Setting, StackedDigitsData, load_params
from pipeline.data import mixtures
from pipeline.data.fetch import digits
from pipeline.data.sampling import STACKED
from pipeline.metrics.features import train_classifier
from pipeline.metrics.image_judges import ImageJudge, StackedJudge
from pipeline.metrics.judges import Judge, MixtureJudge, measure

SEEDS, SAMPLES, CHECKPOINTS, EPOCHS = 10, 10000, 20, 15
TARGETS = {"ring": 20.0, "grid": 20.0, "digits": 40.0, "stacked_digits": 40.0}  # of 10 x 10,000, two cores
NOISE = 8  # levels of 255


def judge_and_fakes(setting: Setting, collapsed: bool, generator: torch.Generator) -> tuple[Judge, Tensor]:
    """The benchmark's judge and fakes (SEEDS, SAMPLES, D)."""
    shape = (SEEDS, SAMPLES)
    if isinstance(setting.data, MixtureData):
        mixture = mixtures.mixture(setting.data)
        judge: Judge = MixtureJudge(mixture, SAMPLES, generator)
        fakes = mixture.sample(SEEDS * SAMPLES, generator).view(*shape, 2)
        one = mixture.means[0] + mixture.std * torch.randn(*shape, 2, generator=generator)
        return judge, one.float() if collapsed else fakes
    assert isinstance(setting.data, DigitsData | StackedDigitsData)
    images = digits(setting.data)
    classifier = train_classifier(images, EPOCHS)
    real = images.train_images[images.train_labels == 3] if collapsed else images.train_images
    if isinstance(setting.data, StackedDigitsData):
        judge, together = StackedJudge(images, classifier, SAMPLES, generator), STACKED
    else:
        judge, together = ImageJudge(images, classifier), 1
    chosen = real[torch.randint(len(real), (*shape, together), generator=generator)].flatten(2)
    noise = torch.randint(-NOISE, NOISE + 1, chosen.shape, generator=generator)
    return judge, (chosen + noise).clamp(0, 255).to(torch.uint8)


def seconds(judge: Judge, samples: Tensor, setting: Setting, final: bool) -> float:
    start = time.process_time()
    measure(judge, samples, setting.collapse_below, final)
    return time.process_time() - start


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    benchmarks = load_params(Path(PARAMS)).benchmarks
    table = Table(title=f"Seconds of one thread to judge a run of {SEEDS} seeds")
    for column in ("benchmark", "fakes", f"{SEEDS} x {SAMPLES:,}", "range", "target", "checkpoints", "all"):
        table.add_column(column, justify="right")
    for name in names or TARGETS:
        setting = benchmarks[name].setting
        for collapsed in (False, True):
            judge, fakes = judge_and_fakes(setting, collapsed, torch.Generator().manual_seed(0))
            few = fakes[:, : setting.checkpoint_samples]
            seconds(judge, few[0], setting, final=True)  # imports
            final = [SEEDS * seconds(judge, samples, setting, final=True) for samples in fakes]
            cheap = [SEEDS * CHECKPOINTS * seconds(judge, samples, setting, final=False) for samples in few]
            end, through = statistics.median(final), statistics.median(cheap)
            table.add_row(
                name,
                "collapsed" if collapsed else "good",
                f"{end:.1f}",
                f"{min(final):.1f} to {max(final):.1f}",
                f"{TARGETS[name]:g}",
                f"{CHECKPOINTS} x {SEEDS} x {setting.checkpoint_samples:,}: {through:.1f}",
                f"{end + through:.1f}",
            )
    Console(width=110).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
