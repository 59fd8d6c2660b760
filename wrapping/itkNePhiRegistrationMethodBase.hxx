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
#ifndef itkNePhiRegistrationMethodBase_hxx
#define itkNePhiRegistrationMethodBase_hxx

#include <utility>

namespace itk
{
template <unsigned int VDimension>
NePhiRegistrationMethodBase<VDimension>::NePhiRegistrationMethodBase()
{
  this->SetPrimaryInputName("FixedImage");
  this->AddRequiredInputName("MovingImage", 1);
  this->SetNumberOfRequiredOutputs(2);
  this->SetNthOutput(0, Self::MakeOutput(0));
  this->SetNthOutput(1, Self::MakeOutput(1));
}


template <unsigned int VDimension>
auto
NePhiRegistrationMethodBase<VDimension>::MakeOutput(DataObjectPointerArraySizeType) -> DataObjectPointer
{
  const auto output = DecoratedTransformType::New();
  output->Set(NePhiTransform<double, VDimension>::New());
  return output.GetPointer();
}


template <unsigned int VDimension>
void
NePhiRegistrationMethodBase<VDimension>::SetChannel(const std::string & name,
                                                    unsigned int        number,
                                                    const DataObject *  channel)
{
  this->ProcessObject::SetInput(name + std::to_string(number), const_cast<DataObject *>(channel));
}


template <unsigned int VDimension>
auto
NePhiRegistrationMethodBase<VDimension>::GetChannel(const std::string & name, unsigned int number) const
  -> const DataObject *
{
  return this->ProcessObject::GetInput(name + std::to_string(number));
}


template <unsigned int VDimension>
void
NePhiRegistrationMethodBase<VDimension>::SetInitialTransformInput(const DecoratedTransformType * transform)
{
  if (transform != this->GetInitialTransformInput())
  {
    this->ProcessObject::SetInput("InitialTransform", const_cast<DecoratedTransformType *>(transform));
    this->Modified();
  }
}


template <unsigned int VDimension>
auto
NePhiRegistrationMethodBase<VDimension>::GetInitialTransformInput() const -> const DecoratedTransformType *
{
  return static_cast<const DecoratedTransformType *>(this->ProcessObject::GetInput("InitialTransform"));
}


template <unsigned int VDimension>
void
NePhiRegistrationMethodBase<VDimension>::SetInitialTransform(const TransformType * transform)
{
  if (transform == nullptr)
  {
    this->SetInitialTransformInput(nullptr);
  }
  else if (transform != this->GetInitialTransform())
  {
    const auto decorator = DecoratedTransformType::New();
    decorator->Set(transform);
    this->SetInitialTransformInput(decorator);
  }
}


template <unsigned int VDimension>
auto
NePhiRegistrationMethodBase<VDimension>::GetInitialTransform() const -> const TransformType *
{
  const DecoratedTransformType * input = this->GetInitialTransformInput();
  return input == nullptr ? nullptr : input->Get();
}


template <unsigned int VDimension>
auto
NePhiRegistrationMethodBase<VDimension>::GetOutput() -> DecoratedTransformType *
{
  return static_cast<DecoratedTransformType *>(this->ProcessObject::GetOutput(0));
}


template <unsigned int VDimension>
auto
NePhiRegistrationMethodBase<VDimension>::GetTransform() -> const TransformType *
{
  return this->GetOutput()->Get();
}


template <unsigned int VDimension>
auto
NePhiRegistrationMethodBase<VDimension>::GetInverseTransformOutput() -> DecoratedTransformType *
{
  return static_cast<DecoratedTransformType *>(this->ProcessObject::GetOutput(1));
}


template <unsigned int VDimension>
auto
NePhiRegistrationMethodBase<VDimension>::GetInverseTransform() -> const TransformType *
{
  return this->GetInverseTransformOutput()->Get();
}


template <unsigned int VDimension>
void
NePhiRegistrationMethodBase<VDimension>::SetGenerator(GeneratorType generator, std::shared_ptr<void> state)
{
  m_Generator = std::move(generator);
  m_GeneratorState = std::move(state);
  this->Modified();
}


template <unsigned int VDimension>
void *
NePhiRegistrationMethodBase<VDimension>::GetGeneratorState() const
{
  return m_GeneratorState.get();
}


template <unsigned int VDimension>
void
NePhiRegistrationMethodBase<VDimension>::SetTransforms(const TransformType * fixedToMoving,
                                                       const TransformType * movingToFixed)
{
  this->GetOutput()->Set(fixedToMoving);
  this->GetInverseTransformOutput()->Set(movingToFixed);
}


template <unsigned int VDimension>
void
NePhiRegistrationMethodBase<VDimension>::GenerateData()
{
  if (!m_Generator)
  {
    itkExceptionMacro("Expected a generator, got none: create the method from Python");
  }
  this->SetTransforms(NePhiTransform<double, VDimension>::New(), NePhiTransform<double, VDimension>::New());
  m_Generator(this);
}


template <unsigned int VDimension>
void
NePhiRegistrationMethodBase<VDimension>::PrintSelf(std::ostream & os, Indent indent) const
{
  Superclass::PrintSelf(os, indent);

  os << indent << "InitialTransformKind: " << m_InitialTransformKind << std::endl;
  os << indent << "Seed: " << m_Seed << std::endl;
  os << indent << "Device: " << m_Device << std::endl;
  os << indent << "Generator: " << (m_Generator ? "set" : "none") << std::endl;
  os << indent << "GeneratorState: " << m_GeneratorState.get() << std::endl;
}
} // namespace itk

#endif
