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
#ifndef itkNePhiFieldEvaluator_h
#define itkNePhiFieldEvaluator_h

#include "itkMacro.h"
#include "itkNePhiFieldLayout.h"

#include <array>
#include <cstddef>
#include <memory>
#include <string>

namespace itk
{
/** \class NePhiFieldEvaluator
 * \brief Maps points with a neural deformation field, as NePhiTransform does, in compiled code.
 *
 * The instruction set is chosen at run time. All methods are thread-safe. The same point always gets the same bits,
 * alone or among others. Instances exist for two and three dimensions.
 *
 * \ingroup NePhi
 */
template <unsigned int VDimension>
class ITK_TEMPLATE_EXPORT NePhiFieldEvaluator
{
public:
  ITK_DISALLOW_COPY_AND_MOVE(NePhiFieldEvaluator);

  using LayoutType = NePhiFieldLayout<VDimension>;
  using DomainType = NePhiFieldDomain<VDimension>;
  using PointType = std::array<double, VDimension>;
  using Pointer = std::unique_ptr<const NePhiFieldEvaluator>;

  /** Everything that defines a field, as NePhiTransform stores it; nothing is copied. */
  template <typename TParametersValueType>
  struct FieldType
  {
    const LayoutType &           Layout;
    const DomainType &           Domain;
    const double *               FixedParameters;
    const TParametersValueType * Parameters;
  };

  /** An evaluator of a field, which it copies, in float or double.
   *
   * \a backend and \a device are those of NePhiTransform::SetBackend(). Throws where torch is not there, or not that
   * device. */
  template <typename TParametersValueType>
  static Pointer
  Create(const FieldType<TParametersValueType> & field,
         const std::string &                     backend = "cpu",
         const std::string &                     device = "cpu");

  /** Writes the derivatives of the transformed point, mm, with respect to all parameters, row-major. */
  template <typename TParametersValueType>
  static void
  ComputeJacobianWithRespectToParameters(const FieldType<TParametersValueType> & field,
                                         const PointType &                       point,
                                         TParametersValueType *                  jacobian);

  virtual ~NePhiFieldEvaluator() = default;

  /** Maps one point. In double precision, points that follow each other on a lattice are predicted and mapped together.
   */
  virtual PointType
  TransformPoint(const PointType & point) const = 0;

  /** Maps points that lie one after the other in memory, on the calling thread. */
  virtual void
  TransformPoints(std::size_t count, const double * points, double * mapped) const = 0;

  /** Writes the row-major Jacobian matrices at points, on the calling thread. */
  virtual void
  ComputeJacobiansWithRespectToPosition(std::size_t count, const double * points, double * jacobians) const = 0;

  /** How many points one call of TransformPoints() had best map. */
  virtual std::size_t
  GetPreferredBatchSize() const = 0;

  /** Whether TransformPoints() is on threads of its own already. */
  virtual bool
  HasOwnThreads() const = 0;

protected:
  NePhiFieldEvaluator() = default;
};
} // namespace itk

#endif
