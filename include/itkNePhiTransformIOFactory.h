/*=========================================================================
 *
 *  Licensed under the Apache License, Version 2.0 (the "License");
 *  you may not use this file except in compliance with the License.
 *  You may obtain a copy of the License at
 *
 *         https://www.apache.org/licenses/LICENSE-2.0.txt
 *
 *  Unless required by applicable law or agreed to in writing, software
 *  distributed under the License is distributed on an "AS IS" BASIS,
 *  WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 *  See the License for the specific language governing permissions and
 *  limitations under the License.
 *
 *=========================================================================*/
#ifndef itkNePhiTransformIOFactory_h
#define itkNePhiTransformIOFactory_h

#include "itkCreateObjectFunction.h"
#include "itkNePhiTransform.h"
#include "itkObjectFactoryBase.h"
#include "itkVersion.h"

namespace itk
{
/** \class NePhiTransformIOFactory
 * \brief Lets ITK's transform readers create NePhiTransform.
 *
 * ITK's Python package registers it at the first transformread(), in every process.
 *
 * \ingroup NePhi
 */
class NePhiTransformIOFactory : public ObjectFactoryBase
{
public:
  ITK_DISALLOW_COPY_AND_MOVE(NePhiTransformIOFactory);

  using Self = NePhiTransformIOFactory;
  using Superclass = ObjectFactoryBase;
  using Pointer = SmartPointer<Self>;
  using ConstPointer = SmartPointer<const Self>;

  itkFactorylessNewMacro(Self);
  itkOverrideGetNameOfClassMacro(NePhiTransformIOFactory);

  const char *
  GetITKSourceVersion() const override
  {
    return ITK_SOURCE_VERSION;
  }

  const char *
  GetDescription() const override
  {
    return "Creates NePhiTransform objects";
  }

  static void
  RegisterOneFactory()
  {
    ObjectFactoryBase::RegisterFactoryInternal(Self::New());
  }

protected:
  NePhiTransformIOFactory()
  {
    this->RegisterTransform<NePhiTransform<double, 2>>();
    this->RegisterTransform<NePhiTransform<double, 3>>();
    this->RegisterTransform<NePhiTransform<float, 2>>();
    this->RegisterTransform<NePhiTransform<float, 3>>();
  }
  ~NePhiTransformIOFactory() override = default;

private:
  /** Creates transforms without parameters, so that a file that lacks them does not read as the identity. */
  template <typename TTransform>
  class Creator : public CreateObjectFunctionBase
  {
  public:
    using Self = Creator;
    using Pointer = SmartPointer<Self>;

    itkFactorylessNewMacro(Self);

    LightObject::Pointer
    CreateObject() override
    {
      const auto transform = TTransform::New();
      transform->Clear();
      return transform.GetPointer();
    }
  };

  template <typename TTransform>
  void
  RegisterTransform()
  {
    const std::string name = TTransform::New()->GetTransformTypeAsString();
    this->RegisterOverride(name.c_str(), name.c_str(), name.c_str(), true, Creator<TTransform>::New());
  }
};
} // namespace itk

#endif
