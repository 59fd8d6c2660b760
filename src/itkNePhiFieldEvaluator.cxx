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
#include "itkNePhiFieldEvaluator.h"

#include "itkNePhiField.h"
#include "itkNePhiFieldGradient.h"
#include "itkNePhiLookAhead.h"
#include "itkNePhiTorchField.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace itk
{
namespace
{
/** Between points and the coords of a domain. */
template <unsigned int VDimension>
class CoordinateSystem
{
public:
  using DomainType = NePhiFieldDomain<VDimension>;
  using VectorType = typename DomainType::VectorType;
  using MatrixType = typename DomainType::MatrixType;

  explicit CoordinateSystem(const DomainType & domain)
    : m_Domain(domain)
  {}

  VectorType
  CoordsFromPoint(const VectorType & point) const
  {
    // Adding and subtracting this number rounds to a multiple of 2^-36, which is far below a nanometer. Points that
    // differ by floating-point rounding thereby get the same coords, as NePhiLookAhead needs.
    constexpr double round = 98304.0;
    VectorType       coords{};
    for (unsigned int j = 0; j < VDimension; ++j)
    {
      for (unsigned int i = 0; i < VDimension; ++i)
      {
        coords[j] += m_Domain.Direction[i][j] * (point[i] - m_Domain.Center[i]);
      }
      coords[j] = (coords[j] / m_Domain.Scale + round) - round;
    }
    return coords;
  }

  /** Adds a displacement in coords to a point. */
  VectorType
  Displace(const VectorType & point, const VectorType & displacement) const
  {
    VectorType mapped = point;
    for (unsigned int i = 0; i < VDimension; ++i)
    {
      for (unsigned int j = 0; j < VDimension; ++j)
      {
        mapped[i] += m_Domain.Scale * m_Domain.Direction[i][j] * displacement[j];
      }
    }
    return mapped;
  }

  /** Component i of the displacement of a point, differentiated with respect to that in coords. */
  VectorType
  GetDisplacementDerivative(unsigned int i) const
  {
    VectorType derivative;
    for (unsigned int j = 0; j < VDimension; ++j)
    {
      derivative[j] = m_Domain.Scale * m_Domain.Direction[i][j];
    }
    return derivative;
  }

  /** Writes the row-major Jacobian matrix at a point, made from that of the displacement in coords. */
  void
  JacobianFromCoords(const MatrixType & derivatives, double * jacobian) const
  {
    for (unsigned int i = 0; i < VDimension; ++i)
    {
      for (unsigned int j = 0; j < VDimension; ++j)
      {
        double sum = (i == j) ? 1.0 : 0.0;
        for (unsigned int k = 0; k < VDimension; ++k)
        {
          for (unsigned int l = 0; l < VDimension; ++l)
          {
            sum += m_Domain.Direction[i][k] * derivatives[k][l] * m_Domain.Direction[j][l];
          }
        }
        jacobian[i * VDimension + j] = sum;
      }
    }
  }

private:
  DomainType m_Domain;
};

/** The class that evaluates a field's network, made of a field as the transform stores it. */
template <typename TNetwork, unsigned int VDimension, typename TField, typename... TArguments>
TNetwork
MakeNetwork(const TField & field, const TArguments &... arguments)
{
  const auto & layout = field.Layout;
  return TNetwork(arguments...,
                  layout,
                  field.Domain.Extent,
                  field.FixedParameters + NePhiFieldLayout<VDimension>::FrequenciesBegin,
                  field.Parameters,
                  field.Parameters + layout.GetGlobalCodeBegin(),
                  field.Parameters + layout.GetLocalCodeBegin());
}

template <unsigned int VDimension>
class Evaluator : public NePhiFieldEvaluator<VDimension>
{
public:
  using Superclass = NePhiFieldEvaluator<VDimension>;
  using typename Superclass::PointType;

  template <typename TField>
  Evaluator(const TField & field, bool looksAhead, const std::string & backend, const std::string & device)
    : m_CoordinateSystem(field.Domain)
    , m_Field(MakeNetwork<FieldType, VDimension>(field))
    , m_LooksAhead(looksAhead)
  {
    m_Field.SetSplines(field.Layout, field.Parameters + field.Layout.GetSplinesBegin());
    if (backend == "torch")
    {
      m_TorchField = std::make_unique<TorchFieldType>(MakeNetwork<TorchFieldType, VDimension>(field, device));
    }
  }

  PointType
  TransformPoint(const PointType & point) const override
  {
    const auto evaluate = [this](std::size_t count, const double * coords, double * displacements) {
      this->Evaluate(count, coords, displacements);
    };
    PointType displacement;
    if (m_LooksAhead)
    {
      displacement = NePhiLookAhead<VDimension>::GetThreadLocal(m_Number).Find(
        point,
        m_TorchField ? m_TorchField->GetPointsTogether() : FieldType::GetPointsTogether(),
        [this](const PointType & predicted) { return m_CoordinateSystem.CoordsFromPoint(predicted); },
        evaluate);
    }
    else
    {
      evaluate(1, m_CoordinateSystem.CoordsFromPoint(point).data(), displacement.data());
    }
    return m_CoordinateSystem.Displace(point, displacement);
  }

  void
  TransformPoints(std::size_t count, const double * points, double * mapped) const override
  {
    std::vector<PointType> input(count);
    std::vector<PointType> coords(count);
    std::vector<PointType> displacements(count);
    for (std::size_t n = 0; n < count; ++n)
    {
      std::copy_n(points + n * VDimension, VDimension, input[n].data());
      coords[n] = m_CoordinateSystem.CoordsFromPoint(input[n]);
    }
    this->Evaluate(count, coords.front().data(), displacements.front().data());
    for (std::size_t n = 0; n < count; ++n)
    {
      const PointType result = m_CoordinateSystem.Displace(input[n], displacements[n]);
      std::copy_n(result.data(), VDimension, mapped + n * VDimension);
    }
  }

  void
  ComputeJacobiansWithRespectToPosition(std::size_t count, const double * points, double * jacobians) const override
  {
    std::vector<PointType>                                   coords(count);
    std::vector<PointType>                                   displacements(count);
    std::vector<typename Superclass::DomainType::MatrixType> derivatives(count);
    for (std::size_t n = 0; n < count; ++n)
    {
      PointType point;
      std::copy_n(points + n * VDimension, VDimension, point.data());
      coords[n] = m_CoordinateSystem.CoordsFromPoint(point);
    }
    m_Field.EvaluateWithJacobian(
      count, coords.front().data(), displacements.front().data(), derivatives.front().front().data());
    for (std::size_t n = 0; n < count; ++n)
    {
      m_CoordinateSystem.JacobianFromCoords(derivatives[n], jacobians + n * VDimension * VDimension);
    }
  }

  std::size_t
  GetPreferredBatchSize() const override
  {
    constexpr std::size_t compiled = 192;
    return m_TorchField ? m_TorchField->GetPointsTogether() : compiled;
  }

  bool
  HasOwnThreads() const override
  {
    return m_TorchField != nullptr;
  }

private:
  using FieldType = NePhiField<float, VDimension>;
  using TorchFieldType = NePhiTorchField<VDimension>;

  void
  Evaluate(std::size_t count, const double * coords, double * displacements) const
  {
    if (m_TorchField)
    {
      m_TorchField->Evaluate(count, coords, displacements);
      m_Field.AddSplines(count, coords, displacements);
    }
    else
    {
      m_Field.Evaluate(count, coords, displacements);
    }
  }

  static std::uint64_t
  GetNextNumber()
  {
    static std::atomic<std::uint64_t> lastNumber{ 0 };
    return ++lastNumber;
  }

  CoordinateSystem<VDimension>    m_CoordinateSystem;
  FieldType                       m_Field;
  std::unique_ptr<TorchFieldType> m_TorchField{};
  bool                            m_LooksAhead;

  /** Distinguishes this field from all others, those of the past included. */
  std::uint64_t m_Number{ GetNextNumber() };
};
} // namespace


template <unsigned int VDimension>
template <typename TParametersValueType>
auto
NePhiFieldEvaluator<VDimension>::Create(const FieldType<TParametersValueType> & field,
                                        const std::string &                     backend,
                                        const std::string &                     device) -> Pointer
{
  // Points in single precision do not follow each other with a constant step.
  constexpr bool looksAhead = std::is_same_v<TParametersValueType, double>;
  return std::make_unique<const Evaluator<VDimension>>(field, looksAhead, backend, device);
}


template <unsigned int VDimension>
template <typename TParametersValueType>
void
NePhiFieldEvaluator<VDimension>::ComputeJacobianWithRespectToParameters(const FieldType<TParametersValueType> & field,
                                                                        const PointType &                       point,
                                                                        TParametersValueType * jacobian)
{
  const CoordinateSystem<VDimension> coordinateSystem(field.Domain);
  const LayoutType &                 layout = field.Layout;
  auto gradient = MakeNetwork<NePhiFieldGradient<TParametersValueType, VDimension>, VDimension>(field);
  gradient.Forward(coordinateSystem.CoordsFromPoint(point));
  std::fill_n(jacobian, VDimension * layout.GetNumberOfParameters(), TParametersValueType{});
  for (unsigned int i = 0; i < VDimension; ++i)
  {
    gradient.AddDerivatives(coordinateSystem.GetDisplacementDerivative(i),
                            jacobian,
                            jacobian + layout.GetGlobalCodeBegin(),
                            jacobian + layout.GetLocalCodeBegin(),
                            jacobian + layout.GetSplinesBegin());
    jacobian += layout.GetNumberOfParameters();
  }
}


#define ITK_NEPHI_INSTANTIATE(TParametersValueType, VDimension)                                                        \
  template auto NePhiFieldEvaluator<VDimension>::Create(                                                               \
    const FieldType<TParametersValueType> &, const std::string &, const std::string &) -> Pointer;                     \
  template void NePhiFieldEvaluator<VDimension>::ComputeJacobianWithRespectToParameters(                               \
    const FieldType<TParametersValueType> &, const PointType &, TParametersValueType *)

template class NePhiFieldEvaluator<2>;
template class NePhiFieldEvaluator<3>;
ITK_NEPHI_INSTANTIATE(double, 2);
ITK_NEPHI_INSTANTIATE(double, 3);
ITK_NEPHI_INSTANTIATE(float, 2);
ITK_NEPHI_INSTANTIATE(float, 3);
} // namespace itk
