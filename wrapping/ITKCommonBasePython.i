%module(package="itk") ITKCommonBasePython

class itkLightObject {};
class itkObject : public itkLightObject {};
