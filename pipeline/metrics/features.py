"""`features DATASET`: a small classifier, trained on the training images only.

Its penultimate layer gives the features of FID, KID, precision and recall, its output the classes of fakes.
ImageNet features do not fit 8x8 digits; the numbers compare with each other and with real-vs-real, not with
published FIDs.
"""

import hashlib
import json
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.config import MixtureData
from pipeline.data.fetch import read_plan
from pipeline.data.files import json_bytes, write_atomic
from pipeline.data.images import Images, load_images, to_unit
from pipeline.errors import UserError
from pipeline.seeds import stream

WEIGHTS = "classifier.safetensors"
REPORT = "report.json"
SIDE = 8
FEATURES = 64
BATCH = 64
JUDGED = 256
LEARNING_RATE = 1e-3
# Without it the few training images are separated early: 0.975 right of the held-out ones; with it 0.99.
LABEL_SMOOTHING = 0.1


class Classifier(nn.Module):
    """(N, 64) in [-1, 1] -> features (N, FEATURES) -> logits (N, classes): two convolutions, two layers.

    Weights uniform in +-1/sqrt(fan in), from the given generator. `judge` divides features by `feature_rms`,
    their root mean square over the training images: FID has the unit of a mean square feature, and KID's
    kernel (x.y / D + 1)^3 is used where its constant counts.
    """

    feature_rms: Tensor

    def __init__(self, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        # On the meta device the layers draw nothing from torch's global generator.
        with torch.device("meta"):
            self.first = nn.Conv2d(1, 16, 3, padding=1)
            self.second = nn.Conv2d(16, 32, 3, stride=2, padding=1)
            self.penultimate = nn.Linear(32 * (SIDE // 2) ** 2, FEATURES)
            self.last = nn.Linear(FEATURES, classes)
            self.register_buffer("feature_rms", torch.empty(()))
        self.to_empty(device="cpu")
        self.feature_rms.fill_(1)
        with torch.no_grad():
            for layer in (self.first, self.second, self.penultimate, self.last):
                bound = layer.weight[0].numel() ** -0.5
                for parameter in layer.parameters():
                    parameter.uniform_(-bound, bound, generator=generator)

    def features(self, images: Tensor) -> Tensor:
        """(N, 64) -> (N, FEATURES), after the nonlinearity, not yet divided by `feature_rms`."""
        hidden = functional.silu(self.first(images.reshape(-1, 1, SIDE, SIDE)))
        hidden = functional.silu(self.second(hidden))
        return functional.silu(self.penultimate(hidden.flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.features(images))
        return logits

    @torch.no_grad()
    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 images (N, 64) -> features (N, FEATURES) float64, labels (N,), in one pass."""
        # In batches: the first layer's output of all of them would not stay in a CPU's cache.
        features = torch.cat([self.features(to_unit(batch)) for batch in images.split(JUDGED)])
        return (features / self.feature_rms).double(), self.last(features).argmax(1)


def train_features(dataset: str, root: Path) -> None:
    """Write features/DATASET/: the classifier and report.json with its accuracies.

    A data set with an exact density needs no features: its report says so and is the only file.
    Raises UserError for an unknown data set and for missing or corrupt data.
    """
    plan = read_plan(dataset, root)
    if isinstance(plan.setting.data, MixtureData):
        report = {"dataset": dataset, "classifier_sha256": None, "note": "exact density: no features needed"}
        write_atomic(root / "features" / dataset / REPORT, json_bytes(report))
        return
    images = load_images(root / "data" / dataset)
    classifier = train_classifier(images, plan.classifier_epochs)
    weights = safetensors.torch.save({k: v.contiguous() for k, v in classifier.state_dict().items()})
    content = {
        "dataset": dataset,
        "held_out_accuracy": accuracy(classifier, images.test_images, images.test_labels),
        "train_accuracy": accuracy(classifier, images.train_images, images.train_labels),
        "feature_dimensions": FEATURES,
        "n_train": len(images.train_images),
        "n_test": len(images.test_images),
        "classifier_sha256": hashlib.sha256(weights).hexdigest(),
    }
    folder = root / "features" / dataset
    write_atomic(folder / WEIGHTS, weights)
    write_atomic(folder / REPORT, json_bytes(content))


def train_classifier(images: Images, epochs: int) -> Classifier:
    """Adam on the cross-entropy, batches of BATCH in a fresh order each epoch; the held-out part unseen."""
    generator = stream(0, "features")
    classifier = Classifier(images.classes, generator)
    optimiser = torch.optim.Adam(classifier.parameters(), LEARNING_RATE)
    pixels, labels = to_unit(images.train_images), images.train_labels
    for _ in range(epochs):
        order = torch.randperm(len(pixels), generator=generator)
        for batch in torch.split(order, BATCH):
            loss = functional.cross_entropy(
                classifier(pixels[batch]), labels[batch], label_smoothing=LABEL_SMOOTHING
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        classifier.feature_rms.copy_(classifier.features(pixels).square().mean().sqrt())
    return classifier.requires_grad_(False).eval()


def accuracy(classifier: Classifier, images: Tensor, labels: Tensor) -> float:
    """Share of uint8 images (N, 64) classified as their label."""
    return float((classifier.judge(images)[1] == labels).double().mean())


def load_report(folder: Path) -> dict[str, object]:
    """features/DATASET/report.json. Raises UserError when it is missing or broken."""
    try:
        report = json.loads((folder / REPORT).read_bytes())
        if not isinstance(report, dict) or "classifier_sha256" not in report:
            raise ValueError("no classifier_sha256")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder / REPORT}: cannot be read ({_line(error)}); run the stage features@{folder.name}"
        ) from None
    return report


def load_classifier(folder: Path, classes: int) -> Classifier:
    """The classifier of features/DATASET/. Raises UserError when it is missing or not the reported one."""
    path = folder / WEIGHTS
    again = f"run the stage features@{folder.name} again"
    expected = load_report(folder)["classifier_sha256"]
    classifier = Classifier(classes, torch.Generator())
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != expected:
            raise UserError(f"{path}: corrupt: its sha256 is not the one in {folder / REPORT}; {again}")
        classifier.load_state_dict(safetensors.torch.load(content))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({_line(error)}); {again}") from None
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise UserError(f"{path}: not this classifier ({_line(error)}); {again}") from None
    return classifier.requires_grad_(False).eval()


def _line(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
