import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
import torch

from itk_nephi.registration.inputs import (
    image_from,
    images_from,
    mask_from,
    size_findings,
)
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair


def values_of(image: Any) -> Any:
    return itk.array_from_image(image)


def test_an_image_is_taken_as_it_is_from_a_filter_or_a_file(
    image: Any, domain: ImageDomain, tmp_path: Path
) -> None:
    assert image_from(image, "fixed") is image
    doubled = itk.ShiftScaleImageFilter.New(image, scale=2)
    np.testing.assert_array_equal(image_from(doubled, "fixed"), 2 * values_of(image))
    path = tmp_path / "fixed.mha"
    itk.imwrite(image, path)
    for given in (path, str(path)):
        found = image_from(given, "fixed")
        np.testing.assert_array_equal(found, values_of(image))
        assert ImageDomain.of(found).matches(domain)


@pytest.mark.parametrize("kind", ["f4", "u1", "i8", "bool", "i1", "longdouble", ">f4", ">u2"])
def test_arrays_have_voxels_of_1_mm_from_the_origin(image: Any, kind: str) -> None:
    array = (10 * np.abs(values_of(image))).astype(kind)
    expected = itk.image_from_array(array.astype(np.float32))
    tensors = [torch.from_numpy(array)[None]] if kind in ("f4", "u1", "i8", "bool") else []
    for given in (array, *tensors):
        found = image_from(given, "fixed")
        np.testing.assert_array_equal(found, values_of(expected))
        assert ImageDomain.of(found) == ImageDomain.of(expected)


@pytest.mark.parametrize("kind", ["complex64", "object", "U3"])
def test_arrays_of_other_than_real_numbers_are_refused(kind: str) -> None:
    with pytest.raises(TypeError, match="expected fixed of real numbers, got an array of "):
        image_from(np.ones((5, 6)).astype(kind), "fixed")


def test_the_order_of_an_array_in_memory_does_not_matter(image: Any) -> None:
    array = values_of(image)
    orders = (np.asfortranarray(array), array.T.copy().T, np.repeat(array, 2, axis=0)[::2])
    for given in (*orders, *(torch.from_numpy(each)[None] for each in orders)):
        np.testing.assert_array_equal(image_from(given, "fixed"), array)
        np.testing.assert_array_equal(mask_from(given, "fixed_mask", image), array)


def test_an_xarray_has_its_own_grid(image: Any, domain: ImageDomain) -> None:
    pytest.importorskip("xarray")
    found = image_from(itk.xarray_from_image(image), "fixed")
    np.testing.assert_array_equal(found, values_of(image))
    assert ImageDomain.of(found).matches(domain)


def test_a_mask_from_xarray_has_its_own_grid(image: Any, domain: ImageDomain) -> None:
    pytest.importorskip("xarray")
    for values in (values_of(image) > 0, (values_of(image) > 0).astype(np.uint8)):
        array = itk.xarray_from_image(image).copy(data=values)
        for given in (array, array.transpose(*reversed(array.dims))):
            mask = mask_from(given, "fixed_mask", image)
            np.testing.assert_array_equal(mask, values)
            assert ImageDomain.of(mask).matches(domain)
    moved = array.assign_coords(x=array.x + 1)
    assert not ImageDomain.of(mask_from(moved, "fixed_mask", image)).matches(domain)
    for wrong, reason in ((array.rename(x="row"), "Unsupported dims"), (array[..., ::-1], "Neg")):
        with pytest.raises(ValueError, match=f"fixed_mask as .* whose grid ITK can read: {reason}"):
            mask_from(wrong, "fixed_mask", image)


def test_several_images_are_a_list(image: Any) -> None:
    array = values_of(image)
    assert images_from(image, "fixed") == (image,)
    assert images_from([image], "fixed") == (image,)
    assert [type(each) for each in images_from((image, array), "fixed")] == [type(image)] * 2
    with pytest.raises(ValueError, match="expected moving to be one or more images, got none"):
        images_from([], "moving")
    with pytest.raises(TypeError, match=r"expected fixed\[1\] to be an itk.Image, .*, got int"):
        images_from([image, 3], "fixed")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (None, TypeError, "to be an itk.Image, a filter, a path or an array, got NoneType"),
        (itk.TranslationTransform[itk.D, 2].New(), TypeError, "got itkTranslationTransformD2"),
        ("nowhere.mha", ValueError, "nowhere.mha, which does not exist"),
        (np.zeros(4), ValueError, r"of shape \(k, j, i\) or \(j, i\), got \(4,\)"),
        (torch.zeros(2, 4, 4), ValueError, r"a tensor of shape \(1, k, j, i\) .* got \(2, 4, 4\)"),
        (np.zeros((1, 5)), ValueError, "at least two voxels on every axis"),
    ],
)
def test_what_is_no_image_is_named(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"moving.*{message}"):
        image_from(given, "moving")


def test_a_mask_that_is_an_array_lies_on_its_image(image: Any, domain: ImageDomain) -> None:
    soft = np.random.default_rng(2).random(values_of(image).shape)
    assert mask_from(None, "fixed_mask", image) is None
    for given in (soft > 0.5, 7 * (soft > 0.5), torch.from_numpy(soft > 0.5)[None]):
        mask = mask_from(given, "fixed_mask", image)
        np.testing.assert_array_equal(mask, soft > 0.5)
        assert ImageDomain.of(mask) == domain
    np.testing.assert_allclose(mask_from(soft, "fixed_mask", image), soft, atol=1e-7)
    with pytest.raises(ValueError, match=r"expected fixed_mask of the shape of its image, \("):
        mask_from(soft[1:], "fixed_mask", image)
    with pytest.raises(TypeError, match=r"expected fixed_mask to be an itk.Image, .* got int"):
        mask_from(1, "fixed_mask", image)


def test_images_of_very_different_size_are_found(image: Any, domain: ImageDomain) -> None:
    def findings(factor: float) -> list[str]:
        other = replace(domain, spacing=tuple(factor * s for s in domain.spacing))
        scaled = image_from_array(itk.array_from_image(image), other)
        return size_findings(ImagePair(fixed=(image,), moving=(scaled,)), "images[3]")

    assert findings(4.5) == []
    for factor in (1000, 0.001, 6):
        (finding,) = findings(factor)
        assert re.search(
            r"fixed and images\[3\] differ much in size, 8 x .* mm and .* in mm\?", finding
        )
