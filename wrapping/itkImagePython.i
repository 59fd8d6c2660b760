%module(package="itk") itkImagePython

class itkImageBase2 : public itkDataObject {};
class itkImageBase3 : public itkDataObject {};

%define NEPHI_IMAGE(Pixel)
class itkImage##Pixel##2 : public itkImageBase2 {};
class itkImage##Pixel##3 : public itkImageBase3 {};
%enddef

NEPHI_IMAGE(UC)
NEPHI_IMAGE(US)
NEPHI_IMAGE(UI)
NEPHI_IMAGE(UL)
NEPHI_IMAGE(ULL)
NEPHI_IMAGE(SS)
NEPHI_IMAGE(SI)
NEPHI_IMAGE(F)
NEPHI_IMAGE(D)
