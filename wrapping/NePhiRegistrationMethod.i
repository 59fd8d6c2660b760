/* itk.NePhiRegistrationMethod. The C++ filter calls _generate() of its Python proxy. */

%{
#include <stdexcept>

#include "itkImage.h"
#include "itkNePhiRegistrationMethod.h"

using itkDataObject = itk::DataObject;
using itkProcessObject = itk::ProcessObject;
using itkImageBase2 = itk::ImageBase<2>;
using itkImageBase3 = itk::ImageBase<3>;
using itkDataObjectDecoratorTD22 = itk::DataObjectDecorator<itkTransformD22>;
using itkDataObjectDecoratorTD33 = itk::DataObjectDecorator<itkTransformD33>;
using itkNePhiRegistrationMethodBase2 = itk::NePhiRegistrationMethodBase<2>;
using itkNePhiRegistrationMethodBase3 = itk::NePhiRegistrationMethodBase<3>;

namespace
{
/** The object with a reference for its Python proxy; null, which is None, as it is. */
template <typename TObject>
TObject *
ShareConst(const TObject * object)
{
  return object == nullptr ? nullptr : Share(const_cast<TObject *>(object));
}

/** Holds the GIL for as long as this object lives. */
class GILHolder
{
public:
  GILHolder() = default;
  GILHolder(const GILHolder &) = delete;
  GILHolder & operator=(const GILHolder &) = delete;
  ~GILHolder() { PyGILState_Release(m_State); }

private:
  PyGILState_STATE m_State{ PyGILState_Ensure() };
};

/** A new Python dictionary for C++ to hold. */
std::shared_ptr<void>
NewDictionary()
{
  return std::shared_ptr<void>(PyDict_New(), [](void * dictionary) {
    if (Py_IsInitialized())
    {
      const GILHolder holder;
      Py_DecRef(static_cast<PyObject *>(dictionary));
    }
  });
}

/** Calls _generate() of a new proxy; throws the text that it returns where something went wrong. */
void
CallGenerate(PyObject * proxy)
{
  PyObject * const problem = PyObject_CallMethod(proxy, "_generate", nullptr);
  Py_DecRef(proxy);
  if (problem == Py_None)
  {
    Py_DecRef(problem);
    return;
  }
  PyObject * const text = problem == nullptr ? nullptr : PyUnicode_AsEncodedString(problem, "utf-8", "replace");
  const std::string message = text == nullptr ? "the registration did not start" : PyBytes_AsString(text);
  Py_DecRef(text);
  Py_DecRef(problem);
  PyErr_Clear();
  throw std::runtime_error(message);
}
} // namespace
%}

%import "itkImagePython.i"

%pythoncode %{
def _required(value, kind, name, expected):
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"expected {name} to be {expected} or None, got {type(value).__name__}")
    return value


def _down_cast(data):
    return None if data is None else itk.down_cast(data)
%}

%define NEPHI_REGISTRATION_METHOD_BASE(Name, TransformName, DecoratorName)
%newobject Name::_GetFixedMask;
%newobject Name::_GetMovingMask;
%newobject Name::_GetChannel;
%newobject Name::_GetInitialTransform;
%newobject Name::_GetTransform;
%newobject Name::_GetInverseTransform;
%newobject Name::GetOutput;
%newobject Name::GetInverseTransformOutput;
%nodefaultctor Name;
class Name : public itkProcessObject
{
public:
  void SetInitialTransformInput(const DecoratorName * transform);
  void SetInitialTransformKind(const char * kind);
  const char * GetInitialTransformKind();
  const char * GetDevice();
  unsigned long GetSeed() const;

  %extend
  {
    ~Name() { $self->UnRegister(); }

    void _SetDevice(const char * device) { $self->SetDevice(device); }
    void _SetSeed(unsigned long seed) { $self->SetSeed(seed); }
    void _SetFixedMask(const itkDataObject * mask) { $self->SetFixedMask(mask); }
    void _SetMovingMask(const itkDataObject * mask) { $self->SetMovingMask(mask); }
    void _SetInitialTransform(const TransformName * transform) { $self->SetInitialTransform(transform); }
    void _SetTransforms(const TransformName * fixedToMoving, const TransformName * movingToFixed)
    {
      $self->SetTransforms(fixedToMoving, movingToFixed);
    }

    void _SetChannel(const char * name, unsigned int number, const itkDataObject * channel)
    {
      $self->SetChannel(name, number, channel);
    }
    itkDataObject * _GetChannel(const char * name, unsigned int number)
    {
      return ShareConst($self->GetChannel(name, number));
    }

    itkDataObject * _GetFixedMask() { return ShareConst($self->GetFixedMask()); }
    itkDataObject * _GetMovingMask() { return ShareConst($self->GetMovingMask()); }
    TransformName * _GetInitialTransform() { return ShareConst($self->GetInitialTransform()); }
    TransformName * _GetTransform() { return ShareConst($self->GetTransform()); }
    TransformName * _GetInverseTransform() { return ShareConst($self->GetInverseTransform()); }
    DecoratorName * GetOutput() { return Share($self->GetOutput()); }
    DecoratorName * GetInverseTransformOutput() { return Share($self->GetInverseTransformOutput()); }

    PyObject * _State()
    {
      auto * const state = static_cast<PyObject *>($self->GetGeneratorState());
      Py_IncRef(state);
      return state;
    }

    %pythoncode %{
    def SetFixedImage(self, image: "itk.Image") -> None:
        """Set the image whose points are mapped; its type is the first template parameter."""
        self._SetFixedImage(self._image(image, "fixed_image", 0))

    def SetMovingImage(self, image: "itk.Image") -> None:
        """Set the image that the mapped points lie in; its type is the second template parameter."""
        self._SetMovingImage(self._image(image, "moving_image", 1))

    SetInput = SetFixedImage
    SetInput1 = SetFixedImage
    SetInput2 = SetMovingImage

    def SetFixedMask(self, mask: "itk.Image | itk.SpatialObject | None") -> None:
        """Set where the fixed image is compared: an image on its grid, non-zero inside, or a spatial object."""
        self._SetFixedMask(self._mask(mask, "fixed_mask"))

    def GetFixedMask(self) -> "itk.Image | itk.SpatialObject | None":
        """Return where the fixed image is compared."""
        return _down_cast(self._GetFixedMask())

    def SetMovingMask(self, mask: "itk.Image | itk.SpatialObject | None") -> None:
        """Set where the moving image is compared: an image on its grid, non-zero inside, or a spatial object."""
        self._SetMovingMask(self._mask(mask, "moving_mask"))

    def GetMovingMask(self) -> "itk.Image | itk.SpatialObject | None":
        """Return where the moving image is compared."""
        return _down_cast(self._GetMovingMask())

    def SetInitialTransform(self, transform: "itk.Transform | str | None") -> None:
        """Set where to start, fixed to moving: a transform, or affine (the default), moments, geometry, identity.

        None is the identity. A transform that another filter makes is given to SetInitialTransformInput.
        """
        if transform is None or isinstance(transform, str):
            self.SetInitialTransformKind(transform or "identity")
            transform = None
        kind = itk.itkTransformBasePython.TransformName
        self._SetInitialTransform(_required(transform, kind, "initial_transform", "an " #TransformName ", a name"))

    def GetInitialTransform(self) -> "itk.Transform | None":
        """Return the transform to start from, if one is set."""
        return _down_cast(self._GetInitialTransform())

    def SetDevice(self, device: str) -> None:
        """Set where to compute: cpu, cuda, or what else torch calls a device."""
        self._SetDevice(str(device))

    def SetSeed(self, seed: int) -> None:
        """Set the seed; the same one gives the same result, on a CPU to the bit."""
        try:
            self._SetSeed(seed)
        except (OverflowError, TypeError):
            raise ValueError(f"expected seed to be a whole number of 0 or more, got {seed!r}") from None

    def GetTransform(self) -> "itk.CompositeTransform | None":
        """Return the map from fixed to moving space, which resamples the moving image; None before Update()."""
        return self.GetRegistration() and _down_cast(self._GetTransform())

    def GetInverseTransform(self) -> "itk.CompositeTransform | None":
        """Return the approximate inverse, from moving to fixed space; None before Update()."""
        return self.GetRegistration() and _down_cast(self._GetInverseTransform())

    def GetRegistration(self) -> "itk_nephi.Registration | None":
        """Return what itk_nephi.register() returned; None before Update()."""
        return self._State().get("registration")

    def GetHistory(self) -> "list[itk_nephi.Progress]":
        """Return the losses and the position of every step; empty before Update()."""
        registration = self.GetRegistration()
        return [] if registration is None else registration.history

    def GetLosses(self) -> "dict[str, float]":
        """Return the terms of the objective after the last step, also for observers; empty before the first."""
        progress = self._State().get("progress")
        return {} if progress is None else progress.losses

    def GetMetricValue(self) -> float:
        """Return the objective after the last step, also for observers; NaN before the first."""
        return self.GetLosses().get("total", float("nan"))

    def GetCurrentIteration(self) -> int:
        """Return how many steps are done, over all levels."""
        progress = self._State().get("progress")
        return 0 if progress is None else progress.done

    def GetCurrentLevel(self) -> int:
        """Return the resolution level, from 1; 0 before the first step."""
        progress = self._State().get("progress")
        return 0 if progress is None else progress.level

    def Update(self) -> None:
        """Register, if an input or a parameter changed since the last time."""
        self._run(super().Update)

    def UpdateLargestPossibleRegion(self) -> None:
        """Register, if an input or a parameter changed since the last time."""
        self._run(super().UpdateLargestPossibleRegion)

    def _run(self, update):
        state = self._State()
        state["error"] = None
        try:
            update()
        except RuntimeError:
            if state.get("error") is None:
                raise
            raise state["error"] from None
        finally:
            state.pop("error", None)

    def _generate(self):
        try:
            from itk_nephi.extras import named_extras
            with named_extras():
                from itk_nephi.registration.itk_filter import generate
            generate(self)
        except BaseException as error:
            state = self._State()
            if "error" in state:
                state["error"] = error
            return f"{type(error).__name__}: {error}"

    def _image(self, image, name, number):
        kind = itk.template(self)[1][number]
        return _required(image, kind, name, f"an {kind.__name__}")

    def _mask(self, mask, name):
        kind = itk.ITKCommonBasePython.itkDataObject
        return _required(mask, kind, name, "an image, a spatial object")
    %}
  }
};
%enddef

NEPHI_REGISTRATION_METHOD_BASE(itkNePhiRegistrationMethodBase2, itkTransformD22, itkDataObjectDecoratorTD22)
NEPHI_REGISTRATION_METHOD_BASE(itkNePhiRegistrationMethodBase3, itkTransformD33, itkDataObjectDecoratorTD33)

%define NEPHI_REGISTRATION_METHOD(Name, Superclass, ImageName, PixelType, VDimension)
%{
using ImageName = itk::Image<PixelType, VDimension>;
using Name = itk::NePhiRegistrationMethod<ImageName, ImageName>;
%}
%newobject Name::__New_orig__;
%newobject Name::cast;
%newobject Name::GetFixedImage;
%newobject Name::GetMovingImage;
%nodefaultctor Name;
%feature("docstring") Name
"Registers two images by neural deformation fields, as a filter.

The output is the decorated map from points of the fixed image to points of the moving image, which is what resampling
the moving image needs; GetInverseTransformOutput() is its approximate inverse. Each setting of
itk_nephi.RegistrationSettings has a Set and a Get method, named as ITK does; New() takes them as keywords. Every step
invokes an IterationEvent; AbortGenerateDataOn() ends the optimization after the current step."
%feature("docstring") Name::GetFixedImage "Return the image whose points are mapped."
%feature("docstring") Name::GetMovingImage "Return the image that the mapped points lie in."
class Name : public Superclass
{
public:
  %extend
  {
    ~Name() { $self->UnRegister(); }

    static Name * __New_orig__()
    {
      const auto method = Name::New();
      method->SetGenerator(
        [](Superclass * generating) {
          const GILHolder holder;
          void * const    proxied = Share(static_cast<Name *>(generating));
          CallGenerate(SWIG_NewPointerObj(proxied, $descriptor(Name *), SWIG_POINTER_OWN));
        },
        NewDictionary());
      return Share(method.GetPointer());
    }

    static Name * cast(itkLightObject * object)
    {
      auto * method = dynamic_cast<Name *>(object);
      if (method == nullptr)
      {
        throw std::invalid_argument("expected an object of class " #Name);
      }
      return Share(method);
    }

    void _SetFixedImage(const ImageName * image) { $self->SetFixedImage(image); }
    void _SetMovingImage(const ImageName * image) { $self->SetMovingImage(image); }
    ImageName * GetFixedImage() { return ShareConst($self->GetFixedImage()); }
    ImageName * GetMovingImage() { return ShareConst($self->GetMovingImage()); }

    %pythoncode %{
    def __repr__(self):
        state = "done" if self.GetRegistration() else "not run"
        return f"<NePhiRegistrationMethod of {itk.template(self)[1][0].__name__}: {state}>"

    @staticmethod
    def New(*args, **kwargs) -> "Name":
        """Create a filter from the fixed and the moving image; keywords call the Set methods."""
        from itk.support import template_class
        accessors = _accessors()
        method = Name.__New_orig__()
        template_class.New(method, *args, **accessors.with_settings(kwargs))
        return method
    %}
  }
};
%enddef

%define NEPHI_REGISTRATION_METHODS(Pixel, PixelType)
NEPHI_REGISTRATION_METHOD(
  itkNePhiRegistrationMethodI##Pixel##2I##Pixel##2, itkNePhiRegistrationMethodBase2, itkImage##Pixel##2, PixelType, 2)
NEPHI_REGISTRATION_METHOD(
  itkNePhiRegistrationMethodI##Pixel##3I##Pixel##3, itkNePhiRegistrationMethodBase3, itkImage##Pixel##3, PixelType, 3)
%enddef

NEPHI_REGISTRATION_METHODS(UC, unsigned char)
NEPHI_REGISTRATION_METHODS(US, unsigned short)
NEPHI_REGISTRATION_METHODS(UI, unsigned int)
NEPHI_REGISTRATION_METHODS(UL, unsigned long)
NEPHI_REGISTRATION_METHODS(ULL, unsigned long long)
NEPHI_REGISTRATION_METHODS(SS, short)
NEPHI_REGISTRATION_METHODS(SI, int)
NEPHI_REGISTRATION_METHODS(F, float)
NEPHI_REGISTRATION_METHODS(D, double)

%pythoncode %{
def _accessors():
    """Return what gives the filters their Set and Get methods, once it has: ITK loads this file for every transform."""
    from itk_nephi.registration import filter_accessors
    for base in (itkNePhiRegistrationMethodBase2, itkNePhiRegistrationMethodBase3):
        if not hasattr(base, "SetSettings"):
            filter_accessors.add_accessors(base)
    return filter_accessors


class _NePhiRegistrationFunction:
    """A function whose signature and docstring are made when asked for."""

    def __call__(self, fixed_image, moving_image, **options):
        return _accessors().nephi_registration_method(fixed_image, moving_image, **options)

    @property
    def __signature__(self):
        return _accessors().nephi_registration_method.__signature__

    @property
    def __doc__(self):
        return _accessors().nephi_registration_method.__doc__


nephi_registration_method = _NePhiRegistrationFunction()


def nephi_registration_method_init_docstring():
    """Do nothing: ITK's loader calls this."""
%}
