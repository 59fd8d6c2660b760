"""The package ``itk``: imported when it is needed, checked, and shown the classes loaded alone."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def itk_package() -> Any:
    """Return ``itk``, imported with the first of its names that is asked for."""
    try:
        import itk
        from itk.Configuration.NePhiConfig import require_supported_itk
    except ModuleNotFoundError as error:
        # without its wheels, the compiled module alone makes a folder itk that can be imported
        has_itk = error.name not in ("itk", "itkConfig")
        missing = "its compiled module beside the itk package" if has_itk else "itk"
        remedy = "pip install ." if has_itk else "pip install 'itk>=5.4.2,<5.5'"
        raise ImportError(
            f"itk-nephi: expected {missing}, found none: install it with `{remedy}`"
        ) from error
    require_supported_itk()
    _complete_register()
    return itk


class _Instances(dict[type, Any]):
    """Template and parameters of each class; those that are missing are loaded by ITK's own loader.

    ``itk.template`` and what stands on it, such as ``itk.array_from_matrix``, read this register.
    ITK completes it when it loads a module with all that it depends on.
    """

    def __missing__(self, class_: type) -> Any:
        import itk

        name = class_.__name__.removeprefix("itk")
        attributes = dir(itk) if class_.__module__.startswith("itk.") else []
        for attribute in sorted(attributes, key=len, reverse=True):
            if name.startswith(attribute):
                getattr(itk, attribute)  # loads the modules of this name
                if class_ in self:
                    return self[class_]
        raise KeyError(class_)


def _complete_register() -> None:
    """Let ITK know the templates of all classes that :mod:`itk_nephi.spatial.light_itk` loads."""
    from itk.support.template_class import itkTemplateBase

    known = itkTemplateBase.__template_instantiations_object_to_name__
    if not isinstance(known, _Instances):
        itkTemplateBase.__template_instantiations_object_to_name__ = _Instances(known)
