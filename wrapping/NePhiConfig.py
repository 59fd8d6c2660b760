"""What ITK's loader reads about the NePhi module."""

import re

import itkConfig


def is_supported_itk(version: str) -> bool:
    """Whether the compiled module works with this version of ITK: 5.4.2 and later 5.4.x."""
    match = re.match(r"5\.4\.(\d+)", version)
    return match is not None and int(match[1]) >= 2


def require_supported_itk() -> None:
    """Raise an ImportError unless the compiled module works with the installed ITK."""
    version = itkConfig.ITK_GLOBAL_VERSION_STRING
    if not is_supported_itk(version):
        raise ImportError(f"itk-nephi: expected itk >=5.4.2,<5.5, got itk {version}")


depends = ("ITKPyBase", "ITKCommon", "ITKTransform")
templates = (
    ("NePhiTransform", "itk::NePhiTransform", "itkNePhiTransformD2", True, "double,2"),
    ("NePhiTransform", "itk::NePhiTransform", "itkNePhiTransformD3", True, "double,3"),
    ("NePhiTransform", "itk::NePhiTransform", "itkNePhiTransformF2", True, "float,2"),
    ("NePhiTransform", "itk::NePhiTransform", "itkNePhiTransformF3", True, "float,3"),
    (
        "NePhiTransformIOFactory",
        "itk::NePhiTransformIOFactory",
        "itkNePhiTransformIOFactory",
        True,
    ),
)
for pixel, pixel_type in (
    ("UC", "unsigned char"),
    ("US", "unsigned short"),
    ("UI", "unsigned int"),
    ("UL", "unsigned long"),
    ("ULL", "unsigned long long"),
    ("SS", "signed short"),
    ("SI", "signed int"),
    ("F", "float"),
    ("D", "double"),
):
    for dimension in (2, 3):
        image = f"itk::Image< {pixel_type},{dimension} >"
        templates += (
            (
                "NePhiRegistrationMethod",
                "itk::NePhiRegistrationMethod",
                f"itkNePhiRegistrationMethodI{pixel}{dimension}I{pixel}{dimension}",
                True,
                f"{image}, {image}",
            ),
        )
# ITK loads the module of every factory listed here at the first transformread.
factories = ()
if is_supported_itk(itkConfig.ITK_GLOBAL_VERSION_STRING):
    factories = (("TransformIO", "NePhi"),)
