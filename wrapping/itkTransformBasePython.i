%module(package="itk") itkTransformBasePython

class itkTransformBaseTemplateD : public itkObject {};
class itkTransformBaseTemplateF : public itkObject {};
class itkTransformD22 : public itkTransformBaseTemplateD {};
class itkTransformD33 : public itkTransformBaseTemplateD {};
class itkTransformF22 : public itkTransformBaseTemplateF {};
class itkTransformF33 : public itkTransformBaseTemplateF {};
class itkDataObjectDecoratorTD22 : public itkDataObject {};
class itkDataObjectDecoratorTD33 : public itkDataObject {};
