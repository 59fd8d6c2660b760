/* What the Python package calls: numbers are given as sequences, arrays by the address of their memory, None as null. */

%{
#include "itkNePhiCalls.h"

namespace
{
using Integers = std::vector<std::int64_t>;
using Numbers = std::vector<double>;
using Addresses = std::vector<float *>;

/** The items of a sequence of Python, each converted; throws what the interpreter then raises. */
template <typename TItems, typename TConvert>
TItems
ItemsOf(PyObject * sequence, const TConvert & convert)
{
  const Py_ssize_t size = PySequence_Size(sequence);
  TItems           items;
  for (Py_ssize_t n = 0; n < size; ++n)
  {
    PyObject * const item = PySequence_GetItem(sequence, n);
    if (item != nullptr)
    {
      items.push_back(static_cast<typename TItems::value_type>(convert(item)));
      Py_DecRef(item);
    }
  }
  return items;
}

void *
AddressOf(PyObject * number)
{
  return number == Py_None ? nullptr : PyLong_AsVoidPtr(number);
}
} // namespace
%}

%typemap(in) std::int64_t { $1 = PyLong_AsLongLong($input); }
%typemap(in) float { $1 = static_cast<float>(PyFloat_AsDouble($input)); }
%typemap(in) const std::int64_t * sizes (Integers items)
{
  items = ItemsOf<Integers>($input, PyLong_AsLongLong);
  $1 = items.data();
}
%typemap(in) const double * geometry (Numbers items)
{
  items = ItemsOf<Numbers>($input, PyFloat_AsDouble);
  $1 = items.data();
}
%typemap(in) float *, const float *, double *, const double * { $1 = static_cast<$1_ltype>(AddressOf($input)); }
%typemap(in) const float * const * (Addresses items), float * const * (Addresses items)
{
  items = ItemsOf<Addresses>($input, AddressOf);
  $1 = items.data();
}

%exception {
  if (PyErr_Occurred())
  {
    SWIG_fail;
  }
  try
  {
    const GILRelease release;
    $action
  }
  catch (const std::bad_alloc &)
  {
    SWIG_exception_fail(SWIG_MemoryError, "expected memory for the points, got too little");
  }
  catch (const std::exception & error)
  {
    SWIG_exception_fail(SWIG_RuntimeError, error.what());
  }
}

%include "itkNePhiCalls.h"

%define NEPHI_CALLS(VDimension)
%template(NePhiFieldForward##VDimension) itk::NePhiFieldForward<VDimension>;
%template(NePhiFieldBackward##VDimension) itk::NePhiFieldBackward<VDimension>;
%template(NePhiAddSpline##VDimension) itk::NePhiAddSpline<VDimension>;
%template(NePhiProjectOnSpline##VDimension) itk::NePhiProjectOnSpline<VDimension>;
%template(NePhiCorrelateImages##VDimension) itk::NePhiCorrelateImages<VDimension>;
%template(NePhiCompose##VDimension) itk::NePhiCompose<VDimension>;
%template(NePhiSampleLevel##VDimension) itk::NePhiSampleLevel<VDimension>;
%template(NePhiExplainLevel##VDimension) itk::NePhiExplainLevel<VDimension>;
%enddef

NEPHI_CALLS(2)
NEPHI_CALLS(3)

%exception;
