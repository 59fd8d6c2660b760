"""ITK by the names it has in ``itk``, each class loaded alone: in tenths of a second.

``itk`` loads a class with all modules that its own depends on: eight seconds and 800 MiB for a
transform file. Here ``itk.AffineTransform[itk.D, 3]`` is the same class, loaded by itself. Filters,
whose Python classes need those of all others, are called by compiled functions. The rest is itk's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from itk_nephi.spatial.itk_package import itk_package

_CLASSES = (
    "AffineTransform",
    "BSplineInterpolateImageFunction",
    "BSplineTransform",
    "CompositeTransform",
    "DisplacementFieldTransform",
    "IdentityTransform",
    "Image",
    "LinearInterpolateImageFunction",
    "Matrix",
    "NePhiTransform",
    "NearestNeighborInterpolateImageFunction",
    "OptimizerParameters",
    "TranslationTransform",
    "Vector",
)
"""The templates whose instances are loaded alone."""

_WRAPPERS = {"NePhiTransform": "NePhi"}
"""The modules of classes that are not named after them."""

_LIBRARIES = {
    "ImageFileReader": "IOImageBase",
    "ImageFileWriter": "IOImageBase",
    "PyBuffer": "BridgeNumPy",
    "ResampleImageFilter": "ImageGrid",
    "TransformToDisplacementFieldFilter": "DisplacementField",
}
"""The compiled modules, beside ITKCommon, of the classes that are called by their functions."""

_FORMATS = {
    "ImageIO": {
        "Nifti": (".nii", ".nii.gz"),
        "Nrrd": (".nrrd", ".nhdr"),
        "Meta": (".mha", ".mhd"),
        "PNG": (".png",),
    },
    "TransformIO": {"HDF5": (".h5", ".hdf5", ".hdf"), "Txt": (".tfm", ".txt"), "Matlab": (".mat",)},
}
"""The formats that are known by their suffixes; for any other suffix ITK tries all it has."""

_NUMPY_TYPES = dict(
    zip(("UC", "US", "UI", "UL", "SS", "SI", "F", "D"), map(np.dtype, "BHILhifd"), strict=True)
)
"""The types of pixels, and of the components of vectors, by ITK's short names."""


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return _Template(name)
    if name in ("CommonEnums", "MultiThreaderBase", "Object"):
        return getattr(_module("ITKCommonBasePython"), f"itk{name}")
    return getattr(itk_package(), name)


class _Template:
    """A class template, whose instances are loaded when they are asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getitem__(self, types: Any) -> Any:
        types = types if isinstance(types, tuple) else (types,)
        return getattr(_wrapper(self._name), f"itk{self._name}{''.join(map(_short, types))}")

    def New(self, image: Any) -> Any:  # noqa: N802, as in itk
        """Return an object of the instance for a type of image, which becomes its input."""
        return next(_instances(self._name, _short(type(image)) + "D")).New(image)


class CompiledFilter:
    """A filter that is called by its compiled functions; to be used in a ``with`` statement.

    Parameters
    ----------
    name : str
        Of the class template.
    types : str
        What ITK appends to the name for the types of its images.
    output : str, optional
        The same for the type of its output.
    """

    def __init__(self, name: str, types: str, output: str = "") -> None:
        self._modules = {
            f"itk{name}{types}": _compiled(name),
            f"itkImageToImageFilter{types}": _compiled("ImageToImageFilterA"),
            f"itkImageSource{output}": _compiled("ImageSource"),
            "itkProcessObject": _module("_ITKCommonBasePython"),
        }
        self._name = f"itk{name}{types}"
        self._object = getattr(_compiled(name), f"{self._name}___New_orig__")()

    def __enter__(self) -> CompiledFilter:
        return self

    def __exit__(self, *_: object) -> None:
        getattr(self._modules[self._name], f"delete_{self._name}")(self._object)

    def __getattr__(self, method: str) -> Any:
        for name, module in self._modules.items():
            function = getattr(module, f"{name}_{method}", None)
            if function is not None:
                return partial(function, self._object)
        raise AttributeError(method)

    def run(self, **settings: Any) -> Any:
        """Call the Set methods of settings, named as in ``itk``, and return the output."""
        for name, value in settings.items():
            getattr(self, "Set" + name.title().replace("_", ""))(value)
        self.Update()
        return self.GetOutput()


class ImageIOFactory:
    """As ``itk.ImageIOFactory``."""

    @staticmethod
    def CreateImageIO(path: str, mode: Any) -> Any:  # noqa: N802, as in itk
        """Return what reads or writes an image file, or None if no format fits."""
        _load_formats("ImageIO", path)
        factory = _module("ITKIOImageBaseBasePython").itkImageIOFactory
        return factory.CreateImageIO(path, mode)


def imread(path: str, pixel_type: Any = None) -> Any:
    """Read an image of scalar pixels, of a type or else of that in the file."""
    mode = __getattr__("CommonEnums").IOFileMode_ReadMode
    header = ImageIOFactory.CreateImageIO(path, mode)
    if header is None:
        return itk_package().imread(path, pixel_type)
    header.SetFileName(path)
    header.ReadImageInformation()
    if pixel_type is None:
        if header.GetNumberOfComponents() > 1:
            return itk_package().imread(path)
        name = header.GetComponentTypeAsString(header.GetComponentType())
        if name == "char":  # which itk.ctype has no name for, nor ITK's Python an image of
            return itk_package().imread(path)
        pixel_type = itk_package().ctype(name.replace("_", " "))
    types = f"I{_short(pixel_type)}{header.GetNumberOfDimensions()}"
    if not _is_compiled("ImageFileReader", types):
        return itk_package().imread(path, pixel_type)
    with CompiledFilter("ImageFileReader", types, output=types) as reader:
        return reader.run(file_name=path)


def imwrite(image: Any, path: str, compression: bool = False) -> None:
    """Write an image."""
    types = _short(type(image))
    if not (_known_formats("ImageIO", path) and _is_compiled("ImageFileWriter", types)):
        itk_package().imwrite(image, path, compression)
        return
    _load_formats("ImageIO", path)
    with CompiledFilter("ImageFileWriter", types) as writer:
        writer.SetFileName(path)
        writer.SetUseCompression(compression)
        writer.SetInput(image)
        writer.Update()


def load_transform_reader(path: str) -> Any:
    """Load what reads the transforms of a file, of double precision, and return a reader of it."""
    _load_formats("TransformIO", path)
    reader = _module("itkTransformFileReaderPython").itkTransformFileReaderTemplateD.New()
    reader.SetFileName(path)
    return reader


def transformread(path: str) -> list[Any]:
    """Read the transforms of a file, of double precision."""
    reader = load_transform_reader(path)
    reader.Update()
    found = reader.GetModifiableTransformList()
    return [down_cast(found.pop()) for _ in range(found.size())][::-1]


def transformwrite(transform: Any, path: str, compression: bool = False) -> None:
    """Write a transform of double precision."""
    _load_formats("TransformIO", path)
    writer = _module("itkTransformFileWriterPython").itkTransformFileWriterTemplateD.New()
    writer.SetFileName(path)
    writer.SetUseCompression(compression)
    writer.AddTransform(transform)
    writer.Update()


def resample_image_filter(image: Any, **settings: Any) -> Any:
    """Resample an image of a type that can be, see :func:`can_resample`."""
    types = _short(type(image))
    with CompiledFilter("ResampleImageFilter", 2 * types, output=types) as resampler:
        return resampler.run(input=image, **settings)


def can_resample(image: Any) -> bool:
    """Whether ITK resamples images of this type."""
    return _is_compiled("ResampleImageFilter", 2 * _short(type(image)))


def displacement_field(transform: Any, **settings: Any) -> Any:
    """Sample the displacements of a transform; return an image of vectors of float."""
    dimension = transform.GetInputSpaceDimension()
    types = f"IVF{dimension}{dimension}"
    precision = "F" if "_float_" in transform.GetTransformTypeAsString() else "D"
    with CompiledFilter(
        "TransformToDisplacementFieldFilter", types + precision, output=types
    ) as sampler:
        return sampler.run(transform=transform, **settings)


def down_cast(transform: Any) -> Any:
    """Return a transform as an object of its own class."""
    name = transform.GetNameOfClass()
    try:
        classes = list(_instances(name))
    except ImportError:
        return itk_package().down_cast(transform)
    for found in classes:
        try:
            return found.cast(transform)
        except RuntimeError:
            continue
    return itk_package().down_cast(transform)


def array_view_from_image(image: Any) -> npt.NDArray[Any]:
    """Return the voxels, shape (k, j, i), or (k, j, i, D) of vectors; they share their memory."""
    types = _short(type(image))
    parts = re.fullmatch(r"IV?([A-Z]+)\d+", types)
    if parts is None or parts[1] not in _NUMPY_TYPES or image.GetBufferPointer() is None:
        return np.asarray(itk_package().array_view_from_image(image))
    if image.GetSource():
        image.GetSource().UpdateLargestPossibleRegion()
    shape = tuple(int(n) for n in image.GetBufferedRegion().GetSize())[::-1]
    if types.startswith("IV"):
        shape += (int(image.GetNumberOfComponentsPerPixel()),)
    memory = getattr(_compiled("PyBuffer"), f"itkPyBuffer{types}__GetArrayViewFromImage")(image)
    return np.asarray(_Voxels(image, _NUMPY_TYPES[parts[1]], shape, memory))


def asarray(values: Any) -> npt.NDArray[Any]:
    """Return the voxels of an image, see :func:`array_view_from_image`; an array as it is."""
    is_image = hasattr(values, "GetLargestPossibleRegion")
    return array_view_from_image(values) if is_image else np.asarray(values)


class _Voxels:
    """The memory of an image, which lives as long as an array of it."""

    def __init__(
        self, image: Any, dtype: np.dtype[Any], shape: tuple[int, ...], memory: memoryview
    ) -> None:
        array = np.frombuffer(memory, dtype).reshape(shape)
        self.__array_interface__ = array.__array_interface__
        self._kept = image, memory


def array_from_image(image: Any) -> npt.NDArray[Any]:
    """Return a copy of the voxels, see :func:`array_view_from_image`."""
    return array_view_from_image(image).copy()


def image_from_array(values: npt.NDArray[Any], is_vector: bool = False) -> Any:
    """Return an image with the values of an array, shape (k, j, i), or (k, j, i, C) of vectors."""
    names = [name for name, dtype in _NUMPY_TYPES.items() if values.dtype == dtype]
    if is_vector or not names:
        return itk_package().image_from_array(values, is_vector=is_vector)
    image = getattr(_wrapper("Image"), f"itkImage{names[0]}{values.ndim}").New()
    image.SetRegions(list(values.shape[::-1]))
    image.Allocate()
    array_view_from_image(image)[:] = values
    return image


def array_from_matrix(matrix: Any) -> npt.NDArray[np.float64]:
    """Return the values of a matrix of double precision."""
    values = matrix.GetVnlMatrix()
    return np.array(
        [[values.get(i, j) for j in range(values.cols())] for i in range(values.rows())]
    )


def matrix_from_array(values: npt.NDArray[np.floating]) -> Any:
    """Return a square matrix of double precision."""
    size = len(values)
    matrix = _module("vnl_matrixPython").vnl_matrixD(size, size)
    for (i, j), value in np.ndenumerate(values):
        matrix.put(i, j, float(value))
    return getattr(_wrapper("Matrix"), f"itkMatrixD{size}{size}")(matrix)


def _short(type_: Any) -> str:
    """Return what ITK's class names call a type of C++, a number or a class."""
    if isinstance(type_, int):
        return str(type_)
    if not isinstance(type_, type):
        return str(type_.short_name)
    name = type_.__name__.removeprefix("itk")
    return re.sub(r"^(Image|Vector)(?=[A-Z])", lambda found: found[0][0], name)


def _module(name: str) -> Any:
    """Return a module of ITK."""
    return import_module(f"{itk_package().__name__}.{name}")


@cache
def _wrapper(name: str) -> Any:
    """Return the module of the Python classes of a template."""
    return _module(f"itk{_WRAPPERS.get(name, name)}Python")


def _instances(name: str, types: str = "") -> Iterator[Any]:
    """Yield the instances of a template whose types begin as given."""
    pattern = re.compile(rf"itk{name}{types or '(?=[A-Z0-9]*$)'}[A-Z0-9]*")
    for key, found in vars(_wrapper(name)).items():
        if isinstance(found, type) and pattern.fullmatch(key):
            yield found


@cache
def _compiled(name: str) -> Any:
    """Return the module of the compiled functions of a template."""
    _wrapper("Image")  # the class of what filters return; it loads ITKCommon, which others need
    if name in _LIBRARIES:
        _wrapper("TransformBase")
        _module(f"_ITK{_LIBRARIES[name]}Python")
    return _module(f"_itk{name}Python")


def _is_compiled(name: str, types: str) -> bool:
    return hasattr(_compiled(name), f"itk{name}{types}___New_orig__")


def _load_formats(kind: str, path: str) -> None:
    """Load the formats that a file may have."""
    for name in _known_formats(kind, path) or _all_formats(kind):
        _load_format(kind, name)
    if kind == "TransformIO":
        _load_format(kind, "NePhi")


def _known_formats(kind: str, path: str) -> list[str]:
    """Return the format that the suffix of a file names, or nothing."""
    formats = _FORMATS[kind].items()
    return [name for name, suffixes in formats if path.lower().endswith(suffixes)]


@cache
def _load_format(kind: str, name: str) -> None:
    module = _wrapper("NePhi" if name == "NePhi" else name + kind)
    getattr(module, f"itk{name}{kind}Factory").RegisterOneFactory()


def _all_formats(kind: str) -> list[str]:
    """Return the names of all formats that ITK's own modules have."""
    from itk.support.base import itk_base_global_module_data

    return [
        name
        for module, data in itk_base_global_module_data.items()
        for of, name in data.get_module_factories()
        if of == kind and module != "NePhi"
    ]
