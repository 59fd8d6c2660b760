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
#ifndef itkNePhiFieldTraining_h
#define itkNePhiFieldTraining_h

#include "itkNePhiField.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace itk
{
/** How many points are on their way together: as many as fill 48 rows with so many columns for each. */
template <unsigned int VColumns>
constexpr std::size_t NePhiTrainingPoints = 48 / VColumns;

/** Memory where no register straddles two cache lines. */
struct alignas(64) NePhiCacheLine
{
  float Numbers[16];
};

/** The matrix and bias of a layer, or of a part of its inputs, with sizes padded by zeros to whole registers. */
struct NePhiTrainingMatrix
{
  std::size_t                 Inputs;
  std::size_t                 Outputs;
  std::size_t                 UsedOutputs;
  std::size_t                 SumsOffset;
  std::vector<NePhiCacheLine> Storage;
  std::vector<float>          Bias;

  /** The matrix [input][output]. */
  const float *
  GetForth() const
  {
    return Storage.data()->Numbers;
  }

  /** The matrix [output][input]. */
  const float *
  GetBack() const
  {
    return Storage.data()->Numbers + Inputs * Outputs;
  }
};

template <unsigned int VDimension>
struct NePhiGridPosition;

/** A field as its training kernels read it. */
template <unsigned int VDimension>
struct NePhiTrainingField
{
  std::array<float, VDimension>       Extent{};
  std::array<std::size_t, VDimension> Grid{};
  std::size_t                         Channels{ 0 };
  std::size_t                         Depth{ 0 };
  const float *                       LocalCode{ nullptr };
  std::vector<float>                  Frequencies{};
  NePhiTrainingMatrix                 First{};
  NePhiTrainingMatrix                 FirstGate{};
  NePhiTrainingMatrix                 FirstGateByLocal{};
  NePhiTrainingMatrix                 Output{};
  std::vector<NePhiTrainingMatrix>    Synthesis{};
  std::vector<NePhiTrainingMatrix>    Modulation{};
};

/** Where a point lies in the grid of the local code. */
template <unsigned int VDimension>
struct NePhiGridPosition
{
  static constexpr unsigned int Vertices = 1u << VDimension;

  float       Coords[VDimension];
  bool        IsInside[VDimension];
  std::size_t Corner;
  float       Weights[VDimension][2];
  float       Slopes[VDimension][2];

  /** Looks up coords, clamped to the box. */
  void
  Find(const NePhiTrainingField<VDimension> & field, const float * coords)
  {
    std::size_t step = field.Channels;
    Corner = 0;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      const float x = coords[d];
      const float extent = field.Extent[d];
      Coords[d] = x > -extent ? (x < extent ? x : extent) : -extent;
      IsInside[d] = x >= -extent && x <= extent;
      const double      cells = static_cast<double>(field.Grid[d] - 1);
      const double      position = (static_cast<double>(Coords[d]) / extent + 1.0) / 2.0 * cells;
      const std::size_t cell = std::min(static_cast<std::size_t>(position), field.Grid[d] - 2);
      Weights[d][1] = static_cast<float>(position - static_cast<double>(cell));
      Weights[d][0] = 1.0F - Weights[d][1];
      Slopes[d][1] = static_cast<float>(cells / (2.0 * extent));
      Slopes[d][0] = -Slopes[d][1];
      Corner += cell * step;
      step *= field.Grid[d];
    }
  }

  /** Where the code of a vertex of the cell begins. */
  std::size_t
  GetOffset(const NePhiTrainingField<VDimension> & field, unsigned int vertex) const
  {
    std::size_t offset = Corner;
    std::size_t step = field.Channels;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      offset += ((vertex >> d) & 1u) * step;
      step *= field.Grid[d];
    }
    return offset;
  }

  /** The share of a vertex in the code, differentiated with respect to up to two coordinates: from 1, 0 for none. */
  float
  GetFactor(unsigned int vertex, unsigned int one, unsigned int other) const
  {
    float factor = one != 0 && one == other ? 0.0F : 1.0F;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      const auto & factors = one == d + 1 || other == d + 1 ? Slopes[d] : Weights[d];
      factor *= factors[(vertex >> d) & 1u];
    }
    return factor;
  }
};
} // namespace itk

#define ITK_NEPHI_KERNELS "itkNePhiFieldTrainingKernel.h"
#include "itkNePhiForEachTarget.h"

namespace itk
{
/** The training kernels for one instruction set, without and with Jacobians. */
template <unsigned int VDimension>
struct NePhiTrainingKernelSet
{
  using FieldType = NePhiTrainingField<VDimension>;
  using ForwardType = void (*)(const FieldType &, std::size_t, std::size_t, const float *, float *, float *);
  using BackwardType = void (*)(const FieldType &,
                                std::size_t,
                                std::size_t,
                                const float *,
                                const float *,
                                const float *,
                                float *,
                                float *,
                                float *);
  using SplineType = NePhiSpline<VDimension>;
  using AddSplineType =
    void (*)(const SplineType &, const float *, double, std::size_t, const float *, float *, float *);
  using AddSplineCoordsGradientType =
    void (*)(const SplineType &, const float *, std::size_t, const float *, const float *, const float *, float *);
  using AddSplineDerivativesType = void (*)(const SplineType &,
                                            std::size_t,
                                            std::size_t,
                                            std::size_t,
                                            const std::uint32_t *,
                                            const float *,
                                            const float *,
                                            const float *,
                                            float *);

  std::size_t                 Lanes;
  ForwardType                 Forward[2];
  BackwardType                Backward[2];
  AddSplineType               AddSpline[2];
  AddSplineCoordsGradientType AddSplineCoordsGradient[2];
  AddSplineDerivativesType    AddSplineDerivatives[2];

  /** Those that this processor can run, the fastest last: the same as of NePhiKernelSet. */
  static const std::vector<NePhiTrainingKernelSet> &
  GetAll()
  {
    static const std::vector<NePhiTrainingKernelSet> all = [] {
      constexpr unsigned int              columns = 1 + VDimension;
      std::vector<NePhiTrainingKernelSet> sets{
        { 4,
          { NePhiKernels::Portable::TrainForward<VDimension, 1>,
            NePhiKernels::Portable::TrainForward<VDimension, columns> },
          { NePhiKernels::Portable::TrainBackward<VDimension, 1>,
            NePhiKernels::Portable::TrainBackward<VDimension, columns> },
          { NePhiKernels::Portable::AddSpline<float, float, VDimension, 1>,
            NePhiKernels::Portable::AddSpline<float, float, VDimension, columns> },
          { NePhiKernels::Portable::AddSplineCoordsGradient<VDimension, 1>,
            NePhiKernels::Portable::AddSplineCoordsGradient<VDimension, columns> },
          { NePhiKernels::Portable::AddSplineDerivatives<VDimension, 1>,
            NePhiKernels::Portable::AddSplineDerivatives<VDimension, columns> } }
      };
#ifdef ITK_NEPHI_X86_DISPATCH
      const std::size_t count = NePhiKernelSet<float, VDimension>::GetAll().size();
      if (count > 1)
      {
        sets.push_back(
          { 8,
            { NePhiKernels::AVX2::TrainForward<VDimension, 1>, NePhiKernels::AVX2::TrainForward<VDimension, columns> },
            { NePhiKernels::AVX2::TrainBackward<VDimension, 1>,
              NePhiKernels::AVX2::TrainBackward<VDimension, columns> },
            { NePhiKernels::AVX2::AddSpline<float, float, VDimension, 1>,
              NePhiKernels::AVX2::AddSpline<float, float, VDimension, columns> },
            { NePhiKernels::AVX2::AddSplineCoordsGradient<VDimension, 1>,
              NePhiKernels::AVX2::AddSplineCoordsGradient<VDimension, columns> },
            { NePhiKernels::AVX2::AddSplineDerivatives<VDimension, 1>,
              NePhiKernels::AVX2::AddSplineDerivatives<VDimension, columns> } });
      }
      if (count > 2)
      {
        sets.push_back({ 16,
                         { NePhiKernels::AVX512::TrainForward<VDimension, 1>,
                           NePhiKernels::AVX512::TrainForward<VDimension, columns> },
                         { NePhiKernels::AVX512::TrainBackward<VDimension, 1>,
                           NePhiKernels::AVX512::TrainBackward<VDimension, columns> },
                         { NePhiKernels::AVX512::AddSpline<float, float, VDimension, 1>,
                           NePhiKernels::AVX512::AddSpline<float, float, VDimension, columns> },
                         { NePhiKernels::AVX512::AddSplineCoordsGradient<VDimension, 1>,
                           NePhiKernels::AVX512::AddSplineCoordsGradient<VDimension, columns> },
                         { NePhiKernels::AVX512::AddSplineDerivatives<VDimension, 1>,
                           NePhiKernels::AVX512::AddSplineDerivatives<VDimension, columns> } });
      }
#endif
      return sets;
    }();
    return all;
  }
};

/** \class NePhiFieldTraining
 * \brief Moves coords by a neural deformation field and differentiates the result, in single precision, on threads.
 *
 * For the formula see NePhiField. Parameters, and the derivatives with respect to them, are arrays in this order: the
 * global code, the local code, the weights, each matrix and each bias by itself, and the coefficients of each spline.
 *
 * Work is split into blocks that do not depend on the number of threads, and summed in their order: results are the
 * same bits on any number of threads. The way back computes the way forth again, so that nothing has to be kept.
 *
 * Threads come from the caller: parallelize(count, function) has to call function(n) for all n below count.
 *
 * \ingroup NePhi
 */
template <unsigned int VDimension>
class NePhiFieldTraining
{
public:
  using LayoutType = NePhiFieldLayout<VDimension>;
  using SplineType = NePhiSpline<VDimension>;
  using KernelsType = NePhiTrainingKernelSet<VDimension>;

  NePhiFieldTraining(const NePhiFieldTraining &) = delete;
  NePhiFieldTraining &
  operator=(const NePhiFieldTraining &) = delete;

  /** The parameters have to outlive this object. */
  NePhiFieldTraining(const LayoutType &    layout,
                     const float *         extent,
                     const float *         frequencies,
                     const float * const * parameters,
                     const KernelsType &   kernels = KernelsType::GetAll().back())
    : m_Layout(layout)
    , m_Kernels(kernels)
    , m_Parameters(parameters)
  {
    std::copy_n(extent, VDimension, m_Field.Extent.begin());
    m_Field.Grid = layout.LocalCodeGrid;
    m_Field.Channels = layout.LocalCodeChannels;
    m_Field.Depth = layout.Depth;
    m_Field.LocalCode = parameters[1];
    const std::size_t half = this->Pad(layout.Frequencies);
    m_Field.Frequencies.assign(VDimension * half, 0.0F);
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      std::copy_n(frequencies + d * layout.Frequencies, layout.Frequencies, m_Field.Frequencies.begin() + d * half);
    }
    for (const auto & cells : layout.SplineCells)
    {
      m_Splines.emplace_back(cells, extent);
    }
    m_Field.Synthesis.resize(layout.Depth);
    m_Field.Modulation.resize(layout.Depth);

    const std::size_t codes = layout.GlobalCodeSize + layout.LocalCodeChannels;
    const std::size_t output = layout.GetOutputLayer();
    const std::size_t modulation = layout.GetModulationLayer();
    m_Parts = { { &m_Field.First, 0, 0, layout.Frequencies, 2 },
                { &m_Field.Output, output, 0, layout.Width, 1 },
                { &m_Field.FirstGate, modulation, codes, layout.Frequencies, 2 },
                { &m_Field.FirstGateByLocal, modulation, layout.GlobalCodeSize, m_Field.Channels, 1 } };
    for (std::size_t k = 1; k <= layout.Depth; ++k)
    {
      m_Parts.push_back({ &m_Field.Synthesis[k - 1], k, 0, layout.Width, 1 });
      m_Parts.push_back({ &m_Field.Modulation[k - 1], modulation + k, 0, layout.Width, 1 });
    }
    for (const Part & part : m_Parts)
    {
      this->Pack(part);
    }
  }

  /** Writes where coords, [point][D], are moved to, and their Jacobians, [point][D][D], unless the pointer is null. */
  template <typename TParallelize>
  void
  Forward(std::size_t count, const float * coords, float * moved, float * jacobians, const TParallelize & parallelize)
    const
  {
    const bool        hasJacobians = jacobians != nullptr;
    const std::size_t tile = GetTile(hasJacobians);
    const std::size_t blocks = GetBlocks(count, tile);
    parallelize(blocks, [&](std::size_t block) {
      const std::size_t begin = GetBegin(block, blocks, count, tile);
      const std::size_t end = GetBegin(block + 1, blocks, count, tile);
      m_Kernels.Forward[hasJacobians](m_Field, begin, end, coords, moved, jacobians);
      for (std::size_t n = 0; n < m_Splines.size(); ++n)
      {
        m_Kernels.AddSpline[hasJacobians](m_Splines[n],
                                          m_Parameters[this->GetSplineParameter(n)],
                                          0.0,
                                          end - begin,
                                          coords + begin * VDimension,
                                          moved + begin * VDimension,
                                          hasJacobians ? jacobians + begin * VDimension * VDimension : nullptr);
      }
    });
  }

  /** Differentiates the sum of what Forward() writes, times its cotangents; a null pointer stands for zero cotangents.
   *
   * Writes the derivatives with respect to the parameters, and those with respect to the coords, [point][D], unless the
   * pointer is null.
   */
  template <typename TParallelize>
  void
  Backward(std::size_t          count,
           const float *        coords,
           const float *        gradMoved,
           const float *        gradJacobians,
           float * const *      gradParameters,
           float *              gradCoords,
           const TParallelize & parallelize) const
  {
    const bool                  hasJacobians = gradJacobians != nullptr;
    const std::size_t           tile = GetTile(hasJacobians);
    const std::size_t           blocks = GetBlocks(count, tile);
    const std::size_t           columns = hasJacobians ? 1 + VDimension : 1;
    const std::size_t           lines = m_SumsSize / LineSize;
    std::vector<NePhiCacheLine> sums(std::max<std::size_t>(blocks, 1) * lines);
    std::vector<float>          gradLocal(count * columns * m_Field.Channels);
    parallelize(blocks, [&](std::size_t block) {
      const std::size_t begin = GetBegin(block, blocks, count, tile);
      const std::size_t end = GetBegin(block + 1, blocks, count, tile);
      m_Kernels.Backward[hasJacobians](m_Field,
                                       begin,
                                       end,
                                       coords,
                                       gradMoved,
                                       gradJacobians,
                                       sums[block * lines].Numbers,
                                       gradLocal.data(),
                                       gradCoords);
      for (std::size_t n = 0; gradCoords != nullptr && n < m_Splines.size(); ++n)
      {
        m_Kernels.AddSplineCoordsGradient[hasJacobians](m_Splines[n],
                                                        m_Parameters[this->GetSplineParameter(n)],
                                                        end - begin,
                                                        coords + begin * VDimension,
                                                        gradMoved == nullptr ? nullptr : gradMoved + begin * VDimension,
                                                        hasJacobians ? gradJacobians + begin * VDimension * VDimension
                                                                     : nullptr,
                                                        gradCoords + begin * VDimension);
      }
    });
    for (std::size_t block = 1; block < blocks; ++block)
    {
      for (std::size_t i = 0; i < lines; ++i)
      {
        for (std::size_t n = 0; n < LineSize; ++n)
        {
          sums[i].Numbers[n] += sums[block * lines + i].Numbers[n];
        }
      }
    }
    for (const Part & part : m_Parts)
    {
      this->Unpack(part, sums.data()->Numbers, gradParameters);
    }
    this->Scatter(count, columns, coords, gradLocal.data(), gradParameters[1]);
    for (std::size_t n = 0; n < m_Splines.size(); ++n)
    {
      this->ScatterSpline(m_Splines[n],
                          count,
                          coords,
                          gradMoved,
                          gradJacobians,
                          gradParameters[this->GetSplineParameter(n)],
                          parallelize);
    }
  }

private:
  static constexpr std::size_t LineSize = sizeof(NePhiCacheLine) / sizeof(float);

  /** Some inputs of a layer: which columns of its weights, in how many pieces, each padded by itself. */
  struct Part
  {
    NePhiTrainingMatrix * Matrix;
    std::size_t           Layer;
    std::size_t           FirstColumn;
    std::size_t           PieceSize;
    std::size_t           Pieces;
  };

  std::size_t
  Pad(std::size_t size) const
  {
    return (size + m_Kernels.Lanes - 1) / m_Kernels.Lanes * m_Kernels.Lanes;
  }

  static std::size_t
  GetTile(bool hasJacobians)
  {
    return hasJacobians ? NePhiTrainingPoints<1 + VDimension> : NePhiTrainingPoints<1>;
  }

  static std::size_t
  GetBlocks(std::size_t count, std::size_t tile)
  {
    constexpr std::size_t most = 16;
    return std::min(most, (count + tile - 1) / tile);
  }

  static std::size_t
  GetBegin(std::size_t block, std::size_t blocks, std::size_t count, std::size_t tile)
  {
    const std::size_t tiles = (count + tile - 1) / tile;
    return std::min(count, block * tiles / blocks * tile);
  }

  void
  Pack(const Part & part)
  {
    const NePhiFieldLayer & layer = m_Layers[part.Layer];
    const auto              scale = static_cast<float>(layer.Scale);
    const std::size_t       parameter = GetLayerParameter(part.Layer);
    NePhiTrainingMatrix &   matrix = *part.Matrix;
    matrix.Inputs = part.Pieces * this->Pad(part.PieceSize);
    matrix.Outputs = this->Pad(layer.Outputs);
    matrix.UsedOutputs = layer.Outputs;
    matrix.SumsOffset = m_SumsSize;
    m_SumsSize += (matrix.Outputs * (matrix.Inputs + 1) + LineSize - 1) / LineSize * LineSize;
    matrix.Storage.resize((2 * matrix.Inputs * matrix.Outputs + LineSize - 1) / LineSize);
    matrix.Bias.assign(matrix.Outputs, 0.0F);
    float * const forth = matrix.Storage.data()->Numbers;
    float * const back = forth + matrix.Inputs * matrix.Outputs;
    const float * weights = m_Parameters[parameter];
    for (std::size_t o = 0; o < layer.Outputs; ++o, weights += layer.Inputs)
    {
      for (std::size_t piece = 0; piece < part.Pieces; ++piece)
      {
        const float * const source = weights + part.FirstColumn + piece * part.PieceSize;
        const std::size_t   first = piece * this->Pad(part.PieceSize);
        for (std::size_t n = 0; n < part.PieceSize; ++n)
        {
          const float weight = scale * source[n];
          forth[(first + n) * matrix.Outputs + o] = weight;
          back[o * matrix.Inputs + first + n] = weight;
        }
      }
      // the global code is the same everywhere: it only shifts the bias
      float bias = m_Parameters[parameter + 1][o];
      for (std::size_t g = 0; part.Matrix == &m_Field.FirstGate && g < m_Layout.GlobalCodeSize; ++g)
      {
        bias += weights[g] * m_Parameters[0][g];
      }
      matrix.Bias[o] = scale * bias;
    }
  }

  /** Writes the derivatives with respect to the weights, and those with respect to the global code. */
  void
  Unpack(const Part & part, const float * sums, float * const * gradParameters) const
  {
    const NePhiFieldLayer &     layer = m_Layers[part.Layer];
    const auto                  scale = static_cast<float>(layer.Scale);
    const std::size_t           parameter = GetLayerParameter(part.Layer);
    const NePhiTrainingMatrix & matrix = *part.Matrix;
    const float *               gradSum = sums + matrix.SumsOffset;
    const float *               gradBias = gradSum + matrix.Outputs * matrix.Inputs;
    const float *               weights = m_Parameters[parameter];
    float *                     gradWeights = gradParameters[parameter];
    for (std::size_t o = 0; o < layer.Outputs; ++o, gradSum += matrix.Inputs)
    {
      for (std::size_t piece = 0; piece < part.Pieces; ++piece)
      {
        const float * const source = gradSum + piece * this->Pad(part.PieceSize);
        float * const       goal = gradWeights + o * layer.Inputs + part.FirstColumn + piece * part.PieceSize;
        for (std::size_t n = 0; n < part.PieceSize; ++n)
        {
          goal[n] = scale * source[n];
        }
      }
      gradParameters[parameter + 1][o] = scale * gradBias[o];
      for (std::size_t g = 0; part.Matrix == &m_Field.FirstGate && g < m_Layout.GlobalCodeSize; ++g)
      {
        gradWeights[o * layer.Inputs + g] = scale * gradBias[o] * m_Parameters[0][g];
        gradParameters[0][g] =
          (o == 0 ? 0.0F : gradParameters[0][g]) + scale * gradBias[o] * weights[o * layer.Inputs + g];
      }
    }
  }

  /** Shares out the derivatives with respect to the local code at the points, [point][column][channel], among the
   * vertices. */
  void
  Scatter(std::size_t count, std::size_t columns, const float * coords, const float * gradLocal, float * gradVertices)
    const
  {
    std::fill_n(gradVertices, m_Layout.GetLocalCodeSize(), 0.0F);
    for (std::size_t p = 0; p < count; ++p)
    {
      NePhiGridPosition<VDimension> position;
      position.Find(m_Field, coords + p * VDimension);
      for (unsigned int vertex = 0; vertex < position.Vertices; ++vertex)
      {
        float * const gradVertex = gradVertices + position.GetOffset(m_Field, vertex);
        for (unsigned int c = 0; c < columns; ++c)
        {
          const float         factor = position.GetFactor(vertex, c, 0);
          const float * const grad = gradLocal + (p * columns + c) * m_Field.Channels;
          for (std::size_t i = 0; i < m_Field.Channels; ++i)
          {
            gradVertex[i] += factor * grad[i];
          }
        }
      }
    }
  }

  /** The number of a layer's matrix among the parameters; its bias follows. */
  static std::size_t
  GetLayerParameter(std::size_t n)
  {
    return 2 + 2 * n;
  }

  std::size_t
  GetSplineParameter(std::size_t n) const
  {
    return this->GetLayerParameter(m_Layers.size()) + n;
  }

  /** Shares out the derivatives with respect to a spline among its coefficients.
   *
   * Points are sorted by the planes of cells along the last axis, stably, and each work unit adds to planes of its own:
   * every coefficient's sum is in the same order, whatever the units are.
   */
  template <typename TParallelize>
  void
  ScatterSpline(const SplineType &   spline,
                std::size_t          count,
                const float *        coords,
                const float *        gradMoved,
                const float *        gradJacobians,
                float *              gradCoefficients,
                const TParallelize & parallelize) const
  {
    constexpr unsigned int     last = VDimension - 1;
    const std::size_t          cells = spline.Cells[last];
    std::vector<std::uint32_t> planes(count);
    std::vector<std::uint32_t> numbers(count);
    std::vector<std::size_t>   begins(cells + 2, 0);
    for (std::size_t p = 0; p < count; ++p)
    {
      const double      x = static_cast<double>(coords[p * VDimension + last]);
      const std::size_t plane = std::min(static_cast<std::size_t>(spline.GetPosition(last, x)), cells - 1);
      planes[p] = static_cast<std::uint32_t>(plane);
      ++begins[plane + 2];
    }
    std::partial_sum(begins.begin(), begins.end(), begins.begin());
    for (std::size_t p = 0; p < count; ++p)
    {
      numbers[begins[planes[p] + 1]++] = static_cast<std::uint32_t>(p);
    }
    // now begins[plane] is where the numbers of a plane begin

    const std::size_t size = spline.GetSize() / (cells + 3);
    // A point adds to four planes: with fewer in a unit, more of them look it up.
    const std::size_t units = std::min<std::size_t>((cells + 3) / 4, 32);
    parallelize(units, [&](std::size_t unit) {
      const std::size_t begin = unit * (cells + 3) / units;
      const std::size_t end = (unit + 1) * (cells + 3) / units;
      std::fill(gradCoefficients + begin * size, gradCoefficients + end * size, 0.0F);
      const std::size_t first = begins[begin > 3 ? begin - 3 : 0];
      const std::size_t beyond = begins[std::min(end, cells)];
      m_Kernels.AddSplineDerivatives[gradJacobians != nullptr](
        spline, begin, end, beyond - first, numbers.data() + first, coords, gradMoved, gradJacobians, gradCoefficients);
    });
  }

  LayoutType                     m_Layout;
  std::vector<NePhiFieldLayer>   m_Layers{ m_Layout.GetLayers() };
  const KernelsType &            m_Kernels;
  const float * const *          m_Parameters;
  NePhiTrainingField<VDimension> m_Field{};
  std::vector<SplineType>        m_Splines{};
  std::vector<Part>              m_Parts{};
  std::size_t                    m_SumsSize{ 0 };
};

} // namespace itk
#endif
