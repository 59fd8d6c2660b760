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
#ifndef itkNePhiRegistrationMethod_h
#define itkNePhiRegistrationMethod_h

#include "itkNePhiRegistrationMethodBase.h"

namespace itk
{
/** \class NePhiRegistrationMethod
 * \brief Registers two images by neural deformation fields, as a filter.
 *
 * The output is a decorated itk::Transform from points of the fixed image to points of the moving image, which is what
 * resampling the moving image needs. A second output is its approximate inverse. Masks and an initial transform are
 * further inputs; all of them may come from filters.
 *
 * Every step invokes one IterationEvent; the first of each resolution level is the derived
 * MultiResolutionIterationEvent. AbortGenerateDataOn() ends the optimization after the current step and invokes an
 * AbortEvent; the outputs are then what was reached.
 *
 * \test test/registration/test_itk_filter.py
 * \ingroup NePhi
 */
template <typename TFixedImage, typename TMovingImage>
class ITK_TEMPLATE_EXPORT NePhiRegistrationMethod : public NePhiRegistrationMethodBase<TFixedImage::ImageDimension>
{
public:
  ITK_DISALLOW_COPY_AND_MOVE(NePhiRegistrationMethod);

  using Self = NePhiRegistrationMethod;
  using Superclass = NePhiRegistrationMethodBase<TFixedImage::ImageDimension>;
  using Pointer = SmartPointer<Self>;
  using ConstPointer = SmartPointer<const Self>;

  itkNewMacro(Self);
  itkOverrideGetNameOfClassMacro(NePhiRegistrationMethod);

  using FixedImageType = TFixedImage;
  using MovingImageType = TMovingImage;

  static_assert(TFixedImage::ImageDimension == TMovingImage::ImageDimension,
                "Expected fixed and moving images of the same dimension");

  /** The image whose points are mapped. */
  /** @ITKStartGrouping */
  itkSetInputMacro(FixedImage, FixedImageType);
  itkGetInputMacro(FixedImage, FixedImageType);
  /** @ITKEndGrouping */

  /** The image that the mapped points lie in. */
  /** @ITKStartGrouping */
  itkSetInputMacro(MovingImage, MovingImageType);
  itkGetInputMacro(MovingImage, MovingImageType);
  /** @ITKEndGrouping */

protected:
  NePhiRegistrationMethod() = default;
  ~NePhiRegistrationMethod() override = default;
};
} // namespace itk

#endif
