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
#ifndef itkNePhiField_h
#define itkNePhiField_h

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace itk
{
/** \class NePhiSpline
 * \brief A uniform cubic B-spline of displacements over the box |x_i| <= extent_i: where its coefficients lie.
 *
 * With n_i cells along axis i there are n_i + 3 coefficients along it, the second of which belongs to the begin of the
 * box; each is a displacement. In memory components are innermost, then i, j, k.
 *
 * \ingroup NePhi
 */
template <unsigned int VDimension>
struct NePhiSpline
{
  using CellsType = std::array<std::size_t, VDimension>;

  CellsType                      Cells{};
  std::array<double, VDimension> Extent{};
  /** Cells a unit of coords. */
  std::array<double, VDimension> Rate{};

  template <typename TReal>
  NePhiSpline(const CellsType & cells, const TReal * extent)
    : Cells(cells)
  {
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      Extent[d] = static_cast<double>(extent[d]);
      Rate[d] = static_cast<double>(cells[d]) / (2.0 * Extent[d]);
    }
  }

  /** Where x, clamped to the box, lies along axis d, in cells. */
  double
  GetPosition(unsigned int d, double x) const
  {
    const double clamped = x > -Extent[d] ? (x < Extent[d] ? x : Extent[d]) : -Extent[d];
    return clamped * Rate[d] + 0.5 * static_cast<double>(Cells[d]);
  }

  /** The number of numbers in the coefficients of so many cells. */
  static std::size_t
  GetSize(const CellsType & cells)
  {
    std::size_t size = VDimension;
    for (const std::size_t count : cells)
    {
      size *= count + 3;
    }
    return size;
  }
};

/** \class NePhiFieldShape
 * \brief The sizes of a neural deformation field; they fix the number and the order of its weights.
 * \ingroup NePhi
 */
template <unsigned int VDimension>
struct NePhiFieldShape
{
  std::size_t                         Width{ 1 };
  std::size_t                         Depth{ 0 };
  std::size_t                         Frequencies{ 1 };
  std::size_t                         GlobalCodeSize{ 0 };
  std::size_t                         LocalCodeChannels{ 1 };
  std::array<std::size_t, VDimension> LocalCodeGrid{};

  /** The cells of each B-spline along each axis. */
  std::vector<std::array<std::size_t, VDimension>> SplineCells{};

  std::size_t
  GetNumberOfWeights() const
  {
    const std::size_t hiddenLayers = Depth * Width * (Width + 1);
    const std::size_t synthesis = Width * (2 * Frequencies + 1) + hiddenLayers + VDimension * (Width + 1);
    const std::size_t modulation = Width * (GlobalCodeSize + LocalCodeChannels + 2 * Frequencies + 1) + hiddenLayers;
    return synthesis + modulation;
  }

  std::size_t
  GetLocalCodeSize() const
  {
    std::size_t size = LocalCodeChannels;
    for (const std::size_t gridSize : LocalCodeGrid)
    {
      size *= gridSize;
    }
    return size;
  }

  /** The number of numbers in the coefficients of all B-splines. */
  std::size_t
  GetSplinesSize() const
  {
    std::size_t size = 0;
    for (const auto & cells : SplineCells)
    {
      size += NePhiSpline<VDimension>::GetSize(cells);
    }
    return size;
  }

  bool
  operator==(const NePhiFieldShape & other) const
  {
    return Width == other.Width && Depth == other.Depth && Frequencies == other.Frequencies &&
           GlobalCodeSize == other.GlobalCodeSize && LocalCodeChannels == other.LocalCodeChannels &&
           LocalCodeGrid == other.LocalCodeGrid && SplineCells == other.SplineCells;
  }
};

/** An affine map; its matrix is stored in tiles [output / Tile][input][Tile], the missing outputs as zeros. */
template <typename TReal>
struct NePhiAffineLayer
{
  static constexpr std::size_t Tile = 16;

  std::size_t        Inputs{ 0 };
  std::size_t        Outputs{ 0 };
  std::vector<TReal> Matrix{};
  std::vector<TReal> Bias{};

  static std::size_t
  Pad(std::size_t size)
  {
    return (size + Tile - 1) / Tile * Tile;
  }

  /** Takes scale (M [code, x] + b) as a map of x alone. Returns the end of the weights. */
  template <typename TSource>
  const TSource *
  Pack(const TSource * weights,
       std::size_t     outputs,
       std::size_t     inputs,
       double          scale,
       const TSource * code = nullptr,
       std::size_t     codeSize = 0)
  {
    const std::size_t row = codeSize + inputs;
    const TSource *   bias = weights + outputs * row;
    Inputs = inputs;
    Outputs = outputs;
    Matrix.assign(Pad(outputs) * inputs, TReal{});
    Bias.assign(Pad(outputs), TReal{});
    for (std::size_t o = 0; o < outputs; ++o)
    {
      double sum = bias[o];
      for (std::size_t i = 0; i < codeSize; ++i)
      {
        sum += static_cast<double>(weights[o * row + i]) * code[i];
      }
      Bias[o] = static_cast<TReal>(scale * sum);
      for (std::size_t i = 0; i < inputs; ++i)
      {
        Matrix[((o / Tile) * inputs + i) * Tile + o % Tile] =
          static_cast<TReal>(scale * weights[o * row + codeSize + i]);
      }
    }
    return bias + outputs;
  }
};

/** A field as its kernels read it: constants multiplied in, the global code part of a bias, sizes padded, those of the
 * local code at its end. */
template <typename TReal, unsigned int VDimension>
struct NePhiPackedField
{
  using LayerType = NePhiAffineLayer<TReal>;

  std::array<double, VDimension>       Extent{};
  std::array<std::size_t, VDimension>  Grid{};
  std::size_t                          Channels{ 0 };
  std::size_t                          Frequencies{ 0 };
  std::size_t                          Depth{ 0 };
  std::vector<double>                  FrequencyMatrix{};
  std::vector<TReal>                   LocalCode{};
  std::vector<LayerType>               Synthesis{};
  std::vector<LayerType>               Modulation{};
  LayerType                            Output{};
  std::vector<NePhiSpline<VDimension>> Splines{};
  std::vector<TReal>                   SplineCoefficients{};

  std::size_t
  GetPointScratchSize() const
  {
    const std::size_t embedding = 3 * LayerType::Pad(Frequencies);
    const std::size_t channels = LayerType::Pad(Channels);
    return embedding > channels ? embedding : channels;
  }
};

/** Memory of the calling thread, allocated only when it asks for more than ever before. */
template <typename TReal>
TReal *
NePhiScratch(std::size_t size)
{
  static thread_local std::vector<TReal> scratch;
  if (scratch.size() < size)
  {
    scratch.resize(size);
  }
  return scratch.data();
}

/** How many points kernels evaluate together with registers of so many bytes: as many as three registers hold. */
template <typename TReal>
constexpr std::size_t
NePhiPointsTogether(std::size_t vectorBytes)
{
  return 3 * vectorBytes / sizeof(TReal);
}
} // namespace itk

#define ITK_NEPHI_KERNELS "itkNePhiSplineKernel.h"
#include "itkNePhiForEachTarget.h"
#define ITK_NEPHI_KERNELS "itkNePhiFieldKernel.h"
#include "itkNePhiForEachTarget.h"

namespace itk
{
/** The kernels for one instruction set. */
template <typename TReal, unsigned int VDimension>
struct NePhiKernelSet
{
  using FunctionType =
    void (*)(const NePhiPackedField<TReal, VDimension> &, std::size_t, const double *, double *, double *);

  const char * Name;
  std::size_t  PointsTogether;
  FunctionType Evaluate;
  FunctionType EvaluateWithJacobian;
  FunctionType AddSplines;

  /** Those that this processor can run, the fastest last. */
  static const std::vector<NePhiKernelSet> &
  GetAll()
  {
    static const std::vector<NePhiKernelSet> all = [] {
      std::vector<NePhiKernelSet> sets{ { "portable",
                                          NePhiPointsTogether<TReal>(16),
                                          NePhiKernels::Portable::Evaluate<TReal, VDimension, 1>,
                                          NePhiKernels::Portable::Evaluate<TReal, VDimension, 1 + VDimension>,
                                          NePhiKernels::Portable::AddSplines<TReal, VDimension, 1> } };
#ifdef ITK_NEPHI_X86_DISPATCH
      if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
      {
        sets.push_back({ "AVX2",
                         NePhiPointsTogether<TReal>(32),
                         NePhiKernels::AVX2::Evaluate<TReal, VDimension, 1>,
                         NePhiKernels::AVX2::Evaluate<TReal, VDimension, 1 + VDimension>,
                         NePhiKernels::AVX2::AddSplines<TReal, VDimension, 1> });
      }
      if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
      {
        sets.push_back({ "AVX-512",
                         NePhiPointsTogether<TReal>(64),
                         NePhiKernels::AVX512::Evaluate<TReal, VDimension, 1>,
                         NePhiKernels::AVX512::Evaluate<TReal, VDimension, 1 + VDimension>,
                         NePhiKernels::AVX512::AddSplines<TReal, VDimension, 1> });
      }
#endif
      return sets;
    }();
    return all;
  }
};

/** \class NePhiField
 * \brief Evaluates a neural deformation field, and its Jacobian by forward differentiation.
 *
 * With x the coords clamped to the box |x_i| <= extent_i, the frequencies B, and the latent codes z_g and z_l:
 *
 *     e  = [sin(2 pi x B), cos(2 pi x B)]      s   = [z_g, z_l(x), e]
 *     m0 = sin(30 (A0 s + a0))                 m_k = sin(30 (A_k m_{k-1} + a_k)) + m0
 *     h0 = sin(W0 e + b0)                      h_k = m_k * sin(30 (W_k h_{k-1} + b_k))
 *     u  = W_out h_L + b_out + sum_n S_n(x)
 *
 * z_l(x) is interpolated multilinearly on a grid whose corners are the corners of the box. S_n are uniform cubic
 * B-splines of displacements over the box, see NePhiSpline.
 *
 * The order of the weights is W0, b0, W_1, b_1 ... W_L, b_L, W_out, b_out, A0, a0, A_1, a_1 ... A_L, a_L, matrices
 * row-major [output][input]. The local code is in the order of a VectorImage buffer: channels innermost, then i, j, k.
 *
 * The layers and the splines are computed in the precision TReal, the position in the grids of the local code and of
 * the splines and the phases 2 pi x B in double precision.
 *
 * Evaluation is thread-safe, allocates only when a thread first evaluates a larger field than before, and gives the
 * same bits for the same point, alone or among others, in whatever order points come.
 *
 * \ingroup NePhi
 */
template <typename TReal, unsigned int VDimension>
class NePhiField
{
public:
  using ShapeType = NePhiFieldShape<VDimension>;
  using CoordsType = std::array<double, VDimension>;
  using KernelsType = NePhiKernelSet<TReal, VDimension>;

  NePhiField() = default;

  template <typename TSource>
  NePhiField(const ShapeType &  shape,
             const CoordsType & extent,
             const double *     frequencies,
             const TSource *    weights,
             const TSource *    globalCode,
             const TSource *    localCode)
  {
    constexpr double  omega = 30.0;
    const std::size_t embedding = 2 * shape.Frequencies;
    const std::size_t padded = NePhiAffineLayer<TReal>::Pad(shape.Frequencies);

    m_Packed.Extent = extent;
    m_Packed.Grid = shape.LocalCodeGrid;
    m_Packed.Channels = shape.LocalCodeChannels;
    m_Packed.Frequencies = shape.Frequencies;
    m_Packed.Depth = shape.Depth;
    m_Packed.FrequencyMatrix.assign(VDimension * padded, 0.0);
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      for (std::size_t f = 0; f < shape.Frequencies; ++f)
      {
        m_Packed.FrequencyMatrix[d * padded + f] = frequencies[d * shape.Frequencies + f];
      }
    }
    m_Packed.LocalCode.reserve(shape.GetLocalCodeSize() + NePhiAffineLayer<TReal>::Tile);
    m_Packed.LocalCode.assign(localCode, localCode + shape.GetLocalCodeSize());
    m_Packed.LocalCode.resize(shape.GetLocalCodeSize() + NePhiAffineLayer<TReal>::Tile);

    weights = m_Packed.Synthesis.emplace_back().Pack(weights, shape.Width, embedding, 1.0);
    for (std::size_t k = 0; k < shape.Depth; ++k)
    {
      weights = m_Packed.Synthesis.emplace_back().Pack(weights, shape.Width, shape.Width, omega);
    }
    weights = m_Packed.Output.Pack(weights, VDimension, shape.Width, 1.0);
    weights = m_Packed.Modulation.emplace_back().Pack(
      weights, shape.Width, shape.LocalCodeChannels + embedding, omega, globalCode, shape.GlobalCodeSize);
    for (std::size_t k = 0; k < shape.Depth; ++k)
    {
      weights = m_Packed.Modulation.emplace_back().Pack(weights, shape.Width, shape.Width, omega);
    }
  }

  /** Takes over the splines, which are zero before; their coefficients one after the other. */
  template <typename TSource>
  void
  SetSplines(const ShapeType & shape, const TSource * coefficients)
  {
    m_Packed.Splines.clear();
    for (const auto & cells : shape.SplineCells)
    {
      m_Packed.Splines.emplace_back(cells, m_Packed.Extent.data());
    }
    m_Packed.SplineCoefficients.assign(coefficients, coefficients + shape.GetSplinesSize());
  }

  /** How many points are best evaluated together. */
  static std::size_t
  GetPointsTogether()
  {
    return KernelsType::GetAll().back().PointsTogether;
  }

  /** Writes the displacements, [point][D], at the given coords, [point][D]; both in coords. */
  void
  Evaluate(std::size_t         count,
           const double *      coords,
           double *            displacements,
           const KernelsType & kernels = KernelsType::GetAll().back()) const
  {
    kernels.Evaluate(m_Packed, count, coords, displacements, nullptr);
  }

  /** Writes also their derivatives d u_i / d x_j, [point][i][j]; those by x_j are zero where x_j is outside the box. */
  void
  EvaluateWithJacobian(std::size_t         count,
                       const double *      coords,
                       double *            displacements,
                       double *            jacobians,
                       const KernelsType & kernels = KernelsType::GetAll().back()) const
  {
    kernels.EvaluateWithJacobian(m_Packed, count, coords, displacements, jacobians);
  }

  /** Adds the splines alone to displacements. */
  void
  AddSplines(std::size_t count, const double * coords, double * displacements) const
  {
    KernelsType::GetAll().back().AddSplines(m_Packed, count, coords, displacements, nullptr);
  }

private:
  NePhiPackedField<TReal, VDimension> m_Packed{};
};

} // namespace itk
#endif
