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
#ifndef itkNePhiTransform_hxx
#define itkNePhiTransform_hxx

#include "itkMath.h"
#include "itkMultiThreaderBase.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace itk
{
template <typename TParametersValueType, unsigned int VDimension>
NePhiTransform<TParametersValueType, VDimension>::NePhiTransform()
{
  // The identity: one hidden feature, all weights zero, on a domain of two voxels an axis.
  FixedParametersType fixedParameters(LayoutType{}.GetSplineCellsBegin());
  fixedParameters.Fill(0.0);
  fixedParameters[0] = 1.0;
  fixedParameters[LayoutType::FieldBegin] = 1.0;
  fixedParameters[LayoutType::FieldBegin + 2] = 1.0;
  fixedParameters[LayoutType::FieldBegin + 4] = 1.0;
  for (unsigned int d = 0; d < VDimension; ++d)
  {
    fixedParameters[LayoutType::LocalCodeGridBegin + d] = 2.0;
    fixedParameters[LayoutType::SizeBegin + d] = 2.0;
    fixedParameters[LayoutType::SpacingBegin + d] = 1.0;
    fixedParameters[LayoutType::DirectionBegin + d * (VDimension + 1)] = 1.0;
  }
  this->SetFixedParameters(fixedParameters);
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::TransformPoint(const InputPointType & point) const -> OutputPointType
{
  this->VerifyParameters();
  EvaluatedPointType input;
  std::copy_n(point.GetDataPointer(), VDimension, input.data());
  const EvaluatedPointType mapped = m_Evaluator->TransformPoint(input);
  OutputPointType          result;
  for (unsigned int d = 0; d < VDimension; ++d)
  {
    result[d] = static_cast<ParametersValueType>(mapped[d]);
  }
  return result;
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::ComputeJacobianWithRespectToPosition(
  const InputPointType & point,
  JacobianPositionType & jacobian) const
{
  this->VerifyParameters();
  double input[VDimension]{};
  double entries[VDimension * VDimension];
  std::copy_n(point.GetDataPointer(), VDimension, input);
  m_Evaluator->ComputeJacobiansWithRespectToPosition(1, input, entries);
  for (unsigned int i = 0; i < VDimension; ++i)
  {
    for (unsigned int j = 0; j < VDimension; ++j)
    {
      jacobian(i, j) = static_cast<ParametersValueType>(entries[i * VDimension + j]);
    }
  }
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::ComputeJacobianWithRespectToParameters(const InputPointType & point,
                                                                                         JacobianType & jacobian) const
{
  this->VerifyParameters();
  EvaluatedPointType input;
  std::copy_n(point.GetDataPointer(), VDimension, input.data());
  jacobian.SetSize(VDimension, this->GetNumberOfLocalParameters());
  EvaluatorType::template ComputeJacobianWithRespectToParameters<ParametersValueType>(
    { m_Layout, m_Domain, this->m_FixedParameters.data_block(), this->m_Parameters.data_block() },
    input,
    jacobian.data_block());
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::TransformPoints(const double * points,
                                                                  double *       mapped,
                                                                  SizeValueType  count) const
{
  this->VerifyParameters();
  const SizeValueType size = m_Evaluator->GetPreferredBatchSize();
  const SizeValueType batches = (count + size - 1) / size;
  const auto          map = [=](SizeValueType batch) {
    const SizeValueType begin = batch * size;
    m_Evaluator->TransformPoints(
      std::min(size, count - begin), points + begin * VDimension, mapped + begin * VDimension);
  };
  if (m_Evaluator->HasOwnThreads())
  {
    for (SizeValueType batch = 0; batch < batches; ++batch)
    {
      map(batch);
    }
    return;
  }
  MultiThreaderBase::New()->ParallelizeArray(0, batches, map, nullptr);
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::ComputeJacobiansWithRespectToPosition(const double * points,
                                                                                        double *       jacobians,
                                                                                        SizeValueType  count) const
{
  this->VerifyParameters();
  constexpr SizeValueType size = 192;
  MultiThreaderBase::New()->ParallelizeArray(
    0,
    (count + size - 1) / size,
    [=](SizeValueType batch) {
      const SizeValueType begin = batch * size;
      m_Evaluator->ComputeJacobiansWithRespectToPosition(
        std::min(size, count - begin), points + begin * VDimension, jacobians + begin * VDimension * VDimension);
    },
    nullptr);
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::SetParameters(const ParametersType & parameters)
{
  this->VerifyParameters();
  const SizeValueType expected = m_Layout.GetNumberOfParameters();
  if (parameters.Size() != expected)
  {
    itkExceptionMacro("Expected " << expected << " parameters for the sizes in the fixed parameters, got "
                                  << parameters.Size());
  }
  // Larger ones would overflow in single precision.
  constexpr ParametersValueType largest = 1e30F;
  for (SizeValueType n = 0; n < expected; ++n)
  {
    if (!(std::abs(parameters[n]) <= largest))
    {
      itkExceptionMacro("Expected finite parameters of at most " << largest << ", got " << parameters[n]
                                                                 << " as number " << n);
    }
  }
  this->SetState(m_Layout, m_Domain, this->m_FixedParameters, parameters);
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::CopyInParameters(const ParametersValueType * begin,
                                                                   const ParametersValueType * end)
{
  ParametersType parameters(static_cast<SizeValueType>(end - begin));
  std::copy(begin, end, parameters.begin());
  this->SetParameters(parameters);
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::CopyInFixedParameters(const FixedParametersValueType * begin,
                                                                        const FixedParametersValueType * end)
{
  FixedParametersType fixedParameters(static_cast<SizeValueType>(end - begin));
  std::copy(begin, end, fixedParameters.begin());
  this->SetFixedParameters(fixedParameters);
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::UpdateTransformParameters(const DerivativeType & update,
                                                                            ParametersValueType    factor)
{
  if (update.Size() != this->m_Parameters.Size())
  {
    itkExceptionMacro("Expected an update of " << this->m_Parameters.Size() << " parameters, got " << update.Size());
  }
  ParametersType parameters = this->m_Parameters;
  for (SizeValueType n = 0; n < update.Size(); ++n)
  {
    parameters[n] += factor * update[n];
  }
  this->SetParameters(parameters);
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::SetFixedParameters(const FixedParametersType & fixedParameters)
{
  const LayoutType    layout = this->ParseLayout(fixedParameters);
  const DomainType    domain = this->ParseDomain(fixedParameters);
  const SizeValueType count = layout.GetNumberOfParameters();
  if (layout == m_Layout && this->m_Parameters.Size() == count)
  {
    this->SetState(layout, domain, fixedParameters, this->m_Parameters);
    return;
  }
  ParametersType parameters(count);
  parameters.Fill(ParametersValueType{});
  this->SetState(layout, domain, fixedParameters, parameters);
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::SetState(const LayoutType &          layout,
                                                           const DomainType &          domain,
                                                           const FixedParametersType & fixedParameters,
                                                           const ParametersType &      parameters)
{
  auto evaluator = EvaluatorType::template Create<ParametersValueType>(
    { layout, domain, fixedParameters.data_block(), parameters.data_block() }, m_Backend, m_Device);
  LayoutType newLayout = layout;
  DomainType newDomain = domain;
  // New vectors that are exchanged, because an assignment leaves a broken vector behind when memory runs out.
  FixedParametersType newFixedParameters = fixedParameters;
  ParametersType      newParameters = parameters;
  std::swap(m_Layout, newLayout);
  std::swap(m_Domain, newDomain);
  this->m_FixedParameters.swap(newFixedParameters);
  this->m_Parameters.swap(newParameters);
  m_Evaluator = std::move(evaluator);
  this->Modified();
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::SetBackend(const std::string & backend, const std::string & device)
{
  if (backend != "cpu" && backend != "torch")
  {
    itkExceptionMacro("Expected the backend cpu or torch, got " << backend);
  }
  if (backend == "cpu" && device != "cpu")
  {
    itkExceptionMacro("Expected the device cpu for the backend cpu, got " << device);
  }
  this->VerifyParameters();
  m_Evaluator = EvaluatorType::template Create<ParametersValueType>(
    { m_Layout, m_Domain, this->m_FixedParameters.data_block(), this->m_Parameters.data_block() }, backend, device);
  m_Backend = backend;
  m_Device = device;
  this->Modified();
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::Clear()
{
  this->m_FixedParameters.SetSize(0);
  this->m_Parameters.SetSize(0);
  m_Evaluator.reset();
  this->Modified();
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::VerifyParameters() const
{
  if (m_Evaluator == nullptr)
  {
    itkExceptionMacro("Expected fixed parameters and parameters, got none: the file of this transform is damaged");
  }
}


template <typename TParametersValueType, unsigned int VDimension>
bool
NePhiTransform<TParametersValueType, VDimension>::GetInverse(Self * inverse) const
{
  if (inverse == nullptr)
  {
    return false;
  }
  this->VerifyParameters();
  FixedParametersType fixedParameters = this->m_FixedParameters;
  ParametersType      parameters = this->m_Parameters;
  const auto exchange = [](auto * begin, SizeValueType size) { std::swap_ranges(begin, begin + size, begin + size); };
  exchange(fixedParameters.data_block() + LayoutType::FrequenciesBegin, VDimension * m_Layout.Frequencies);
  exchange(parameters.data_block(), m_Layout.GetNumberOfWeights());
  exchange(parameters.data_block() + m_Layout.GetSplinesBegin(), m_Layout.GetSplinesSize());

  inverse->SetFixedParameters(fixedParameters);
  inverse->SetParameters(parameters);
  inverse->SetBackend(m_Backend, m_Device);
  return true;
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::GetInverseTransform() const -> InverseTransformBasePointer
{
  return Superclass::InvertTransform(*this);
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::GetLocalCodeGrid() const -> LocalCodeGridType
{
  return LocalCodeGridType(m_Layout.LocalCodeGrid);
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::GetSplineCells() const -> SplineCellsType
{
  return SplineCellsType(m_Layout.SplineCells.begin(), m_Layout.SplineCells.end());
}


template <typename TParametersValueType, unsigned int VDimension>
unsigned int
NePhiTransform<TParametersValueType, VDimension>::GetFileFormatVersion() const
{
  return m_Layout.SplineCells.empty() ? 1 : FileFormatVersion;
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::GetSize() const -> SizeType
{
  SizeType size;
  std::copy_n(m_Domain.Size.begin(), VDimension, size.begin());
  return size;
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::GetSpacing() const -> SpacingType
{
  return SpacingType(m_Domain.Spacing.data());
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::GetOrigin() const -> OriginType
{
  return OriginType(m_Domain.Origin.data());
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::GetDirection() const -> DirectionType
{
  DirectionType direction;
  for (unsigned int i = 0; i < VDimension; ++i)
  {
    for (unsigned int j = 0; j < VDimension; ++j)
    {
      direction(i, j) = m_Domain.Direction[i][j];
    }
  }
  return direction;
}


template <typename TParametersValueType, unsigned int VDimension>
SizeValueType
NePhiTransform<TParametersValueType, VDimension>::ParseCount(const FixedParametersType & fixedParameters,
                                                             SizeValueType               number,
                                                             const char *                name,
                                                             double                      least,
                                                             double                      largest) const
{
  const double value = fixedParameters[number];
  if (!(value >= least && value <= largest && value == std::floor(value)))
  {
    itkExceptionMacro("Expected " << name << " (fixed parameter " << number << ") as a whole number from " << least
                                  << " to " << largest << ", got " << value);
  }
  return static_cast<SizeValueType>(value);
}


template <typename TParametersValueType, unsigned int VDimension>
double
NePhiTransform<TParametersValueType, VDimension>::ParseNumber(const FixedParametersType & fixedParameters,
                                                              SizeValueType               number,
                                                              const char *                name) const
{
  const double value = fixedParameters[number];
  if (!std::isfinite(value))
  {
    itkExceptionMacro("Expected " << name << " (fixed parameter " << number << ") as a finite number, got " << value);
  }
  return value;
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::ParseLayout(const FixedParametersType & fixedParameters) const
  -> LayoutType
{
  constexpr double    largestCount = 16777216.0; // 2^24
  const SizeValueType leastSize = LayoutType{}.GetSplineCellsBegin();
  const SizeValueType size = fixedParameters.Size();

  const double version = size > 0 ? fixedParameters[0] : 0.0;
  if (version > FileFormatVersion && version == std::floor(version) && std::isfinite(version))
  {
    itkExceptionMacro("Expected file format version "
                      << FileFormatVersion << " or an older one, got " << version
                      << ": the transform was written by a newer itk-nephi, update itk-nephi to read it");
  }
  if (version != 1.0 && version != FileFormatVersion)
  {
    itkExceptionMacro("Expected file format version 1 or " << FileFormatVersion << " as first fixed parameter, got "
                                                           << version << ": the transform is damaged");
  }
  if (size < leastSize)
  {
    itkExceptionMacro("Expected at least " << leastSize << " fixed parameters, got " << size);
  }

  SizeValueType next = LayoutType::FieldBegin;
  const auto    takeCount = [&](const char * name, double least) {
    return this->ParseCount(fixedParameters, next++, name, least, largestCount);
  };
  LayoutType layout;
  layout.Width = takeCount("the width", 1.0);
  layout.Depth = takeCount("the depth", 0.0);
  layout.Frequencies = takeCount("the number of frequencies", 1.0);
  layout.GlobalCodeSize = takeCount("the global code size", 0.0);
  layout.LocalCodeChannels = takeCount("the number of local code channels", 1.0);
  for (auto & gridSize : layout.LocalCodeGrid)
  {
    gridSize = takeCount("the local code grid size", 2.0);
  }

  // In floating point, because damaged sizes overflow integers. Kernels pad the width to a multiple of 16.
  const double width = 16.0 * std::ceil(static_cast<double>(layout.Width) / 16.0);
  const double embedding = 2.0 * static_cast<double>(layout.Frequencies);
  double       codeSize = static_cast<double>(layout.LocalCodeChannels);
  for (const auto gridSize : layout.LocalCodeGrid)
  {
    codeSize *= static_cast<double>(gridSize);
  }
  const double sources = static_cast<double>(layout.GlobalCodeSize + layout.LocalCodeChannels);
  double       count = 4.0 * static_cast<double>(layout.Depth) * width * (width + 1.0) +
                 2.0 * width * (2.0 * (embedding + 1.0) + sources) + 2.0 * VDimension * (width + 1.0) + codeSize;
  const auto verifyCount = [&] {
    if (count > largestCount)
    {
      itkExceptionMacro("Expected sizes that make at most " << largestCount << " parameters, got " << count);
    }
  };
  verifyCount();
  const SizeValueType splinesBegin = layout.GetSplineCellsBegin();
  const bool          hasSplines = version > 1.0;
  if (hasSplines ? size <= splinesBegin || (size - splinesBegin) % VDimension != 0 : size != splinesBegin)
  {
    itkExceptionMacro("Expected " << splinesBegin << " fixed parameters for " << layout.Frequencies << " frequencies"
                                  << (hasSplines ? ", and the cells of one or more splines" : "") << ", got " << size);
  }
  next = splinesBegin;
  while (next < size)
  {
    double coefficients = 2.0 * VDimension;
    auto & cells = layout.SplineCells.emplace_back();
    for (auto & cellCount : cells)
    {
      cellCount = takeCount("the number of cells of a spline", 1.0);
      coefficients *= static_cast<double>(cellCount + 3);
    }
    count += coefficients;
    verifyCount();
  }
  for (next = LayoutType::FrequenciesBegin; next < splinesBegin; ++next)
  {
    this->ParseNumber(fixedParameters, next, "the frequency");
  }
  return layout;
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::ParseDomain(const FixedParametersType & fixedParameters) const
  -> DomainType
{
  const auto takeNumber = [&](SizeValueType number, const char * name) {
    return this->ParseNumber(fixedParameters, number, name);
  };
  DomainType                      domain;
  typename DomainType::VectorType halfExtent;
  for (unsigned int d = 0; d < VDimension; ++d)
  {
    domain.Size[d] = this->ParseCount(fixedParameters, LayoutType::SizeBegin + d, "the image size", 2.0, 2147483647.0);
    halfExtent[d] = static_cast<double>(domain.Size[d] - 1) / 2.0;
  }
  for (unsigned int d = 0; d < VDimension; ++d)
  {
    const SizeValueType number = LayoutType::SpacingBegin + d;
    domain.Spacing[d] = takeNumber(number, "the spacing");
    halfExtent[d] *= domain.Spacing[d];
    if (!(domain.Spacing[d] > 0.0) || !std::isnormal(halfExtent[d]))
    {
      itkExceptionMacro("Expected a positive spacing (fixed parameter " << number << "), got " << domain.Spacing[d]);
    }
  }
  for (unsigned int d = 0; d < VDimension; ++d)
  {
    domain.Origin[d] = takeNumber(LayoutType::OriginBegin + d, "the origin");
  }
  domain.Center = domain.Origin;
  for (unsigned int i = 0; i < VDimension; ++i)
  {
    for (unsigned int j = 0; j < VDimension; ++j)
    {
      domain.Direction[i][j] = takeNumber(LayoutType::DirectionBegin + i * VDimension + j, "the direction");
      domain.Center[i] += domain.Direction[i][j] * halfExtent[j];
    }
  }
  for (unsigned int i = 0; i < VDimension; ++i)
  {
    for (unsigned int j = 0; j < VDimension; ++j)
    {
      double product = 0.0;
      for (unsigned int k = 0; k < VDimension; ++k)
      {
        product += domain.Direction[k][i] * domain.Direction[k][j];
      }
      if (!(std::abs(product - (i == j ? 1.0 : 0.0)) <= 1e-4))
      {
        itkExceptionMacro("Expected a direction matrix with orthonormal columns, got "
                          << product << " as product of columns " << i << " and " << j);
      }
    }
  }
  domain.Scale = *std::max_element(halfExtent.begin(), halfExtent.end());
  for (unsigned int d = 0; d < VDimension; ++d)
  {
    domain.Extent[d] = halfExtent[d] / domain.Scale;
  }
  return domain;
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::PrintSelf(std::ostream & os, Indent indent) const
{
  Superclass::PrintSelf(os, indent);

  const auto print = [&](const char * name, const auto & values) {
    os << indent << name << ": [";
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      os << (d == 0 ? "" : ", ") << values[d];
    }
    os << ']' << std::endl;
  };
  os << indent << "Backend: " << m_Backend << std::endl;
  os << indent << "Device: " << m_Device << std::endl;
  os << indent << "Width: " << m_Layout.Width << std::endl;
  os << indent << "Depth: " << m_Layout.Depth << std::endl;
  os << indent << "Frequencies: " << m_Layout.Frequencies << std::endl;
  os << indent << "GlobalCodeSize: " << m_Layout.GlobalCodeSize << std::endl;
  os << indent << "LocalCodeChannels: " << m_Layout.LocalCodeChannels << std::endl;
  print("LocalCodeGrid", m_Layout.LocalCodeGrid);
  for (const auto & cells : m_Layout.SplineCells)
  {
    print("SplineCells", cells);
  }
  print("Size", m_Domain.Size);
  print("Spacing", m_Domain.Spacing);
  print("Origin", m_Domain.Origin);
  print("Center", m_Domain.Center);
  print("Extent", m_Domain.Extent);
  for (const auto & row : m_Domain.Direction)
  {
    print("Direction", row);
  }
  os << indent << "Scale: " << m_Domain.Scale << std::endl;
}
} // namespace itk

#endif
