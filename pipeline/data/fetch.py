"""`fetch DATASET`: bring a data set into data/DATASET/. A data set is named as its benchmark."""

import hashlib
from pathlib import Path

import torch

from pipeline.config import BenchmarkPlan, DigitsData, MixtureData, RingData, StackedDigitsData
from pipeline.data import mixtures
from pipeline.data.files import write_folder
from pipeline.data.images import Images, images_to_bytes
from pipeline.errors import UserError, unknown
from pipeline.settings import read_model

# Of the 1797 images as uint8 0..16, in scikit-learn's order: another release must not change the data unseen.
DIGITS_SHA256 = "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"
OTHER_PLANS = ("study", "evaluation", "calibration")  # files of the plan that are no data set's


def fetch(dataset: str, root: Path) -> None:
    """Write data/DATASET/ with a manifest.

    Raises UserError for a benchmark that the study does not have and for settings that do not fit the data.
    """
    settings = read_plan(dataset, root).setting.data
    folder = root / "data" / dataset
    if isinstance(settings, MixtureData):
        _fetch_mixture(settings, folder)
    else:
        _fetch_digits(settings, folder)


def read_plan(dataset: str, root: Path) -> BenchmarkPlan:
    """plan/DATASET.json. Raises UserError for a benchmark that the study does not have.

    Reads settings only, no objectives: an edited objective fetches nothing again.
    """
    path = root / "plan" / f"{dataset}.json"
    if dataset in OTHER_PLANS or not path.exists():
        known = [plan.stem for plan in (root / "plan").glob("*.json") if plan.stem not in OTHER_PLANS]
        if not known:
            raise UserError(f"{root / 'plan'}: no plan here; run the stage plan first")
        raise unknown("dataset", dataset, known, str(root / "plan"))
    return read_model(BenchmarkPlan, path)


def _fetch_mixture(settings: MixtureData, folder: Path) -> None:
    content = mixtures.mixture_to_bytes(mixtures.mixture(settings))
    place = "at angles 2 pi i / K on a circle" if isinstance(settings, RingData) else "on a square grid"
    about = {
        "source": f"computed: equal normals {place}",
        "split": "none: an exact law",
    }
    write_folder(folder, {mixtures.FILE: content}, about)


def _fetch_digits(settings: DigitsData | StackedDigitsData, folder: Path) -> None:
    images = digits(settings)
    about = {
        "source": "Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998, CC BY 4.0), "
        "the 1797 images that ship with scikit-learn (load_digits); levels 0..16 scaled to 0..255",
        "split": f"{len(images.test_images)} held out, stratified by label, seed {settings.split_seed}",
    }
    write_folder(folder, {f"{folder.name}.safetensors": images_to_bytes(images, 8, 8)}, about)


def digits(settings: DigitsData | StackedDigitsData) -> Images:
    """scikit-learn's digits: level v of 0..16 becomes round(255 v / 16); both parts in the source's order.

    The split is stratified: every class keeps its share, to one image. Raises UserError when scikit-learn
    ships other images.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    source = load_digits()
    levels = torch.from_numpy(source.data).to(torch.uint8)
    found = hashlib.sha256(levels.numpy().tobytes()).hexdigest()
    if found != DIGITS_SHA256:
        raise UserError(
            f"scikit-learn's load_digits: sha256 {found[:12]}... instead of {DIGITS_SHA256[:12]}...; "
            "install the versions of requirements.lock"
        )
    labels = torch.from_numpy(source.target).to(torch.int64)
    pixels = (levels.to(torch.float64) * 255 / 16).round().to(torch.uint8)
    train, test = train_test_split(
        range(len(labels)), test_size=settings.held_out, random_state=settings.split_seed, stratify=labels
    )
    train, test = sorted(train), sorted(test)
    return Images(pixels[train], labels[train], pixels[test], labels[test])
