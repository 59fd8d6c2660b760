%module(package="itk") ITKCommonBasePython

class itkLightObject {};
class itkObject : public itkLightObject {};
class itkDataObject : public itkObject {};
class itkProcessObject : public itkObject {};
