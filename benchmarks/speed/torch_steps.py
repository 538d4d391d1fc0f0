"""The training steps and the decodings of `benchmarks.speed.step_time` in PyTorch, on the networks of torch_twin.

They are written as one would write them in PyTorch: channels last, Adam and clipping of torch, an EMA by foreach operations.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch

from benchmarks.speed import torch_twin as twin

Tensor = torch.Tensor
Tree = dict[str, Any]


class Draws(NamedTuple):
    """What is random in a step, and what follows from its times: [batch] each, but eps [batch, C, H, W] and z_eps [batch, latent].

    `factor` is the weight of the squared error, 1/2 w(l) dl / dp.
    """

    alpha: Tensor
    sigma: Tensor
    log_snr: Tensor
    factor: Tensor
    eps: Tensor
    z_eps: Tensor


class Nets(NamedTuple):
    """The sizes of the networks by name, as torch_twin takes them, and the settings of the encoder."""

    sizes: dict[str, dict[str, Any]]
    latent: int
    bound: float
    beta: float
    # logSNR that the encoder is told of a clean image
    clean: float


# Loss(trained, frozen, x, draws) -> a scalar; x is [batch, C, H, W]
Loss = Callable[[Tree, dict[str, Tree], Tensor, Draws], Tensor]


def at(a: Tensor) -> Tensor:
    return a[:, None, None, None]


def noised(x: Tensor, d: Draws) -> Tensor:
    return at(d.alpha) * x + at(d.sigma) * d.eps


def noise_of_velocity(x_t: Tensor, v: Tensor, d: Draws) -> Tensor:
    return at(d.sigma) * x_t + at(d.alpha) * v


def error(eps_hat: Tensor, d: Draws) -> Tensor:
    return torch.mean(d.factor * (eps_hat - d.eps).square().flatten(1).sum(1))


def prior_loss(nets: Nets) -> Loss:
    def loss(trained: Tree, frozen: dict[str, Tree], x: Tensor, d: Draws) -> Tensor:
        x_t = noised(x, d)
        return error(noise_of_velocity(x_t, twin.unet(trained, x_t, d.log_snr, **nets.sizes["prior"]), d), d)

    return loss


def cde_loss(nets: Nets) -> Loss:
    """The input x has the observation and its mask in its further channels."""

    def loss(trained: Tree, frozen: dict[str, Tree], x: Tensor, d: Draws) -> Tensor:
        channels = d.eps.shape[1]
        x_t = noised(x[:, :channels], d)
        inputs = torch.cat([x_t, x[:, channels:]], dim=1)
        return error(noise_of_velocity(x_t, twin.unet(trained, inputs, d.log_snr, **nets.sizes["decoder"]), d), d)

    return loss


def log_q(nets: Nets, encoder: Tree, x_t: Tensor, log_snr: Tensor, z: Tensor) -> Tensor:
    mean, log_var = twin.encoder(encoder, x_t, log_snr, nets.bound, **nets.sizes["encoder"])
    return -0.5 * torch.sum((z - mean).square() * torch.exp(-log_var) + log_var + math.log(2 * math.pi))


def guided_noise(nets: Nets, encoder: Tree, prior: Tree, x_t: Tensor, z: Tensor, d: Draws, train: bool) -> Tensor:
    """The noise of the prior less sigma times the gradient of log q(z | x_t), which `train` makes differentiable."""
    x_t = x_t.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(log_q(nets, encoder, x_t, d.log_snr, z), x_t, create_graph=train)
    with torch.no_grad():
        of_prior = noise_of_velocity(x_t, twin.unet(prior, x_t, d.log_snr, **nets.sizes["prior"]), d)
    return of_prior - at(d.sigma) * gradient


def encode(nets: Nets, encoder: Tree, x: Tensor, d: Draws) -> tuple[Tensor, Tensor, Tensor]:
    """(z, its mean, its log-variance) of clean images."""
    level = torch.full_like(d.log_snr, nets.clean)
    mean, log_var = twin.encoder(encoder, x, level, nets.bound, **nets.sizes["encoder"])
    return mean + torch.exp(0.5 * log_var) * d.z_eps, mean, log_var


def encoder_loss(nets: Nets) -> Loss:
    def loss(trained: Tree, frozen: dict[str, Tree], x: Tensor, d: Draws) -> Tensor:
        z, mean, log_var = encode(nets, trained, x, d)
        kl = 0.5 * (mean.square() + log_var.exp() - log_var - 1).sum(1)
        eps_hat = guided_noise(nets, trained, frozen["prior"], noised(x, d), z, d, train=True)
        return error(eps_hat, d) + nets.beta * kl.mean()

    return loss


def correction_loss(nets: Nets) -> Loss:
    def loss(trained: Tree, frozen: dict[str, Tree], x: Tensor, d: Draws) -> Tensor:
        with torch.no_grad():
            z, _, _ = encode(nets, frozen["encoder"], x, d)
        x_t = noised(x, d)
        uncorrected = guided_noise(nets, frozen["encoder"], frozen["prior"], x_t, z, d, train=False).detach()
        residual = twin.unet(trained["corrector"], x_t, d.log_snr, z, **nets.sizes["correction"])
        return error(uncorrected + at(d.alpha) * trained["gate"] * residual, d)

    return loss


LOSSES = {"prior": prior_loss, "encoder": encoder_loss, "correction": correction_loss, "cde": cde_loss}


def leaves(tree: Any) -> list[Tensor]:
    return [leaf for of in tree.values() for leaf in leaves(of)] if isinstance(tree, dict) else [tree]


def training_step(
    loss: Loss, trained: Tree, frozen: dict[str, Tree], x: Tensor, new_draws: Callable[[], Draws]
) -> Callable[[], None]:
    """A step of Adam with clipped gradients and an EMA, on noise that is drawn anew."""
    params = leaves(trained)
    for leaf in params:
        leaf.requires_grad_()
    optimiser = torch.optim.Adam(params, lr=1e-4, fused=True)
    ema = [leaf.detach().clone() for leaf in params]

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss(trained, frozen, x, new_draws()).backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimiser.step()
        torch._foreach_lerp_(ema, [leaf.detach() for leaf in params], 0.001)

    return step


def level(t: Tensor, beta_min: float = 0.1, beta_max: float = 20.0) -> tuple[Tensor, Tensor, Tensor]:
    """(alpha, sigma, logSNR) of VP at times t (arXiv:2011.13456, eq. 33)."""
    log_alpha = -0.25 * t**2 * (beta_max - beta_min) - 0.5 * t * beta_min
    variance = -torch.expm1(2 * log_alpha)
    return log_alpha.exp(), variance.sqrt(), 2 * log_alpha - variance.log()


def random_draws(batch: int, shape: tuple[int, int, int], latent: int) -> Callable[[], Draws]:
    """Draws of the weight "simple", with times uniform in t."""

    def draw() -> Draws:
        alpha, sigma, log_snr = level(1e-3 + (1 - 1e-3) * torch.rand(batch))
        eps = torch.randn(batch, *shape).contiguous(memory_format=torch.channels_last)
        return Draws(alpha, sigma, log_snr, torch.ones(batch), eps, torch.randn(batch, latent))

    return draw


def decoding(eps_of: Callable[[Tensor, Draws], Tensor], x: Tensor, steps: int) -> Callable[[], None]:
    """Ancestral steps from noise like x, each with one evaluation of `eps_of`."""
    times = torch.linspace(1, 1e-3, steps + 1)

    def run() -> None:
        x_t, ones = torch.randn_like(x), torch.ones(len(x))
        for t, s in pairwise(times):
            alpha, sigma, log_snr = level(t * ones)
            alpha_s, sigma_s, log_snr_s = level(s * ones)
            d = Draws(alpha, sigma, log_snr, ones, x_t, ones)
            eps_hat = eps_of(x_t, d)
            x_0 = (x_t - at(sigma) * eps_hat) / at(alpha)
            fraction = torch.sqrt(-torch.expm1(log_snr - log_snr_s))
            shrink = torch.exp(0.5 * (log_snr - log_snr_s)) * sigma_s / sigma
            x_t = at(alpha_s) * x_0 + at(shrink * sigma) * eps_hat + at(sigma_s * fraction) * torch.randn_like(x)

    return run
