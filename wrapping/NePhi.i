%module(package="itk") itkNePhiPython

%pythonbegin %{
from itk.Configuration.NePhiConfig import require_supported_itk

require_supported_itk()

import numpy

swig = {}


def _points_from(values, dimension):
    points = numpy.ascontiguousarray(values, dtype=numpy.float64)
    if points.ndim != 2 or points.shape[1] != dimension:
        raise ValueError(f"expected points of shape (N, {dimension}), got {points.shape}")
    return points


def _require_torch(device):
    try:
        import torch
    except ImportError as error:
        raise RuntimeError(f"expected torch for the torch backend, got none: {error}") from None
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise RuntimeError(
            f"expected device to be cpu, or cuda where there is a GPU, got {device!r}: {reason}"
        ) from None


def _moved_point_set(points, transform_points):
    import itk

    moved = type(points).New()
    moved.Graft(points)
    container = points.GetPoints()
    if container.Size() == 0:
        moved.SetPoints(type(container).New())
    else:
        array = itk.array_from_vector_container(container)
        mapped = transform_points(array).astype(array.dtype)
        moved.SetPoints(itk.vector_container_from_array(mapped.ravel()))
    return moved


def _moved_tensor(points, transform_points):
    points = points if points.is_floating_point() else points.double()
    return points.new_tensor(transform_points(points.double().cpu().numpy()))
%}

%{
#include "itkNePhiTransform.h"
#include "itkNePhiTransformIOFactory.h"

using itkLightObject = itk::LightObject;
using itkObject = itk::Object;
using itkTransformBaseTemplateD = itk::TransformBaseTemplate<double>;
using itkTransformBaseTemplateF = itk::TransformBaseTemplate<float>;
using itkTransformD22 = itk::Transform<double, 2, 2>;
using itkTransformD33 = itk::Transform<double, 3, 3>;
using itkTransformF22 = itk::Transform<float, 2, 2>;
using itkTransformF33 = itk::Transform<float, 3, 3>;
using itkNePhiTransformD2 = itk::NePhiTransform<double, 2>;
using itkNePhiTransformD3 = itk::NePhiTransform<double, 3>;
using itkNePhiTransformF2 = itk::NePhiTransform<float, 2>;
using itkNePhiTransformF3 = itk::NePhiTransform<float, 3>;
using itkNePhiTransformIOFactory = itk::NePhiTransformIOFactory;

namespace
{
/** The memory of a C-contiguous numpy array of doubles, for as long as this object lives. */
class DoubleBuffer
{
public:
  DoubleBuffer(PyObject * array, int flags)
  {
    if (PyObject_GetBuffer(array, &m_View, flags | PyBUF_C_CONTIGUOUS) != 0)
    {
      PyErr_Clear();
      throw std::invalid_argument("expected a contiguous array of float64");
    }
  }
  DoubleBuffer(const DoubleBuffer &) = delete;
  DoubleBuffer & operator=(const DoubleBuffer &) = delete;
  ~DoubleBuffer() { PyBuffer_Release(&m_View); }

  double *
  GetData() const
  {
    return static_cast<double *>(m_View.buf);
  }

  itk::SizeValueType
  GetSize() const
  {
    return static_cast<itk::SizeValueType>(m_View.len) / sizeof(double);
  }

private:
  Py_buffer m_View;
};

/** Lets other threads of Python run for as long as this object lives. */
class GILRelease
{
public:
  GILRelease() = default;
  GILRelease(const GILRelease &) = delete;
  GILRelease & operator=(const GILRelease &) = delete;
  ~GILRelease() { PyEval_RestoreThread(m_State); }

private:
  PyThreadState * m_State{ PyEval_SaveThread() };
};

/** Numbers as a tuple. */
template <typename TNumbers>
PyObject *
TupleOf(const TNumbers & numbers, unsigned int size)
{
  PyObject * const tuple = PyTuple_New(size);
  for (unsigned int n = 0; n < size; ++n)
  {
    PyObject * number;
    if constexpr (std::is_floating_point_v<std::decay_t<decltype(numbers[n])>>)
    {
      number = PyFloat_FromDouble(numbers[n]);
    }
    else
    {
      number = PyLong_FromSize_t(numbers[n]);
    }
    PyTuple_SetItem(tuple, n, number);
  }
  return tuple;
}

/** The object with a reference for its Python proxy, which UnRegister() gives back. */
template <typename TObject>
TObject *
Share(TObject * object)
{
  object->Register();
  return object;
}
} // namespace
%}

%import "ITKCommonBasePython.i"
%import "itkTransformBasePython.i"

%include "exception.i"
%include "std_string.i"

%exception {
  try
  {
    $action
  }
  catch (const std::exception & error)
  {
    SWIG_exception_fail(SWIG_RuntimeError, error.what());
  }
}


%define NEPHI_TRANSFORM(Name, Superclass, VDimension)
%newobject Name::__New_orig__;
%newobject Name::Clone;
%newobject Name::GetInverseTransform;
%newobject Name::cast;
%nodefaultctor Name;
%feature("docstring") Name
"A neural deformation field: maps points of the fixed image to the moving image, mm.

The identity until its parameters are set. itk_nephi.register() and itk.NePhiRegistrationMethod make it,
itk.transformread() reads it, and every filter of ITK that takes a transform takes it. It holds the field of its
approximate inverse too, which GetInverseTransform() gives."
%feature("docstring") Name::GetInverse "Make another one the approximate inverse, in place; True where there is one."
%feature("docstring") Name::GetInverseTransform "Return the approximate inverse, as a new transform."
%feature("docstring") Name::Clone "Return a copy."
%feature("docstring") Name::GetBackend "Return what evaluates points: cpu, the compiled kernels, or torch."
%feature("docstring") Name::GetDevice "Return the device of the backend: cpu, cuda or cuda:N."
%feature("docstring") Name::GetWidth "Return the width of the hidden layers."
%feature("docstring") Name::GetDepth "Return the number of hidden layers beside the first."
%feature("docstring") Name::GetFrequencies "Return the number of frequencies of the embedding."
%feature("docstring") Name::GetGlobalCodeSize "Return the size of the global latent code."
%feature("docstring") Name::GetLocalCodeChannels "Return the number of channels of the local latent code."
%feature("docstring") Name::GetLocalCodeGrid "Return the vertices of the local latent code along each axis, i first."
%feature("docstring") Name::GetSplineCells "Return the cells of each B-spline along each axis, i first."
%feature("docstring") Name::GetFileFormatVersion "Return the version of the file format that it is written in."
%feature("docstring") Name::GetSize "Return the size of the image domain, voxels, i first."
%feature("docstring") Name::GetSpacing "Return the spacing of the image domain, mm, i first."
%feature("docstring") Name::GetOrigin "Return the origin of the image domain, mm."
%feature("docstring") Name::GetDirection "Return the rows of the direction cosines of the image domain."
class Name : public Superclass
{
public:
  bool GetInverse(Name * inverse) const;
  std::string GetBackend() const;
  const std::string & GetDevice() const;
  unsigned long GetWidth() const;
  unsigned long GetDepth() const;
  unsigned long GetFrequencies() const;
  unsigned long GetGlobalCodeSize() const;
  unsigned long GetLocalCodeChannels() const;
  unsigned int GetFileFormatVersion() const;

  %extend
  {
    ~Name() { $self->UnRegister(); }

    static Name * __New_orig__() { return Share(Name::New().GetPointer()); }

    static Name * cast(itkLightObject * object)
    {
      auto * transform = dynamic_cast<Name *>(object);
      if (transform == nullptr)
      {
        throw std::invalid_argument("expected an object of class " #Name);
      }
      return Share(transform);
    }

    Name * Clone() const { return Share($self->Clone().GetPointer()); }

    Name * GetInverseTransform() const
    {
      const auto inverse = Name::New();
      $self->GetInverse(inverse);
      return Share(inverse.GetPointer());
    }

    PyObject * _GetFrequencyMatrices() const
    {
      $self->VerifyParameters();
      const auto & fixedParameters = $self->GetFixedParameters();
      return TupleOf(fixedParameters.data_block() + itk::NePhiFieldLayout<VDimension>::FrequenciesBegin,
                     2 * VDimension * $self->GetFrequencies());
    }

    PyObject * GetLocalCodeGrid() const { return TupleOf($self->GetLocalCodeGrid(), VDimension); }
    PyObject * GetSize() const { return TupleOf($self->GetSize(), VDimension); }
    PyObject * GetSpacing() const { return TupleOf($self->GetSpacing(), VDimension); }
    PyObject * GetOrigin() const { return TupleOf($self->GetOrigin(), VDimension); }
    PyObject * GetDirection() const
    {
      const auto       direction = $self->GetDirection();
      PyObject * const rows = PyTuple_New(VDimension);
      for (unsigned int i = 0; i < VDimension; ++i)
      {
        PyTuple_SetItem(rows, i, TupleOf(direction[i], VDimension));
      }
      return rows;
    }
    PyObject * GetSplineCells() const
    {
      const auto       splines = $self->GetSplineCells();
      PyObject * const all = PyTuple_New(splines.size());
      for (std::size_t n = 0; n < splines.size(); ++n)
      {
        PyTuple_SetItem(all, n, TupleOf(splines[n], VDimension));
      }
      return all;
    }

    void _SetBackend(const std::string & backend, const std::string & device) { $self->SetBackend(backend, device); }

    void _TransformPoints(PyObject * points, PyObject * mapped) const
    {
      const DoubleBuffer input(points, PyBUF_SIMPLE);
      const DoubleBuffer output(mapped, PyBUF_WRITABLE);
      const GILRelease   release;
      $self->TransformPoints(input.GetData(), output.GetData(), input.GetSize() / VDimension);
    }

    void _JacobiansWithRespectToPosition(PyObject * points, PyObject * jacobians) const
    {
      const DoubleBuffer input(points, PyBUF_SIMPLE);
      const DoubleBuffer output(jacobians, PyBUF_WRITABLE);
      const GILRelease   release;
      $self->ComputeJacobiansWithRespectToPosition(input.GetData(), output.GetData(), input.GetSize() / VDimension);
    }

    %pythoncode %{
    @staticmethod
    def New(*args, **kwargs):
        """Create a transform: the identity until its parameters are set."""
        from itk.support import template_class
        transform = Name.__New_orig__()
        template_class.New(transform, *args, **kwargs)
        return transform

    def __repr__(self):
        size = " x ".join(map(str, self.GetSize()))
        count = self.GetNumberOfParameters()
        return f"<{self.GetTransformTypeAsString()} on {size} voxels, {count:,} parameters>"

    def GetFrequencyMatrices(self):
        """Return the frequencies of the embedding of the field and of the inverse field, shape (2, D, F)."""
        return numpy.array(self._GetFrequencyMatrices()).reshape(2, VDimension, -1)

    def SetBackend(self, backend, device="cpu"):
        """Choose what evaluates points: "cpu", the compiled kernels, or "torch", on "cpu", "cuda" or "cuda:N".

        Raises RuntimeError where torch is missing, too old or does not have the device.
        """
        if backend == "torch":
            _require_torch(device)
        self._SetBackend(backend, device)

    def TransformPoints(self, points):
        """Map points, mm, on all threads; returns what is like the points given.

        Points are an array or a torch tensor of shape (N, D), an itk.PointSet or an itk.Mesh. An array comes back in
        double precision, a tensor in its own type on its own device; torch refuses one that requires a gradient. What
        a point set or a mesh has besides points, as cells and data, is shared with the result.
        """
        if hasattr(points, "GetPoints"):
            return _moved_point_set(points, self.TransformPoints)
        if hasattr(points, "new_tensor"):
            return _moved_tensor(points, self.TransformPoints)
        points = _points_from(points, VDimension)
        mapped = numpy.empty_like(points)
        self._TransformPoints(points, mapped)
        return mapped

    def JacobiansWithRespectToPosition(self, points):
        """Jacobian matrices, shape (N, D, D), dimensionless, at points, shape (N, D), mm."""
        points = _points_from(points, VDimension)
        jacobians = numpy.empty((*points.shape, VDimension))
        self._JacobiansWithRespectToPosition(points, jacobians)
        return jacobians
    %}
  }
};
%enddef

NEPHI_TRANSFORM(itkNePhiTransformD2, itkTransformD22, 2)
NEPHI_TRANSFORM(itkNePhiTransformD3, itkTransformD33, 3)
NEPHI_TRANSFORM(itkNePhiTransformF2, itkTransformF22, 2)
NEPHI_TRANSFORM(itkNePhiTransformF3, itkTransformF33, 3)

%nodefaultctor itkNePhiTransformIOFactory;
%nodefaultdtor itkNePhiTransformIOFactory;
class itkNePhiTransformIOFactory
{
public:
  static void RegisterOneFactory();
};

%constant double NePhiSineFrequency = itk::NePhiSineFrequency;

%include "NePhiRegistrationMethod.i"
%include "NePhiCalls.i"
