from __future__ import annotations

import subprocess
import sys

import torch

from itk_nephi.registration.optimizer import Adam

SIZES = [(3,), (4, 2), (5,)]


def parameters() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(size, generator=generator, dtype=torch.float64, requires_grad=True)
        for size in SIZES
    ]


def differentiate(tensors: list[torch.Tensor], step: int) -> None:
    loss = sum((tensor - step).square().sum() * 10.0**n for n, tensor in enumerate(tensors))
    for tensor in tensors:
        tensor.grad = None
    loss.backward()
    if step == 3:
        tensors[0].grad = None


def test_steps_are_those_of_torch() -> None:
    ours, theirs = parameters(), parameters()
    optimizer = Adam([ours[:2], ours[2:]], 0.999)
    oracle = torch.optim.Adam([{"params": theirs[:2]}, {"params": theirs[2:]}])
    for step in range(20):
        rates = (0.1 / (step + 1), 0.03)
        for tensors in (ours, theirs):
            differentiate(tensors, step if step != 3 else 4)
        optimizer.step(rates)
        for group, rate in zip(oracle.param_groups, rates, strict=True):
            group["lr"] = rate
        oracle.step()
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_parameter_without_gradient_stays() -> None:
    tensors = parameters()
    before = tensors[0].detach().clone()
    differentiate(tensors, 3)
    Adam([tensors], 0.999).step([0.1])
    assert torch.equal(tensors[0], before)
    assert not torch.equal(tensors[1], parameters()[1])


def test_it_goes_on_from_where_another_stood() -> None:
    whole, parts = parameters(), parameters()
    one, first, second = (Adam([each], 0.99) for each in (whole, parts, parts))
    for step in range(6):
        for tensors in (whole, parts):
            differentiate(tensors, step)
        one.step([0.1])
        if step == 3:
            second.load_state(first.state())
        (first if step < 3 else second).step([0.1])
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_a_registration_does_not_load_what_takes_seconds() -> None:
    code = (
        "import sys; from itk_nephi import RegistrationSettings, register; "
        "from itk_nephi.phantoms import triangles_and_circles as shapes; p = shapes(2, size=32); "
        "settings = RegistrationSettings(steps=2); "
        "register(p.fixed, p.moving, initial_transform='identity', settings=settings); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
