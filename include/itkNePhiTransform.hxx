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
#include <atomic>
#include <cmath>
#include <string>

namespace itk
{
template <typename TParametersValueType, unsigned int VDimension>
NePhiTransform<TParametersValueType, VDimension>::NePhiTransform()
{
  // The identity: one hidden feature, all weights zero, on a domain of two voxels an axis.
  FixedParametersType fixedParameters(FrequenciesBegin + 2 * VDimension);
  fixedParameters.Fill(0.0);
  fixedParameters[0] = 1.0;
  fixedParameters[1] = 1.0;
  fixedParameters[3] = 1.0;
  fixedParameters[5] = 1.0;
  for (unsigned int d = 0; d < VDimension; ++d)
  {
    fixedParameters[6 + d] = 2.0;
    fixedParameters[6 + VDimension + d] = 2.0;
    fixedParameters[6 + 2 * VDimension + d] = 1.0;
    fixedParameters[6 + 4 * VDimension + d * (VDimension + 1)] = 1.0;
  }
  this->SetFixedParameters(fixedParameters);
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::TransformPoint(const InputPointType & point) const -> OutputPointType
{
  this->VerifyParameters();
  CoordsType input;
  std::copy_n(point.GetDataPointer(), VDimension, input.data());
  const auto evaluate = [this](std::size_t count, const double * coords, double * displacements) {
    this->Evaluate(count, coords, displacements);
  };
  CoordsType displacement;
  if constexpr (std::is_same_v<ParametersValueType, double>)
  {
    displacement = NePhiLookAhead<VDimension>::GetThreadLocal(m_FieldNumber)
                     .Find(
                       input,
                       this->GetPointsTogether(),
                       [this](const CoordsType & predicted) { return this->CoordsFromPoint(predicted); },
                       evaluate);
  }
  else
  {
    // Points in single precision do not follow each other with a constant step.
    evaluate(1, this->CoordsFromPoint(input).data(), displacement.data());
  }

  const CoordsType mapped = this->Displace(input, displacement);
  OutputPointType  result;
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
  this->ComputeJacobians(input, entries, 1);
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
  const ShapeType &                 shape = m_Layout.Shape;
  const SizeValueType               weightsSize = shape.GetNumberOfWeights();
  const ParametersValueType * const weights = this->m_Parameters.data_block();
  const ParametersValueType * const globalCode = weights + 2 * weightsSize;

  NePhiFieldGradient<ParametersValueType, VDimension> gradient(shape,
                                                               m_Layout.Extent,
                                                               this->m_FixedParameters.data_block() + FrequenciesBegin,
                                                               weights,
                                                               globalCode,
                                                               globalCode + shape.GlobalCodeSize);
  CoordsType                                          input;
  std::copy_n(point.GetDataPointer(), VDimension, input.data());
  gradient.Forward(this->CoordsFromPoint(input));

  jacobian.SetSize(VDimension, this->GetNumberOfLocalParameters());
  jacobian.Fill(ParametersValueType{});
  for (unsigned int i = 0; i < VDimension; ++i)
  {
    CoordsType cotangents;
    for (unsigned int j = 0; j < VDimension; ++j)
    {
      cotangents[j] = m_Layout.Scale * m_Layout.Direction[i][j];
    }
    ParametersValueType * const row = jacobian[i];
    ParametersValueType * const gradGlobalCode = row + 2 * weightsSize;
    ParametersValueType * const gradLocalCode = gradGlobalCode + shape.GlobalCodeSize;
    gradient.AddDerivatives(cotangents, row, gradGlobalCode, gradLocalCode, gradLocalCode + shape.GetLocalCodeSize());
  }
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::TransformPoints(const double * points,
                                                                  double *       mapped,
                                                                  SizeValueType  count) const
{
  this->VerifyParameters();
  const SizeValueType size = m_TorchField ? this->GetPointsTogether() : ChunkSize;
  const SizeValueType chunks = (count + size - 1) / size;
  const auto          map = [=](SizeValueType chunk) {
    const SizeValueType begin = chunk * size;
    this->MapPoints(points + begin * VDimension, mapped + begin * VDimension, std::min(size, count - begin));
  };
  if (m_TorchField)
  {
    // torch has threads of its own
    for (SizeValueType chunk = 0; chunk < chunks; ++chunk)
    {
      map(chunk);
    }
    return;
  }
  MultiThreaderBase::New()->ParallelizeArray(0, chunks, map, nullptr);
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::ComputeJacobiansWithRespectToPosition(const double * points,
                                                                                        double *       jacobians,
                                                                                        SizeValueType  count) const
{
  this->VerifyParameters();
  MultiThreaderBase::New()->ParallelizeArray(
    0,
    (count + ChunkSize - 1) / ChunkSize,
    [=](SizeValueType chunk) {
      const SizeValueType begin = chunk * ChunkSize;
      this->ComputeJacobians(
        points + begin * VDimension, jacobians + begin * VDimension * VDimension, std::min(ChunkSize, count - begin));
    },
    nullptr);
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::SetParameters(const ParametersType & parameters)
{
  this->VerifyParameters();
  const SizeValueType expected = CountParameters(m_Layout.Shape);
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
  this->SetState(m_Layout, this->m_FixedParameters, parameters);
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
  const LayoutType    layout = this->ParseFixedParameters(fixedParameters);
  const SizeValueType count = CountParameters(layout.Shape);
  if (layout.Shape == m_Layout.Shape && this->m_Parameters.Size() == count)
  {
    this->SetState(layout, fixedParameters, this->m_Parameters);
    return;
  }
  ParametersType parameters(count);
  parameters.Fill(ParametersValueType{});
  this->SetState(layout, fixedParameters, parameters);
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::SetState(const LayoutType &          layout,
                                                           const FixedParametersType & fixedParameters,
                                                           const ParametersType &      parameters)
{
  FieldType field = MakeField<FieldType>(layout, fixedParameters, parameters);
  field.SetSplines(layout.Shape, parameters.data_block() + parameters.Size() - 2 * layout.Shape.GetSplinesSize());
  std::unique_ptr<TorchFieldType> torchField;
  if (m_TorchField)
  {
    torchField =
      std::make_unique<TorchFieldType>(MakeField<TorchFieldType>(layout, fixedParameters, parameters, m_Device));
  }
  // New vectors that are exchanged, because an assignment leaves a broken vector behind when memory runs out.
  FixedParametersType newFixedParameters = fixedParameters;
  ParametersType      newParameters = parameters;
  m_Layout = layout;
  this->m_FixedParameters.swap(newFixedParameters);
  this->m_Parameters.swap(newParameters);
  m_Field = std::move(field);
  m_TorchField = std::move(torchField);
  this->RenewFieldNumber();
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::RenewFieldNumber()
{
  static std::atomic<std::uint64_t> lastNumber{ 0 };
  m_FieldNumber = ++lastNumber;
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
  std::unique_ptr<TorchFieldType> torchField;
  if (backend == "torch")
  {
    this->VerifyParameters();
    torchField = std::make_unique<TorchFieldType>(
      MakeField<TorchFieldType>(m_Layout, this->m_FixedParameters, this->m_Parameters, device));
  }
  m_Device = device;
  m_TorchField = std::move(torchField);
  this->RenewFieldNumber();
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::Clear()
{
  this->m_FixedParameters.SetSize(0);
  this->m_Parameters.SetSize(0);
  m_FieldNumber = 0;
  this->Modified();
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::VerifyParameters() const
{
  if (m_FieldNumber == 0)
  {
    itkExceptionMacro("Expected fixed parameters and parameters, got none: the file of this transform is damaged");
  }
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::Evaluate(SizeValueType  count,
                                                           const double * coords,
                                                           double *       displacements) const
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


template <typename TParametersValueType, unsigned int VDimension>
SizeValueType
NePhiTransform<TParametersValueType, VDimension>::GetPointsTogether() const
{
  return m_TorchField ? m_TorchField->GetPointsTogether() : FieldType::GetPointsTogether();
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
  const SizeValueType frequencies = VDimension * m_Layout.Shape.Frequencies;
  ParametersType      parameters = this->m_Parameters;
  const SizeValueType weights = m_Layout.Shape.GetNumberOfWeights();
  const SizeValueType splines = m_Layout.Shape.GetSplinesSize();
  const auto exchange = [](auto * begin, SizeValueType size) { std::swap_ranges(begin, begin + size, begin + size); };
  exchange(fixedParameters.data_block() + FrequenciesBegin, frequencies);
  exchange(parameters.data_block(), weights);
  exchange(parameters.data_block() + parameters.Size() - 2 * splines, splines);

  inverse->SetFixedParameters(fixedParameters);
  inverse->SetParameters(parameters);
  inverse->SetBackend(this->GetBackend(), m_Device);
  return true;
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::GetInverseTransform() const -> InverseTransformBasePointer
{
  return Superclass::InvertTransform(*this);
}


template <typename TParametersValueType, unsigned int VDimension>
SizeValueType
NePhiTransform<TParametersValueType, VDimension>::CountParameters(const ShapeType & shape)
{
  return 2 * shape.GetNumberOfWeights() + shape.GlobalCodeSize + shape.GetLocalCodeSize() + 2 * shape.GetSplinesSize();
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::ParseFixedParameters(
  const FixedParametersType & fixedParameters) const -> LayoutType
{
  constexpr double        largestCount = 16777216.0; // 2^24
  constexpr SizeValueType leastSize = FrequenciesBegin + 2 * VDimension;
  const SizeValueType     size = fixedParameters.Size();

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

  SizeValueType next = 1;
  const auto    takeCount = [&](const char * name, double least, double largest) {
    const double value = fixedParameters[next];
    if (!(value >= least && value <= largest && value == std::floor(value)))
    {
      itkExceptionMacro("Expected " << name << " (fixed parameter " << next << ") as a whole number from " << least
                                    << " to " << largest << ", got " << value);
    }
    ++next;
    return static_cast<SizeValueType>(value);
  };
  const auto takeNumber = [&](const char * name) {
    const double value = fixedParameters[next];
    if (!std::isfinite(value))
    {
      itkExceptionMacro("Expected " << name << " (fixed parameter " << next << ") as a finite number, got " << value);
    }
    ++next;
    return value;
  };

  LayoutType layout;
  auto &     shape = layout.Shape;
  shape.Width = takeCount("the width", 1.0, largestCount);
  shape.Depth = takeCount("the depth", 0.0, largestCount);
  shape.Frequencies = takeCount("the number of frequencies", 1.0, largestCount);
  shape.GlobalCodeSize = takeCount("the global code size", 0.0, largestCount);
  shape.LocalCodeChannels = takeCount("the number of local code channels", 1.0, largestCount);
  for (auto & gridSize : shape.LocalCodeGrid)
  {
    gridSize = takeCount("the local code grid size", 2.0, largestCount);
  }

  // In floating point, because damaged sizes overflow integers.
  const double width = static_cast<double>(NePhiAffineLayer<float>::Pad(shape.Width));
  const double embedding = 2.0 * static_cast<double>(shape.Frequencies);
  double       codeSize = static_cast<double>(shape.LocalCodeChannels);
  for (const auto gridSize : shape.LocalCodeGrid)
  {
    codeSize *= static_cast<double>(gridSize);
  }
  const double sources = static_cast<double>(shape.GlobalCodeSize + shape.LocalCodeChannels);
  double       count = 4.0 * static_cast<double>(shape.Depth) * width * (width + 1.0) +
                 2.0 * width * (2.0 * (embedding + 1.0) + sources) + 2.0 * VDimension * (width + 1.0) + codeSize;
  const auto verifyCount = [&] {
    if (count > largestCount)
    {
      itkExceptionMacro("Expected sizes that make at most " << largestCount << " parameters, got " << count);
    }
  };
  verifyCount();
  const SizeValueType splinesBegin = leastSize + 2 * VDimension * (shape.Frequencies - 1);
  const bool          hasSplines = version > 1.0;
  if (hasSplines ? size <= splinesBegin || (size - splinesBegin) % VDimension != 0 : size != splinesBegin)
  {
    itkExceptionMacro("Expected " << splinesBegin << " fixed parameters for " << shape.Frequencies << " frequencies"
                                  << (hasSplines ? ", and the cells of one or more splines" : "") << ", got " << size);
  }
  const SizeValueType domainBegin = next;
  for (next = splinesBegin; next < size;)
  {
    double coefficients = 2.0 * VDimension;
    auto & cells = shape.SplineCells.emplace_back();
    for (auto & cellCount : cells)
    {
      cellCount = takeCount("the number of cells of a spline", 1.0, largestCount);
      coefficients *= static_cast<double>(cellCount + 3);
    }
    count += coefficients;
    verifyCount();
  }
  next = domainBegin;

  CoordsType halfExtent;
  for (auto & extent : halfExtent)
  {
    extent = static_cast<double>(takeCount("the image size", 2.0, 2147483647.0) - 1) / 2.0;
  }
  for (auto & extent : halfExtent)
  {
    const double spacing = takeNumber("the spacing");
    extent *= spacing;
    if (!(spacing > 0.0) || !std::isnormal(extent))
    {
      itkExceptionMacro("Expected a positive spacing (fixed parameter " << next - 1 << "), got " << spacing);
    }
  }
  for (auto & center : layout.Center)
  {
    center = takeNumber("the origin");
  }
  for (unsigned int i = 0; i < VDimension; ++i)
  {
    for (unsigned int j = 0; j < VDimension; ++j)
    {
      layout.Direction[i][j] = takeNumber("the direction");
      layout.Center[i] += layout.Direction[i][j] * halfExtent[j];
    }
  }
  for (unsigned int i = 0; i < VDimension; ++i)
  {
    for (unsigned int j = 0; j < VDimension; ++j)
    {
      double product = 0.0;
      for (unsigned int k = 0; k < VDimension; ++k)
      {
        product += layout.Direction[k][i] * layout.Direction[k][j];
      }
      if (!(std::abs(product - (i == j ? 1.0 : 0.0)) <= 1e-4))
      {
        itkExceptionMacro("Expected a direction matrix with orthonormal columns, got "
                          << product << " as product of columns " << i << " and " << j);
      }
    }
  }
  while (next < splinesBegin)
  {
    takeNumber("the frequency");
  }

  layout.Scale = *std::max_element(halfExtent.begin(), halfExtent.end());
  for (unsigned int d = 0; d < VDimension; ++d)
  {
    layout.Extent[d] = halfExtent[d] / layout.Scale;
  }
  return layout;
}


template <typename TParametersValueType, unsigned int VDimension>
template <typename TField, typename... TArguments>
TField
NePhiTransform<TParametersValueType, VDimension>::MakeField(const LayoutType &          layout,
                                                            const FixedParametersType & fixedParameters,
                                                            const ParametersType &      parameters,
                                                            const TArguments &... arguments)
{
  const ShapeType &                 shape = layout.Shape;
  const ParametersValueType * const weights = parameters.data_block();
  const ParametersValueType * const globalCode = weights + 2 * shape.GetNumberOfWeights();
  return TField(arguments...,
                shape,
                layout.Extent,
                fixedParameters.data_block() + FrequenciesBegin,
                weights,
                globalCode,
                globalCode + shape.GlobalCodeSize);
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::CoordsFromPoint(const CoordsType & point) const -> CoordsType
{
  // Adding and subtracting this number rounds to a multiple of 2^-36, which is far below a nanometer. Points that
  // differ by floating-point rounding thereby get the same coords, as NePhiLookAhead needs.
  constexpr double round = 98304.0;
  CoordsType       coords{};
  for (unsigned int j = 0; j < VDimension; ++j)
  {
    for (unsigned int i = 0; i < VDimension; ++i)
    {
      coords[j] += m_Layout.Direction[i][j] * (point[i] - m_Layout.Center[i]);
    }
    coords[j] = (coords[j] / m_Layout.Scale + round) - round;
  }
  return coords;
}


template <typename TParametersValueType, unsigned int VDimension>
auto
NePhiTransform<TParametersValueType, VDimension>::Displace(const CoordsType & point,
                                                           const CoordsType & displacement) const -> CoordsType
{
  CoordsType mapped = point;
  for (unsigned int i = 0; i < VDimension; ++i)
  {
    for (unsigned int j = 0; j < VDimension; ++j)
    {
      mapped[i] += m_Layout.Scale * m_Layout.Direction[i][j] * displacement[j];
    }
  }
  return mapped;
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::MapPoints(const double * points,
                                                            double *       mapped,
                                                            SizeValueType  count) const
{
  std::vector<CoordsType> input(count);
  std::vector<CoordsType> coords(count);
  std::vector<CoordsType> displacements(count);
  for (SizeValueType n = 0; n < count; ++n)
  {
    std::copy_n(points + n * VDimension, VDimension, input[n].data());
    coords[n] = this->CoordsFromPoint(input[n]);
  }
  this->Evaluate(count, coords.front().data(), displacements.front().data());
  for (SizeValueType n = 0; n < count; ++n)
  {
    const CoordsType result = this->Displace(input[n], displacements[n]);
    std::copy_n(result.data(), VDimension, mapped + n * VDimension);
  }
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::ComputeJacobians(const double * points,
                                                                   double *       jacobians,
                                                                   SizeValueType  count) const
{
  std::vector<CoordsType> coords(count);
  std::vector<CoordsType> displacements(count);
  std::vector<MatrixType> derivatives(count);
  for (SizeValueType n = 0; n < count; ++n)
  {
    CoordsType point;
    std::copy_n(points + n * VDimension, VDimension, point.data());
    coords[n] = this->CoordsFromPoint(point);
  }
  m_Field.EvaluateWithJacobian(
    count, coords.front().data(), displacements.front().data(), derivatives.front().front().data());
  for (SizeValueType n = 0; n < count; ++n)
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
            sum += m_Layout.Direction[i][k] * derivatives[n][k][l] * m_Layout.Direction[j][l];
          }
        }
        jacobians[(n * VDimension + i) * VDimension + j] = sum;
      }
    }
  }
}


template <typename TParametersValueType, unsigned int VDimension>
void
NePhiTransform<TParametersValueType, VDimension>::PrintSelf(std::ostream & os, Indent indent) const
{
  Superclass::PrintSelf(os, indent);

  const ShapeType & shape = m_Layout.Shape;
  const auto        print = [&](const char * name, const auto & values) {
    os << indent << name << ": [";
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      os << (d == 0 ? "" : ", ") << values[d];
    }
    os << ']' << std::endl;
  };
  os << indent << "Backend: " << this->GetBackend() << std::endl;
  os << indent << "Device: " << m_Device << std::endl;
  os << indent << "Width: " << shape.Width << std::endl;
  os << indent << "Depth: " << shape.Depth << std::endl;
  os << indent << "Frequencies: " << shape.Frequencies << std::endl;
  os << indent << "GlobalCodeSize: " << shape.GlobalCodeSize << std::endl;
  os << indent << "LocalCodeChannels: " << shape.LocalCodeChannels << std::endl;
  print("LocalCodeGrid", shape.LocalCodeGrid);
  for (const auto & cells : shape.SplineCells)
  {
    print("SplineCells", cells);
  }
  print("Center", m_Layout.Center);
  print("Extent", m_Layout.Extent);
  for (const auto & row : m_Layout.Direction)
  {
    print("Direction", row);
  }
  os << indent << "Scale: " << m_Layout.Scale << std::endl;
}
} // namespace itk

#endif
