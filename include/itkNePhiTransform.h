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
#ifndef itkNePhiTransform_h
#define itkNePhiTransform_h

#include "itkFixedArray.h"
#include "itkMatrix.h"
#include "itkNePhiFieldEvaluator.h"
#include "itkNePhiFieldLayout.h"
#include "itkPoint.h"
#include "itkSize.h"
#include "itkTransform.h"
#include "itkVector.h"

#include <string>
#include <vector>

namespace itk
{
/** \class NePhiTransform
 * \brief Maps physical points of the fixed image to the moving image with a neural deformation field.
 *
 * \f[ T(p) = p + s R u(x), \qquad x = \mathrm{clamp}(R^T (p - c) / s, -b, b) \f]
 *
 * where \f$ c \f$, \f$ R \f$ and \f$ h \f$ are the center, the direction and the half extents (first to last voxel
 * center, mm) of the image domain, \f$ s = \max_i h_i \f$, \f$ b = h / s \f$, and \f$ u \f$ is a neural field. So
 * coords are isotropic, and outside the domain the displacement is that of the nearest boundary point. With the
 * frequencies
 * \f$ B \f$, and the latent codes \f$ z_g \f$ and \f$ z_l \f$:
 *
 * \f[ e = [\sin 2 \pi x B, \cos 2 \pi x B], \qquad s = [z_g, z_l(x), e] \f]
 * \f[ m_0 = \sin 30 (A_0 s + a_0), \qquad m_k = \sin 30 (A_k m_{k-1} + a_k) + m_0 \f]
 * \f[ h_0 = \sin (W_0 e + b_0), \qquad h_k = m_k \sin 30 (W_k h_{k-1} + b_k) \f]
 * \f[ u = W h_L + b + \sum_n S_n(x) \f]
 *
 * \f$ z_l(x) \f$ is interpolated multilinearly on a grid whose corners are the corners of the box; \f$ S_n \f$ are
 * uniform cubic B-splines of displacements over the box.
 *
 * The transform holds two fields on one domain: its own and that of its inverse. GetInverse() exchanges them. The
 * inverse is approximate: as good as the training made it.
 *
 * Fixed parameters: file format version, width, depth, frequencies, global code size, local code channels, local code
 * grid (D); size, spacing, origin (D each) and direction (D x D, row-major) of the domain; frequency matrices (D x
 * frequencies, row-major) of the field and of the inverse field; cells of each spline (D). They size the parameters;
 * where they change the sizes, all parameters become zero, which is the identity. The version is 1 without splines,
 * which older readers know, and 2 with them.
 *
 * Parameters: weights of the field, weights of the inverse field, both in the order of NePhiFieldLayout; global code;
 * local code; coefficients of the field's splines; those of the inverse field's.
 *
 * Whatever TParametersValueType is, the layers of the field are evaluated in single precision, which costs about 1e-7
 * of the domain's extent, and the rest in double precision. The same point always gets the same bits.
 *
 * TransformPoint() and ComputeJacobianWithRespectToPosition() are thread-safe; SetParameters() and SetFixedParameters()
 * are not. Those check what they are given, and change nothing when they throw.
 *
 * \test test/test_itk_transform.py
 * \ingroup NePhi
 */
template <typename TParametersValueType, unsigned int VDimension>
class ITK_TEMPLATE_EXPORT NePhiTransform : public Transform<TParametersValueType, VDimension, VDimension>
{
public:
  ITK_DISALLOW_COPY_AND_MOVE(NePhiTransform);

  using Self = NePhiTransform;
  using Superclass = Transform<TParametersValueType, VDimension, VDimension>;
  using Pointer = SmartPointer<Self>;
  using ConstPointer = SmartPointer<const Self>;

  itkNewMacro(Self);
  itkOverrideGetNameOfClassMacro(NePhiTransform);

  /** The newest version; a transform without splines is of version 1. */
  static constexpr unsigned int FileFormatVersion = 2;

  using typename Superclass::DerivativeType;
  using typename Superclass::FixedParametersType;
  using typename Superclass::FixedParametersValueType;
  using typename Superclass::InputPointType;
  using typename Superclass::InverseTransformBasePointer;
  using typename Superclass::JacobianPositionType;
  using typename Superclass::JacobianType;
  using typename Superclass::OutputPointType;
  using typename Superclass::ParametersType;
  using typename Superclass::ParametersValueType;

  OutputPointType
  TransformPoint(const InputPointType & point) const override;

  using Superclass::ComputeJacobianWithRespectToPosition;
  void
  ComputeJacobianWithRespectToPosition(const InputPointType & point, JacobianPositionType & jacobian) const override;

  /** The derivatives of the transformed point, mm, by all parameters; those with respect to the inverse field's weights
   * are zero. */
  void
  ComputeJacobianWithRespectToParameters(const InputPointType & point, JacobianType & jacobian) const override;

  /** Transform count points, one after the other in memory, on all of ITK's threads. */
  void
  TransformPoints(const double * points, double * mapped, SizeValueType count) const;

  /** Compute the row-major Jacobian matrices at count points on all of ITK's threads. */
  void
  ComputeJacobiansWithRespectToPosition(const double * points, double * jacobians, SizeValueType count) const;

  void
  SetParameters(const ParametersType & parameters) override;

  void
  SetFixedParameters(const FixedParametersType & fixedParameters) override;

  /** As the superclass, but change nothing when they throw. */
  /** @ITKStartGrouping */
  void
  CopyInParameters(const ParametersValueType * begin, const ParametersValueType * end) override;
  void
  CopyInFixedParameters(const FixedParametersValueType * begin, const FixedParametersValueType * end) override;
  void
  UpdateTransformParameters(const DerivativeType & update, ParametersValueType factor = 1.0) override;
  /** @ITKEndGrouping */

  /** Make the given transform the approximate inverse: the same with the roles of the two fields exchanged. */
  bool
  GetInverse(Self * inverse) const;

  InverseTransformBasePointer
  GetInverseTransform() const override;

  /** Choose what evaluates points: "cpu", the compiled kernels, which is the default; or "torch", on the device "cpu",
   * "cuda" or "cuda:N". torch must have been imported into the process. Derivatives are evaluated by the compiled
   * kernels in any case. The backend is not part of the parameters: a clone, a copy and a transform that was read have
   * the default one, an inverse has this one. */
  void
  SetBackend(const std::string & backend, const std::string & device = "cpu");
  const std::string &
  GetBackend() const
  {
    return m_Backend;
  }
  const std::string &
  GetDevice() const
  {
    return m_Device;
  }

  /** The sizes of the field. */
  /** @ITKStartGrouping */
  using LocalCodeGridType = FixedArray<SizeValueType, VDimension>;
  using SplineCellsType = std::vector<LocalCodeGridType>;
  SizeValueType
  GetWidth() const
  {
    return m_Layout.Width;
  }
  SizeValueType
  GetDepth() const
  {
    return m_Layout.Depth;
  }
  SizeValueType
  GetFrequencies() const
  {
    return m_Layout.Frequencies;
  }
  SizeValueType
  GetGlobalCodeSize() const
  {
    return m_Layout.GlobalCodeSize;
  }
  SizeValueType
  GetLocalCodeChannels() const
  {
    return m_Layout.LocalCodeChannels;
  }
  LocalCodeGridType
  GetLocalCodeGrid() const;
  SplineCellsType
  GetSplineCells() const;
  /** @ITKEndGrouping */

  /** The version of the file format that this transform is written in. */
  unsigned int
  GetFileFormatVersion() const;

  /** The image domain. */
  /** @ITKStartGrouping */
  using SizeType = Size<VDimension>;
  using SpacingType = Vector<double, VDimension>;
  using OriginType = Point<double, VDimension>;
  using DirectionType = Matrix<double, VDimension, VDimension>;
  SizeType
  GetSize() const;
  SpacingType
  GetSpacing() const;
  OriginType
  GetOrigin() const;
  DirectionType
  GetDirection() const;
  /** @ITKEndGrouping */

  /** Take all parameters away, so that every use is refused until new ones are set. Readers begin so: a file that lacks
   * the parameters does not read as the identity. */
  void
  Clear();

  /** Throws after Clear(). */
  void
  VerifyParameters() const;

protected:
  NePhiTransform();
  ~NePhiTransform() override = default;

  void
  PrintSelf(std::ostream & os, Indent indent) const override;

private:
  using EvaluatorType = NePhiFieldEvaluator<VDimension>;
  using EvaluatedPointType = typename EvaluatorType::PointType;
  using LayoutType = NePhiFieldLayout<VDimension>;
  using DomainType = NePhiFieldDomain<VDimension>;

  /** Throws unless the fixed parameters describe a transform. */
  /** @ITKStartGrouping */
  LayoutType
  ParseLayout(const FixedParametersType & fixedParameters) const;
  DomainType
  ParseDomain(const FixedParametersType & fixedParameters) const;
  /** @ITKEndGrouping */

  /** Throws unless a fixed parameter is a whole number from least to largest. */
  SizeValueType
  ParseCount(const FixedParametersType & fixedParameters,
             SizeValueType               number,
             const char *                name,
             double                      least,
             double                      largest) const;

  /** Throws unless a fixed parameter is finite. */
  double
  ParseNumber(const FixedParametersType & fixedParameters, SizeValueType number, const char * name) const;

  /** Takes over what was found to fit together. Changes nothing when it throws. */
  void
  SetState(const LayoutType &          layout,
           const DomainType &          domain,
           const FixedParametersType & fixedParameters,
           const ParametersType &      parameters);

  LayoutType m_Layout{};
  DomainType m_Domain{};

  std::string m_Backend{ "cpu" };
  std::string m_Device{ "cpu" };

  /** Null after Clear(). */
  typename EvaluatorType::Pointer m_Evaluator{};
};
} // namespace itk

#ifndef ITK_MANUAL_INSTANTIATION
#  include "itkNePhiTransform.hxx"
#endif

#endif
