from itertools import product

import pytest
import torch
from torch import Tensor

from itk_nephi.fields.latent_code import LatentCode
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.models.encoder import Encoder, EncoderSettings, LatentCodeTable

SMALL = EncoderSettings(filters=(8, 16), local_block=1, hidden=5)


def bounds_of(size: tuple[int, ...]) -> tuple[float, ...]:
    return tuple((n - 1) / (max(size) - 1) for n in size)


def encoder_for(
    size: tuple[int, ...], settings: EncoderSettings, field: FieldSettings, seed: int = 1
) -> Encoder:
    return Encoder(settings, field, bounds_of(size), torch.Generator().manual_seed(seed))


def images(*shape: int) -> tuple[Tensor, Tensor]:
    one, other = torch.rand(2, *shape, generator=torch.Generator().manual_seed(len(shape)))
    return one, other


def convolved(image: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """Convolve (C, ...) with kernels of three voxels, tap by tap, zeros outside."""
    dimension = image.ndim - 1
    padded = torch.zeros(len(image), *(n + 2 for n in image.shape[1:])).to(image)
    padded[(slice(None), *(slice(1, -1),) * dimension)] = image
    result = bias.view(-1, *(1,) * dimension)
    for tap in product(range(3), repeat=dimension):
        there = tuple(slice(t, t + n, stride) for t, n in zip(tap, image.shape[1:], strict=True))
        seen = padded[(slice(None), *there)]
        result = result + torch.tensordot(weight[(slice(None), slice(None), *tap)], seen, dims=1)
    return result


def published(encoder: Encoder, pair: Tensor) -> tuple[Tensor, Tensor]:
    """Predict the codes of (2, ...) by the published architecture, written out."""
    state = encoder.state_dict()
    settings = encoder.settings

    def block(name: str, image: Tensor, stride: int) -> Tensor:
        image = convolved(image, state[f"{name}.0.weight"], state[f"{name}.0.bias"], stride)
        shape = (-1, *(1,) * (image.ndim - 1))
        mean, variance, weight, bias = (
            state[f"{name}.1.{part}"].view(shape)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        image = (image - mean) / (variance + 1e-5).sqrt() * weight + bias
        return image.where(image > 0, 0.2 * image)

    features = pair
    for number in range(len(settings.filters)):
        features = block(f"trunk.{number}", features, 2)
        if number + 1 == settings.local_block:
            local = block("local_head", features, 1)
    hidden = state["global_head.1.weight"] @ features.flatten() + state["global_head.1.bias"]
    hidden = hidden.where(hidden > 0, 0.2 * hidden)
    return state["global_head.3.weight"] @ hidden + state["global_head.3.bias"], local


@pytest.mark.parametrize("size", [(47, 33), (47, 32, 22)], ids=["2D", "3D"])
def test_the_published_encoder_is_the_published_one(size: tuple[int, ...]) -> None:
    # the local grid of these sizes is the one that the local block leaves
    grid = -(-max(size) // 4)
    field = FieldSettings(global_code=32, local_channels=32, local_grid=grid)
    encoder = encoder_for(size, EncoderSettings.paper(size), field).double()
    generator = torch.Generator().manual_seed(2)
    for name, values in encoder.named_buffers():
        if name.endswith(("mean", "var")):
            values.uniform_(0.2, 0.9, generator=generator)
    fixed, moving = (image.double() for image in images(1, 1, *size[::-1]))
    global_codes, local_codes = encoder.eval()(fixed, moving)
    expected_global, expected_local = published(encoder, torch.cat([fixed, moving], dim=1)[0])
    assert expected_global.std() > 1e-3
    assert expected_local.std() > 0.05
    torch.testing.assert_close(global_codes[0], expected_global, atol=1e-12, rtol=0)
    torch.testing.assert_close(local_codes[0].movedim(-1, 0), expected_local, atol=1e-12, rtol=0)
    single = encoder.float()(fixed.float(), moving.float())
    torch.testing.assert_close(single[0][0], expected_global.float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        single[1][0].movedim(-1, 0), expected_local.float(), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ((175, 175, 175), 2_986_136),
        ((130, 155, 130), 2_986_136),
        ((350, 350, 350), 4_784_024),
        ((64, 64), 473_208),
        ((128, 128), 674_424),
        ((512, 512), 1_883_256),
    ],
)
def test_the_published_encoders_have_the_published_number_of_weights(
    size: tuple[int, ...], count: int
) -> None:
    encoder = encoder_for(size, EncoderSettings.paper(size), FieldSettings.paper())
    assert sum(weights.numel() for weights in encoder.parameters()) == count


def test_codes_fit_the_fields_whatever_the_size_of_the_images(dimension: int) -> None:
    box = (23, 17, 9)[:dimension]
    field = FieldSettings(global_code=3, local_channels=4, local_grid=6)
    encoder = encoder_for(box, SMALL, field)
    expected = LatentCode(field, bounds_of(box), torch.Generator())
    for size in (box, (40, 21, 33)[:dimension], (2, 3, 5)[:dimension]):
        global_codes, local_codes = encoder(*images(2, 1, *size[::-1]))
        assert global_codes.shape == (2, *expected.global_code.shape)
        assert local_codes.shape == (2, *expected.local_code.shape)


def test_codes_depend_on_no_other_pair_in_training_and_after_it(dimension: int) -> None:
    encoder = encoder_for((12, 9, 10)[:dimension], SMALL, FieldSettings())
    fixed, moving = images(3, 1, *(10, 9, 12)[:dimension])
    together = encoder.train()(fixed, moving)
    for mode in (True, False):
        encoder.train(mode)
        for n in range(3):
            alone = encoder(fixed[n : n + 1], moving[n : n + 1])
            for one, all_three in zip(alone, together, strict=True):
                torch.testing.assert_close(one[0], all_three[n], atol=1e-5, rtol=0)


def test_codes_tell_fixed_from_moving_and_where_things_are(dimension: int) -> None:
    encoder = encoder_for((32,) * dimension, SMALL, FieldSettings())
    blob = torch.zeros(1, 1, *(32,) * dimension)
    blob[(..., *(slice(4, 10),) * dimension)] = 1
    moved = blob.roll(16, dims=-1)
    for one, other in (((blob, moved), (moved, blob)), ((blob, blob), (moved, moved))):
        assert (encoder(*one)[0] - encoder(*other)[0]).abs().max() > 1e-3


def test_the_seed_alone_decides_the_weights() -> None:
    def weights(seed: int) -> list[Tensor]:
        return list(encoder_for((8, 8), SMALL, FieldSettings(), seed).state_dict().values())

    state = torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(weights(1), weights(1), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights(1), weights(2), strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_gradients_reach_every_weight(dimension: int) -> None:
    encoder = encoder_for((16, 12, 14)[:dimension], SMALL, FieldSettings())
    global_codes, local_codes = encoder(*images(1, 1, *(14, 12, 16)[:dimension]))
    torch.autograd.backward(global_codes.square().sum() + local_codes.square().sum())
    for name, weights in encoder.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.abs().max() > 0, name


def test_a_table_holds_free_codes(dimension: int) -> None:
    field = FieldSettings(global_code=300, local_channels=50, local_grid=6)
    bounds = (1.0, 0.5, 0.75)[:dimension]
    table = LatentCodeTable(4, field, bounds, torch.Generator().manual_seed(1))
    assert [p.shape[0] for p in table.parameters()] == [4, 4]
    global_codes, local_codes = table(torch.tensor([2, 0]))
    one = LatentCode(field, bounds, torch.Generator())
    assert global_codes.shape == (2, *one.global_code.shape)
    assert local_codes.shape == (2, *one.local_code.shape)
    assert torch.equal(local_codes[0], table.local_codes[2])
    assert float(global_codes.detach().std() * 300**0.5) == pytest.approx(1, rel=0.1)
    assert float(local_codes.detach().std() * 50**0.5) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"filters": ()}, "filters of one or more numbers"),
        ({"filters": (8, 0)}, "filters of at least 1"),
        ({"local_block": 0}, "local_block of at least 1, got 0"),
        ({"local_block": 5}, "local_block from 1 to the number of blocks, 4, got 5"),
        ({"pooled": 0}, "pooled of at least 1, got 0"),
        ({"hidden": 0}, "hidden of at least 1, got 0"),
        ({"published_size": (8,)}, "published_size on 2 or 3 axes"),
        ({"published_size": (8, 1)}, "published_size of at least 2"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderSettings(**wrong)  # type: ignore[arg-type]


def test_the_published_encoder_is_for_one_size() -> None:
    with pytest.raises(ValueError, match="size of at least 23"):
        EncoderSettings.paper((22, 22))
    settings = EncoderSettings.paper((64, 48))
    with pytest.raises(ValueError, match="published_size in 3 dimensions"):
        encoder_for((64, 48, 32), settings, FieldSettings.paper())
    encoder = encoder_for((64, 48), settings, FieldSettings.paper()).eval()
    with pytest.raises(ValueError, match=r"images of \(64, 48\) voxels.*got \(48, 64\)"):
        encoder(*images(1, 1, 64, 48))
    assert encoder(*images(1, 1, 48, 64))[0].shape == (1, 32)


def test_a_table_without_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 code, got 0"):
        LatentCodeTable(0, FieldSettings(), (1.0, 1.0), torch.Generator())
