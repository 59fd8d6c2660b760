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
#ifndef itkNePhiRegistrationMethodBase_h
#define itkNePhiRegistrationMethodBase_h

#include <functional>
#include <memory>
#include <string>

#include "itkDataObjectDecorator.h"
#include "itkNePhiTransform.h"
#include "itkProcessObject.h"

namespace itk
{
/** \class NePhiRegistrationMethodBase
 * \brief The part of NePhiRegistrationMethod that does not depend on the pixel types.
 *
 * The optimization itself is given as a function, the generator, because it needs torch. GenerateData() calls it on the
 * thread that called Update(). The generator reads the inputs, calls InvokeEvent() and UpdateProgress(), stops when
 * GetAbortGenerateData() asks for it, and ends with SetTransforms(). What it throws passes through Update().
 *
 * \ingroup NePhi
 */
template <unsigned int VDimension>
class ITK_TEMPLATE_EXPORT NePhiRegistrationMethodBase : public ProcessObject
{
public:
  ITK_DISALLOW_COPY_AND_MOVE(NePhiRegistrationMethodBase);

  using Self = NePhiRegistrationMethodBase;
  using Superclass = ProcessObject;
  using Pointer = SmartPointer<Self>;
  using ConstPointer = SmartPointer<const Self>;

  itkOverrideGetNameOfClassMacro(NePhiRegistrationMethodBase);

  static constexpr unsigned int ImageDimension = VDimension;

  using TransformType = Transform<double, VDimension, VDimension>;
  using DecoratedTransformType = DataObjectDecorator<TransformType>;
  using GeneratorType = std::function<void(Self *)>;

  using Superclass::MakeOutput;

  /** Where the images are to be compared: images of any scalar type, non-zero inside, or spatial objects. */
  /** @ITKStartGrouping */
  itkSetInputMacro(FixedMask, DataObject);
  itkGetInputMacro(FixedMask, DataObject);
  itkSetInputMacro(MovingMask, DataObject);
  itkGetInputMacro(MovingMask, DataObject);
  /** @ITKEndGrouping */

  /** Further images of a subject, numbered from 0, each on the grid of the fixed or of the moving image: \a name is
   * FixedChannel or MovingChannel. A null pointer takes one away. */
  /** @ITKStartGrouping */
  void
  SetChannel(const std::string & name, unsigned int number, const DataObject * channel);
  const DataObject *
  GetChannel(const std::string & name, unsigned int number) const;
  /** @ITKEndGrouping */

  /** The transform from fixed to moving space to start from; none is computed where it is set. */
  /** @ITKStartGrouping */
  void
  SetInitialTransformInput(const DecoratedTransformType * transform);
  const DecoratedTransformType *
  GetInitialTransformInput() const;
  void
  SetInitialTransform(const TransformType * transform);
  const TransformType *
  GetInitialTransform() const;
  /** @ITKEndGrouping */

  /** The kind of initial transform that is computed where none is set: affine, similarity, rigid, translation,
   * moments, geometry or identity. */
  /** @ITKStartGrouping */
  itkSetStringMacro(InitialTransformKind);
  itkGetStringMacro(InitialTransformKind);
  /** @ITKEndGrouping */

  /** The seed of all random numbers. */
  /** @ITKStartGrouping */
  itkSetMacro(Seed, SizeValueType);
  itkGetConstMacro(Seed, SizeValueType);
  /** @ITKEndGrouping */

  /** Where to compute: cpu, cuda, or what else torch calls a device. */
  /** @ITKStartGrouping */
  itkSetStringMacro(Device);
  itkGetStringMacro(Device);
  /** @ITKEndGrouping */

  /** The transform from fixed to moving space, which resamples the moving image. Before the first update and after an
   * error it is an identity that is not marked as linear, so that filters ask for all of the moving image. */
  /** @ITKStartGrouping */
  DecoratedTransformType *
  GetOutput();
  const TransformType *
  GetTransform();
  /** @ITKEndGrouping */

  /** The approximate inverse: the transform from moving to fixed space. */
  /** @ITKStartGrouping */
  DecoratedTransformType *
  GetInverseTransformOutput();
  const TransformType *
  GetInverseTransform();
  /** @ITKEndGrouping */

  /** The function that computes the transforms, and what it keeps between updates. */
  /** @ITKStartGrouping */
  void
  SetGenerator(GeneratorType generator, std::shared_ptr<void> state);
  void *
  GetGeneratorState() const;
  /** @ITKEndGrouping */

  /** Called by the generator with what it found. */
  void
  SetTransforms(const TransformType * fixedToMoving, const TransformType * movingToFixed);

  DataObjectPointer
  MakeOutput(DataObjectPointerArraySizeType index) override;

protected:
  NePhiRegistrationMethodBase();
  ~NePhiRegistrationMethodBase() override = default;

  void
  GenerateData() override;

  void
  PrintSelf(std::ostream & os, Indent indent) const override;

private:
  std::string           m_InitialTransformKind{ "affine" };
  SizeValueType         m_Seed{ 0 };
  std::string           m_Device{ "cpu" };
  GeneratorType         m_Generator;
  std::shared_ptr<void> m_GeneratorState;
};
} // namespace itk

#ifndef ITK_MANUAL_INSTANTIATION
#  include "itkNePhiRegistrationMethodBase.hxx"
#endif

#endif
