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

#include "itkNePhiFieldLayout.h"

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
 * The second coefficient along an axis belongs to the begin of the box; for their order see NePhiFieldLayout.
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

  /** The number of numbers in its coefficients. */
  std::size_t
  GetSize() const
  {
    return NePhiFieldLayout<VDimension>::GetSplineSize(Cells);
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

  /** Takes scale (M [code, x] + b) as a map of x alone; the weights are those of the whole field. */
  template <typename TSource>
  void
  Pack(const NePhiFieldLayer & layer, const TSource * weights, const TSource * code = nullptr, std::size_t codeSize = 0)
  {
    const std::size_t row = layer.Inputs;
    const double      scale = layer.Scale;
    weights += layer.Offset;
    const TSource * const bias = weights + layer.Outputs * row;
    Inputs = row - codeSize;
    Outputs = layer.Outputs;
    Matrix.assign(Pad(Outputs) * Inputs, TReal{});
    Bias.assign(Pad(Outputs), TReal{});
    for (std::size_t o = 0; o < Outputs; ++o)
    {
      double sum = bias[o];
      for (std::size_t i = 0; i < codeSize; ++i)
      {
        sum += static_cast<double>(weights[o * row + i]) * code[i];
      }
      Bias[o] = static_cast<TReal>(scale * sum);
      for (std::size_t i = 0; i < Inputs; ++i)
      {
        Matrix[((o / Tile) * Inputs + i) * Tile + o % Tile] =
          static_cast<TReal>(scale * weights[o * row + codeSize + i]);
      }
    }
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
 * The layers are those of NePhiFieldLayout, whose output is the synthesis' last: W0, W_1 ... W_L, W_out, A0, A_1 ...
 * A_L.
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
  using LayoutType = NePhiFieldLayout<VDimension>;
  using CoordsType = std::array<double, VDimension>;
  using KernelsType = NePhiKernelSet<TReal, VDimension>;

  NePhiField() = default;

  template <typename TSource>
  NePhiField(const LayoutType & layout,
             const CoordsType & extent,
             const double *     frequencies,
             const TSource *    weights,
             const TSource *    globalCode,
             const TSource *    localCode)
  {
    const std::size_t padded = NePhiAffineLayer<TReal>::Pad(layout.Frequencies);

    m_Packed.Extent = extent;
    m_Packed.Grid = layout.LocalCodeGrid;
    m_Packed.Channels = layout.LocalCodeChannels;
    m_Packed.Frequencies = layout.Frequencies;
    m_Packed.Depth = layout.Depth;
    m_Packed.FrequencyMatrix.assign(VDimension * padded, 0.0);
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      for (std::size_t f = 0; f < layout.Frequencies; ++f)
      {
        m_Packed.FrequencyMatrix[d * padded + f] = frequencies[d * layout.Frequencies + f];
      }
    }
    m_Packed.LocalCode.reserve(layout.GetLocalCodeSize() + NePhiAffineLayer<TReal>::Tile);
    m_Packed.LocalCode.assign(localCode, localCode + layout.GetLocalCodeSize());
    m_Packed.LocalCode.resize(layout.GetLocalCodeSize() + NePhiAffineLayer<TReal>::Tile);

    const auto        layers = layout.GetLayers();
    const std::size_t output = layout.GetOutputLayer();
    const std::size_t modulation = layout.GetModulationLayer();
    for (std::size_t k = 0; k <= layout.Depth; ++k)
    {
      m_Packed.Synthesis.emplace_back().Pack(layers[k], weights);
      const bool isFirst = k == 0;
      m_Packed.Modulation.emplace_back().Pack(
        layers[modulation + k], weights, globalCode, isFirst ? layout.GlobalCodeSize : 0);
    }
    m_Packed.Output.Pack(layers[output], weights);
  }

  /** Takes over the splines, which are zero before; their coefficients one after the other. */
  template <typename TSource>
  void
  SetSplines(const LayoutType & layout, const TSource * coefficients)
  {
    m_Packed.Splines.clear();
    for (const auto & cells : layout.SplineCells)
    {
      m_Packed.Splines.emplace_back(cells, m_Packed.Extent.data());
    }
    m_Packed.SplineCoefficients.assign(coefficients, coefficients + layout.GetSplinesSize());
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
