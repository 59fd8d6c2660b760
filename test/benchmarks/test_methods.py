"""Methods say what they are, and a quick run shortens them."""

from benchmarks.methods import elastix, mean_dice, nephi
from itk_nephi import RegistrationSettings


def test_a_method_is_the_same_however_it_is_asked_for() -> None:
    default = RegistrationSettings.preset("default")
    assert nephi(gradicon_weight=default.gradicon_weight, steps=default.steps) == nephi()
    assert nephi("fast").name == "nephi-fast"
    changed = nephi("fast", similarity="ncc")
    assert changed.settings is not None
    assert changed.settings.similarity == "ncc"
    assert changed.settings == RegistrationSettings.preset("fast", similarity="ncc")


def test_shortened_methods_keep_their_other_options() -> None:
    fast = nephi("fast", initial_transform="geometry").shortened()
    assert fast == nephi("fast", initial_transform="geometry", steps=3)
    assert elastix(20.0).shortened().elastix == {
        "FinalGridSpacingInPhysicalUnits": "20",
        "MaximumNumberOfIterations": "3",
        "ErodeMask": "false",
    }


def test_the_mean_of_dice_is_over_labels() -> None:
    assert mean_dice({"dice": {"1": 0.5, "2": 1.0}}) == 0.75
