"""As in a stage: one thread. Test files run beside each other, and threads that wait for each other on cores
that are taken make them many times slower.
"""

import os

# Before numpy and torch are imported, as in pipeline/__main__.py.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from pipeline.config import DigitsData
from pipeline.data.fetch import digits
from pipeline.data.images import Images
from pipeline.metrics import features

torch.set_num_threads(1)

# The longest files first: begun last, one of them would keep a core busy while the others wait.
LONGEST = (
    *("test_graph", "test_paper", "test_theory", "test_figures", "test_schedule", "test_estimators_ratio"),
    *("test_laws", "test_training", "test_tracking"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the order in which `make test` hands the files to its processes."""
    place = {name: index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session")
def images() -> Images:
    return digits(DigitsData(kind="digits", held_out=599, split_seed=0))


@pytest.fixture(scope="session")
def classifier(images: Images) -> features.Classifier:
    return features.train_classifier(images, epochs=3)
