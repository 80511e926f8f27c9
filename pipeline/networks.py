"""S multilayer perceptrons evaluated as one: parameters (S, ...), inputs (S, B, in).

    h_0 = x,  h_l = a(h_{l-1} W_l + b_l),  output h_L = o(h_{L-1} W_L + b_L)

All parameters lie in one flat buffer, their gradients in another of the same layout: an optimiser sees one
tensor, and the closed-form backward pass writes where the optimiser reads. Against autograd it saves the
graph, the unused gradients and one kernel launch per parameter (see benchmarks/).
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.optim.adam import adam

from pipeline.seeds import Purpose, streams

Activation = Literal["relu", "leaky_relu", "tanh", "linear"]
LEAK = 0.2  # slope of leaky_relu below zero, as in DCGAN
# Element-wise kernels treat the last few elements of a buffer apart; the buffers are padded to this many
# elements so that no parameter's rounding depends on how many seeds stand in the stack.
ALIGNMENT = 64


class StackedMLP:
    """S perceptrons of equal shape.

    `sizes` = (inputs, widths..., outputs). Initialised as torch.nn.Linear: W and b uniform on
    +-1/sqrt(fan_in), each seed from its own stream.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        hidden: Activation,
        output: Activation,
        seeds: tuple[int, ...],
        purpose: Purpose,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.sizes = tuple(sizes)
        self.activations: list[Activation] = [hidden] * (len(sizes) - 2) + [output]
        self.shapes = [
            shape
            for inputs, outputs in zip(self.sizes[:-1], self.sizes[1:], strict=True)
            for shape in ((len(seeds), inputs, outputs), (len(seeds), 1, outputs))
        ]
        count = sum(math.prod(shape) for shape in self.shapes)
        padded = -(-count // ALIGNMENT) * ALIGNMENT
        self.flat = torch.zeros(padded, device=device, dtype=dtype)
        self.flat.grad = torch.zeros_like(self.flat)
        self.parameters = self._views(self.flat)
        self.gradients = self._views(self.flat.grad)
        self._initialise(seeds, purpose)

    @property
    def parameters_per_seed(self) -> int:
        return sum(math.prod(shape[1:]) for shape in self.shapes)

    @property
    def smallest_layer(self) -> int:
        """in * out of the smallest layer: multiplications per sample."""
        return min(i * o for i, o in zip(self.sizes[:-1], self.sizes[1:], strict=True))

    def _views(self, flat: Tensor) -> list[Tensor]:
        """W_1 (S, in, out), b_1 (S, 1, out), W_2, ... as views of a flat buffer."""
        views, start = [], 0
        for shape in self.shapes:
            stop = start + math.prod(shape)
            views.append(flat[start:stop].view(shape))
            start = stop
        return views

    def _initialise(self, seeds: tuple[int, ...], purpose: Purpose) -> None:
        for index, generator in enumerate(streams(seeds, purpose)):
            for layer, inputs in enumerate(self.sizes[:-1]):
                for parameter in self.parameters[2 * layer : 2 * layer + 2]:
                    draw = torch.rand(parameter.shape[1:], generator=generator, dtype=torch.float64)
                    parameter[index].copy_((2 * draw - 1) / math.sqrt(inputs))

    def layers(self, x: Tensor) -> list[Tensor]:
        """[x, h_1, ..., h_L]: what `backward` needs. (S, B, in) -> L + 1 tensors (S, B, width)."""
        out = [x]
        for layer, activation in enumerate(self.activations):
            weight, bias = self.parameters[2 * layer : 2 * layer + 2]
            out.append(_activate_in_place(torch.baddbmm(bias, out[-1], weight), activation))
        return out

    def backward(
        self, layers: list[Tensor], upstream: Tensor, *, parameters: bool = True, inputs: bool = False
    ) -> Tensor:
        """Given dL/dh_L (S, B, out), write dL/dW and dL/db into `gradients`, and return dL/dx if `inputs`.

        dL/dz_l = dL/dh_l * a'(z_l);  dL/dW_l = h_{l-1}^T dL/dz_l;  dL/dh_{l-1} = dL/dz_l W_l^T.
        Gradients are overwritten, not added to. Without `inputs` the returned tensor is dL/dz_1.
        """
        for layer in range(len(self.activations) - 1, -1, -1):
            upstream = _through_activation(upstream, layers[layer + 1], self.activations[layer])
            if parameters:
                weight_gradient, bias_gradient = self.gradients[2 * layer : 2 * layer + 2]
                torch.bmm(layers[layer].mT, upstream, out=weight_gradient)
                torch.sum(upstream, 1, keepdim=True, out=bias_gradient)
            if layer or inputs:
                upstream = torch.bmm(upstream, self.parameters[2 * layer].mT)
        return upstream

    def slopes(self, layers: list[Tensor]) -> list[Tensor]:
        """[dv/dx, dv/dz_1, ..., dv/dz_L] of one output v at the points of `layers`, (S, B, width) each.

        For networks with one output and a linear last layer, so dv/dz_L = 1.
        """
        out = [torch.ones_like(layers[-1])]
        for layer in range(len(self.activations) - 1, 0, -1):
            upstream = torch.bmm(out[0], self.parameters[2 * layer].mT)
            out.insert(0, _through_activation(upstream, layers[layer], self.activations[layer - 1]))
        return [torch.bmm(out[0], self.parameters[0].mT), *out]

    def add_slope_gradient(self, layers: list[Tensor], slopes: list[Tensor], upstream: Tensor) -> None:
        """Given dL/d(dv/dx) (S, B, in) for a loss of the slopes, add dL/dW to `gradients`.

        dv/dx = W_1 a'(z_1) W_2 ... W_L: with e_0 = dL/d(dv/dx) and e_l = a'(z_l) (e_{l-1} W_l),
        dL/dW_l = e_{l-1}^T dv/dz_l. Exact for piecewise linear activations, whose a'' is 0; the biases only
        enter through a', so their gradient is 0.
        """
        for layer in range(len(self.activations)):
            self.gradients[2 * layer].baddbmm_(upstream.mT, slopes[layer + 1])
            if layer + 1 < len(self.activations):
                upstream = torch.bmm(upstream, self.parameters[2 * layer])
                upstream = _through_activation(upstream, layers[layer + 1], self.activations[layer])

    def sample_gradient_squares(self, layers: list[Tensor], upstream: Tensor) -> Tensor:
        """The squared norm of each sample's own parameter gradient, (S, B) float64.

        Given dL_i/dh_L (S, B, out) of each sample's own loss. A sample's gradient of W_l is the outer product
        of h_{l-1} and dL_i/dz_l: its square is |h_{l-1}|^2 |dL_i/dz_l|^2, and that of b_l |dL_i/dz_l|^2.
        """
        total = torch.zeros(upstream.shape[:2], dtype=torch.float64, device=upstream.device)
        for layer in range(len(self.activations) - 1, -1, -1):
            upstream = _through_activation(upstream, layers[layer + 1], self.activations[layer])
            total += upstream.double().square().sum(2) * (1 + layers[layer].double().square().sum(2))
            if layer:
                upstream = torch.bmm(upstream, self.parameters[2 * layer].mT)
        return total

    def gradient_norms(self) -> Tensor:
        """Euclidean norm of each seed's whole gradient, (S,)."""
        squares = [gradient.square().sum(dim=(1, 2)) for gradient in self.gradients]
        return torch.stack(squares).sum(0).sqrt()

    def all_finite(self) -> Tensor:
        """Whether each seed's parameters are all finite, (S,)."""
        return torch.stack([p.isfinite().all(2).all(1) for p in self.parameters]).all(0)

    def state(self, prefix: str, flat: Tensor | None = None) -> dict[str, Tensor]:
        """By name: PREFIX.weight_1 (S, in, out), PREFIX.bias_1 (S, 1, out), PREFIX.weight_2, ...

        Of an earlier copy of `flat`, if one is given.
        """
        parameters = self.parameters if flat is None else self._views(flat)
        return {
            name: parameter.detach().cpu().contiguous().clone()
            for name, parameter in zip(self.names(prefix), parameters, strict=True)
        }

    def names(self, prefix: str) -> list[str]:
        """The names of `state`, in the order of `parameters`."""
        kinds = ("weight", "bias")
        return [f"{prefix}.{kinds[index % 2]}_{index // 2 + 1}" for index in range(len(self.shapes))]


class Adam:
    """Adam (Kingma & Ba 2015) on a network's flat buffer: torch's own fused step and nothing around it.

    torch.optim.Adam computes the same bits; building one imports torch's compiler, as long as a quarter of a
    short stage. `state` is {step (), exp_avg, exp_avg_sq}, the names of torch.optim.Adam.
    """

    def __init__(self, network: StackedMLP, learning_rate: float, betas: tuple[float, float]) -> None:
        self.network, self.learning_rate, self.betas = network, learning_rate, betas
        self.state = {
            "step": torch.zeros((), device=network.flat.device),
            "exp_avg": torch.zeros_like(network.flat),
            "exp_avg_sq": torch.zeros_like(network.flat),
        }

    def step(self) -> None:
        """One update from the network's gradients."""
        gradient = self.network.flat.grad
        assert gradient is not None
        adam(
            [self.network.flat],
            [gradient],
            [self.state["exp_avg"]],
            [self.state["exp_avg_sq"]],
            [],
            [self.state["step"]],
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


def _activate_in_place(z: Tensor, activation: Activation) -> Tensor:
    if activation == "relu":
        return z.relu_()
    if activation == "leaky_relu":
        return torch.nn.functional.leaky_relu_(z, LEAK)
    return z.tanh_() if activation == "tanh" else z


def _through_activation(upstream: Tensor, output: Tensor, activation: Activation) -> Tensor:
    """dL/dz from dL/dh and h = a(z): each derivative is a function of the output alone."""
    gradient: Tensor = upstream
    if activation == "relu":
        gradient = torch.ops.aten.threshold_backward(upstream, output, 0)
    elif activation == "leaky_relu":
        gradient = torch.ops.aten.leaky_relu_backward(upstream, output, LEAK, True)
    elif activation == "tanh":
        gradient = torch.ops.aten.tanh_backward(upstream, output)
    return gradient
