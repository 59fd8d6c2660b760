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

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#if defined(__GNUC__) && defined(__x86_64__)
#  define ITK_NEPHI_X86_DISPATCH
#endif

namespace itk
{
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

  bool
  operator==(const NePhiFieldShape & other) const
  {
    return Width == other.Width && Depth == other.Depth && Frequencies == other.Frequencies &&
           GlobalCodeSize == other.GlobalCodeSize && LocalCodeChannels == other.LocalCodeChannels &&
           LocalCodeGrid == other.LocalCodeGrid;
  }
};

/** Sine (VQuarters = 0) or cosine (VQuarters = 1) without branches, so that loops over it vectorise.
 *
 * Reduces x to r = x - n pi with r in [-pi/2, pi/2], then sums the Taylor series of the sine up to r^19. The absolute
 * error is below 1e-15 for |x| up to 1e6; beyond, the value is that at +-1e6.
 */
template <int VQuarters>
inline double
NePhiSine(double x)
{
  constexpr double range = 1e6;
  x = x < -range ? -range : x;
  x = x > range ? range : x;

  // Adding and subtracting this number rounds to the nearest integer.
  constexpr double round = 6755399441055744.0;
  constexpr double inversePi = 0.31830988618379067154;
  constexpr double shift = 0.5 * VQuarters;
  const double     turns = (x * inversePi - shift + round) - round;
  const double     n = turns + shift;

  // The first two parts of pi are short: their products with n are exact.
  const double r = ((x - n * 3.1415926534682512) - n * 1.2154201012607932e-10) - n * 4.044532497591901e-21;
  const double s = r * r;
  double       sum = -8.2206352466243297e-18;
  sum = sum * s + 2.8114572543455206e-15;
  sum = sum * s - 7.6471637318198164e-13;
  sum = sum * s + 1.6059043836821613e-10;
  sum = sum * s - 2.5052108385441720e-08;
  sum = sum * s + 2.7557319223985893e-06;
  sum = sum * s - 1.9841269841269841e-04;
  sum = sum * s + 8.3333333333333333e-03;
  sum = sum * s - 1.6666666666666667e-01;
  const double sine = r + r * s * sum;

  const double odd = turns - 2.0 * ((0.5 * turns + round) - round); // -1, 0 or 1
  const double sign = 1.0 - 2.0 * odd * odd;
  return (VQuarters == 0 ? sign : -sign) * sine;
}

/** \class NePhiField
 * \brief Evaluates a neural deformation field, and its Jacobian by forward differentiation, one point at a time.
 *
 * With x the coords clamped to the box |x_i| <= extent_i, the frequencies B, and the latent codes z_g and z_l:
 *
 *     e  = [sin(2 pi x B), cos(2 pi x B)]      s   = [z_g, z_l(x), e]
 *     m0 = sin(30 (A0 s + a0))                 m_k = sin(30 (A_k m_{k-1} + a_k)) + m0
 *     h0 = sin(W0 e + b0)                      h_k = m_k * sin(30 (W_k h_{k-1} + b_k))
 *     u  = W_out h_L + b_out
 *
 * z_l(x) is interpolated multilinearly on a grid whose corners are the corners of the box.
 *
 * The order of the weights is W0, b0, W_1, b_1 ... W_L, b_L, W_out, b_out, A0, a0, A_1, a_1 ... A_L, a_L, matrices
 * row-major [output][input]. The local code is in the order of a VectorImage buffer: channels innermost, then i, j, k.
 *
 * Evaluation is thread-safe, allocates only when a thread first evaluates a larger field than before, and gives the
 * same bits for the same point in whatever order points come.
 *
 * \ingroup NePhi
 */
template <unsigned int VDimension>
class NePhiField
{
public:
  using ShapeType = NePhiFieldShape<VDimension>;
  using CoordsType = std::array<double, VDimension>;
  using JacobianType = std::array<std::array<double, VDimension>, VDimension>;

  NePhiField() = default;

  template <typename TSource>
  NePhiField(const ShapeType &  shape,
             const CoordsType & extent,
             const double *     frequencies,
             const TSource *    weights,
             const TSource *    globalCode,
             const TSource *    localCode)
    : m_Shape(shape)
    , m_Extent(extent)
    , m_Frequencies(frequencies, frequencies + VDimension * shape.Frequencies)
    , m_LocalCode(localCode, localCode + shape.GetLocalCodeSize())
  {
    constexpr double  omega = 30.0;
    const std::size_t embedding = 2 * shape.Frequencies;
    const std::size_t local = shape.LocalCodeChannels + embedding;

    weights = m_Synthesis.emplace_back().Pack(weights, shape.Width, embedding, 1.0);
    for (std::size_t k = 0; k < shape.Depth; ++k)
    {
      weights = m_Synthesis.emplace_back().Pack(weights, shape.Width, shape.Width, omega);
    }
    weights = m_Output.Pack(weights, VDimension, shape.Width, 1.0);
    weights = m_Modulation.emplace_back().Pack(weights, shape.Width, local, omega, globalCode, shape.GlobalCodeSize);
    for (std::size_t k = 0; k < shape.Depth; ++k)
    {
      weights = m_Modulation.emplace_back().Pack(weights, shape.Width, shape.Width, omega);
    }
  }

  /** Displacement at the given coords, in coords. */
  CoordsType
  Evaluate(const CoordsType & coords) const
  {
    CoordsType displacement;
    this->Dispatch<1>(coords, displacement, nullptr);
    return displacement;
  }

  /** Displacement and its Jacobian d u_i / d x_j; the column j is zero where x_j is outside the box. */
  CoordsType
  Evaluate(const CoordsType & coords, JacobianType & jacobian) const
  {
    CoordsType displacement;
    this->Dispatch<1 + VDimension>(coords, displacement, &jacobian);
    return displacement;
  }

private:
  /** Number of outputs computed together, so that the compiler keeps their sums in registers. */
  static constexpr std::size_t Tile = 32;

  static std::size_t
  PadToTiles(std::size_t size)
  {
    return (size + Tile - 1) / Tile * Tile;
  }

  /** An affine map; its matrix is stored in tiles [output / Tile][input][Tile], the missing outputs as zeros. */
  struct AffineLayer
  {
    std::size_t         Inputs{ 0 };
    std::vector<double> Matrix;
    std::vector<double> Bias;

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
      Matrix.assign(PadToTiles(outputs) * inputs, 0.0);
      Bias.assign(PadToTiles(outputs), 0.0);
      for (std::size_t o = 0; o < outputs; ++o)
      {
        double sum = bias[o];
        for (std::size_t i = 0; i < codeSize; ++i)
        {
          sum += static_cast<double>(weights[o * row + i]) * code[i];
        }
        Bias[o] = scale * sum;
        for (std::size_t i = 0; i < inputs; ++i)
        {
          Matrix[((o / Tile) * inputs + i) * Tile + o % Tile] = scale * weights[o * row + codeSize + i];
        }
      }
      return bias + outputs;
    }

    /** Applies the map to the value in column 0 and the matrix to the derivatives in the other columns. */
    template <unsigned int VColumns>
    void
    Apply(const double * __restrict__ x, double * __restrict__ y, std::size_t stride) const
    {
      for (std::size_t begin = 0; begin < Bias.size(); begin += Tile)
      {
        for (unsigned int c = 0; c < VColumns; ++c)
        {
          double sums[Tile] = {};
          if (c == 0)
          {
            std::copy_n(Bias.data() + begin, Tile, sums);
          }
          const double * row = Matrix.data() + begin * Inputs;
          for (std::size_t i = 0; i < Inputs; ++i, row += Tile)
          {
            for (std::size_t t = 0; t < Tile; ++t)
            {
              sums[t] += row[t] * x[c * stride + i];
            }
          }
          std::copy_n(sums, Tile, y + c * stride + begin);
        }
      }
    }
  };

  /** Column 0 becomes its sine, the derivatives are multiplied by the cosine. */
  template <unsigned int VColumns>
  static void
  Activate(double * __restrict__ y, double * __restrict__ slope, std::size_t size, std::size_t stride)
  {
    if constexpr (VColumns > 1)
    {
      for (std::size_t i = 0; i < size; ++i)
      {
        slope[i] = NePhiSine<1>(y[i]);
      }
      for (unsigned int c = 1; c < VColumns; ++c)
      {
        double * __restrict__ derivative = y + c * stride;
        for (std::size_t i = 0; i < size; ++i)
        {
          derivative[i] *= slope[i];
        }
      }
    }
    for (std::size_t i = 0; i < size; ++i)
    {
      y[i] = NePhiSine<0>(y[i]);
    }
  }

  /** Writes z_l(x), and its derivatives. */
  template <unsigned int VColumns>
  void
  InterpolateLocalCode(const CoordsType & x, double * __restrict__ y, std::size_t stride) const
  {
    const std::size_t channels = m_Shape.LocalCodeChannels;
    std::size_t       corner = 0;
    std::size_t       step[VDimension];
    double            weight[VDimension][2];
    double            slope[VDimension];
    std::size_t       size = channels;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      const double cells = static_cast<double>(m_Shape.LocalCodeGrid[d] - 1);
      const double position = (x[d] / m_Extent[d] + 1.0) / 2.0 * cells;
      const double cell = std::min(static_cast<double>(static_cast<std::size_t>(position)), cells - 1.0);
      weight[d][1] = position - cell;
      weight[d][0] = 1.0 - weight[d][1];
      slope[d] = cells / (2.0 * m_Extent[d]);
      step[d] = size;
      corner += static_cast<std::size_t>(cell) * size;
      size *= m_Shape.LocalCodeGrid[d];
    }
    for (unsigned int c = 0; c < VColumns; ++c)
    {
      std::fill_n(y + c * stride, channels, 0.0);
    }
    for (unsigned int n = 0; n < (1u << VDimension); ++n)
    {
      const double * __restrict__ code = m_LocalCode.data() + corner;
      double factors[1 + VDimension];
      std::fill_n(factors, 1 + VDimension, 1.0);
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        const unsigned int upper = (n >> d) & 1u;
        code += upper * step[d];
        for (unsigned int c = 0; c < VColumns; ++c)
        {
          factors[c] *= (c == d + 1) ? (upper ? slope[d] : -slope[d]) : weight[d][upper];
        }
      }
      for (unsigned int c = 0; c < VColumns; ++c)
      {
        double * __restrict__ column = y + c * stride;
        for (std::size_t i = 0; i < channels; ++i)
        {
          column[i] += factors[c] * code[i];
        }
      }
    }
  }

  /** Writes e, and its derivatives. */
  template <unsigned int VColumns>
  void
  Embed(const CoordsType & x, double * __restrict__ y, std::size_t stride) const
  {
    constexpr double  twoPi = 6.283185307179586;
    const std::size_t size = m_Shape.Frequencies;
    double * __restrict__ cosine = y + size;
    for (std::size_t f = 0; f < size; ++f)
    {
      double phase = 0.0;
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        phase += x[d] * m_Frequencies[d * size + f];
      }
      y[f] = NePhiSine<0>(twoPi * phase);
      cosine[f] = NePhiSine<1>(twoPi * phase);
    }
    for (unsigned int c = 1; c < VColumns; ++c)
    {
      double * __restrict__ derivative = y + c * stride;
      const double * frequencies = m_Frequencies.data() + (c - 1) * size;
      for (std::size_t f = 0; f < size; ++f)
      {
        const double factor = twoPi * frequencies[f];
        derivative[f] = factor * cosine[f];
        derivative[size + f] = -factor * y[f];
      }
    }
  }

  template <unsigned int VColumns>
  void
  Run(const CoordsType & coords, CoordsType & displacement, JacobianType * jacobian) const
  {
    const std::size_t channels = m_Shape.LocalCodeChannels;
    const std::size_t inputs = channels + 2 * m_Shape.Frequencies;
    const std::size_t width = PadToTiles(m_Shape.Width);
    const std::size_t stride = inputs + 4 * width;

    static thread_local std::vector<double> scratch;
    if (scratch.size() < VColumns * stride + width)
    {
      scratch.resize(VColumns * stride + width);
    }
    double * const input = scratch.data();
    double * const firstGate = input + inputs;
    double * const gate = firstGate + width;
    double * const hidden = gate + width;
    double * const next = hidden + width;
    double * const slope = input + VColumns * stride;

    CoordsType x;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      x[d] = std::min(std::max(-m_Extent[d], coords[d]), m_Extent[d]);
    }
    this->InterpolateLocalCode<VColumns>(x, input, stride);
    this->Embed<VColumns>(x, input + channels, stride);

    m_Modulation[0].template Apply<VColumns>(input, firstGate, stride);
    Activate<VColumns>(firstGate, slope, width, stride);
    for (unsigned int c = 0; c < VColumns; ++c)
    {
      std::copy_n(firstGate + c * stride, width, gate + c * stride);
    }
    m_Synthesis[0].template Apply<VColumns>(input + channels, hidden, stride);
    Activate<VColumns>(hidden, slope, width, stride);

    for (std::size_t k = 1; k <= m_Shape.Depth; ++k)
    {
      m_Modulation[k].template Apply<VColumns>(gate, next, stride);
      Activate<VColumns>(next, slope, width, stride);
      for (unsigned int c = 0; c < VColumns; ++c)
      {
        Add(next + c * stride, firstGate + c * stride, gate + c * stride, width);
      }
      m_Synthesis[k].template Apply<VColumns>(hidden, next, stride);
      Activate<VColumns>(next, slope, width, stride);
      for (unsigned int c = 1; c < VColumns; ++c)
      {
        MultiplyAdd(gate, next + c * stride, gate + c * stride, next, hidden + c * stride, width);
      }
      Multiply(gate, next, hidden, width);
    }
    m_Output.template Apply<VColumns>(hidden, next, stride);

    for (unsigned int i = 0; i < VDimension; ++i)
    {
      displacement[i] = next[i];
    }
    if constexpr (VColumns > 1)
    {
      // A point on the boundary may be computed to lie slightly outside; it gets the derivative from within.
      constexpr double tolerance = 1e-6;
      for (unsigned int j = 0; j < VDimension; ++j)
      {
        const bool isInside = std::max(coords[j], -coords[j]) <= m_Extent[j] * (1.0 + tolerance);
        for (unsigned int i = 0; i < VDimension; ++i)
        {
          (*jacobian)[i][j] = isInside ? next[(j + 1) * stride + i] : 0.0;
        }
      }
    }
  }

  static void
  Add(const double * __restrict__ a, const double * __restrict__ b, double * __restrict__ sum, std::size_t size)
  {
    for (std::size_t i = 0; i < size; ++i)
    {
      sum[i] = a[i] + b[i];
    }
  }

  static void
  Multiply(const double * __restrict__ a,
           const double * __restrict__ b,
           double * __restrict__ product,
           std::size_t size)
  {
    for (std::size_t i = 0; i < size; ++i)
    {
      product[i] = a[i] * b[i];
    }
  }

  static void
  MultiplyAdd(const double * __restrict__ a,
              const double * __restrict__ b,
              const double * __restrict__ c,
              const double * __restrict__ d,
              double * __restrict__ sum,
              std::size_t size)
  {
    for (std::size_t i = 0; i < size; ++i)
    {
      sum[i] = a[i] * b[i] + c[i] * d[i];
    }
  }

  template <unsigned int VColumns>
  void
  Dispatch(const CoordsType & coords, CoordsType & displacement, JacobianType * jacobian) const
  {
#ifdef ITK_NEPHI_X86_DISPATCH
    static const bool hasAVX2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (hasAVX2)
    {
      this->RunAVX2<VColumns>(coords, displacement, jacobian);
      return;
    }
#endif
    this->Run<VColumns>(coords, displacement, jacobian);
  }

#ifdef ITK_NEPHI_X86_DISPATCH
  template <unsigned int VColumns>
  __attribute__((flatten, target("avx2,fma"))) void
  RunAVX2(const CoordsType & coords, CoordsType & displacement, JacobianType * jacobian) const
  {
    this->Run<VColumns>(coords, displacement, jacobian);
  }
#endif

  ShapeType                m_Shape{};
  CoordsType               m_Extent{};
  std::vector<double>      m_Frequencies{};
  std::vector<double>      m_LocalCode{};
  std::vector<AffineLayer> m_Synthesis{};
  std::vector<AffineLayer> m_Modulation{};
  AffineLayer              m_Output{};
};

} // namespace itk
#endif
