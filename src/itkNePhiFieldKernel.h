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

// The inner loops of itkNePhiField.h, which includes this file once for each instruction set: with the compiler's
// target set to it, ITK_NEPHI_TARGET naming it and ITK_NEPHI_VECTOR_BYTES telling the size of its registers. Hence no
// include guard, and nothing here but what is compiled for that instruction set.

namespace itk
{
namespace NePhiKernels
{
namespace ITK_NEPHI_TARGET
{

/** A register of numbers, the same in memory, and the integers with the same bits. */
template <typename TReal>
struct Vector
{
  static constexpr std::size_t Lanes = ITK_NEPHI_VECTOR_BYTES / sizeof(TReal);
  using IntegerType = std::conditional_t<sizeof(TReal) == 4, std::int32_t, std::int64_t>;

  typedef TReal Type __attribute__((vector_size(ITK_NEPHI_VECTOR_BYTES)));
  typedef TReal MemoryType __attribute__((vector_size(ITK_NEPHI_VECTOR_BYTES), aligned(alignof(TReal)), may_alias));
  typedef IntegerType BitsType __attribute__((vector_size(ITK_NEPHI_VECTOR_BYTES)));

  static const MemoryType &
  At(const TReal * position)
  {
    return *reinterpret_cast<const MemoryType *>(position);
  }
  static MemoryType &
  At(TReal * position)
  {
    return *reinterpret_cast<MemoryType *>(position);
  }
};

/** Sines and cosines of size numbers, a multiple of the number of lanes; the cosines only if they are asked for.
 *
 * x = n pi + r with r in [-pi/2, pi/2]; then Taylor series in r, up to r^11 and r^12 in single precision, r^19 and
 * r^20 in double. The absolute error is below 2e-7 for |x| up to 1e4 (float), 2e-15 for |x| up to 1e6 (double).
 * Beyond, the value is that at the end of this range.
 */
template <bool VCosine, typename TReal>
inline void
SineAndCosine(const TReal * angles, TReal * sines, TReal * cosines, std::size_t size)
{
  using V = Vector<TReal>;
  constexpr bool  isSingle = sizeof(TReal) == 4;
  constexpr int   terms = isSingle ? 5 : 9;
  constexpr TReal range = static_cast<TReal>(isSingle ? 1e4 : 1e6);
  // Adding this number leaves the nearest integer in the lowest bits of the sum.
  constexpr TReal round = static_cast<TReal>(isSingle ? 12582912.0 : 6755399441055744.0);
  // The first two parts of pi are short: their products with n are exact.
  constexpr TReal pi[3] = { static_cast<TReal>(isSingle ? 3.140625 : 3.1415926534682512),
                            static_cast<TReal>(isSingle ? 9.67502593994140625e-4 : 1.2154201012607932e-10),
                            static_cast<TReal>(isSingle ? 1.509957990978376432e-7 : 4.044532497591901e-21) };
  constexpr int   signBit = 8 * sizeof(TReal) - 1;
  // 1 / n! for n = 3, 5 ... and 4, 6 ..., with alternating signs.
  constexpr double sineTerms[9] = { -1.6666666666666667e-01, 8.3333333333333333e-03,  -1.9841269841269841e-04,
                                    2.7557319223985893e-06,  -2.5052108385441720e-08, 1.6059043836821613e-10,
                                    -7.6471637318198164e-13, 2.8114572543455206e-15,  -8.2206352466243297e-18 };
  constexpr double cosineTerms[9] = { 4.1666666666666664e-02,  -1.3888888888888889e-03, 2.4801587301587302e-05,
                                      -2.7557319223985888e-07, 2.0876756987868100e-09,  -1.1470745597729725e-11,
                                      4.7794773323873853e-14,  -1.5619206968586225e-16, 4.1103176233121648e-19 };

  for (std::size_t i = 0; i < size; i += V::Lanes)
  {
    const typename V::Type most = range - typename V::Type{};
    typename V::Type       x = V::At(angles + i);
    x = x < -most ? -most : x;
    x = x > most ? most : x;

    const typename V::Type     rounded = x * static_cast<TReal>(0.31830988618379067154) + round;
    const typename V::Type     n = rounded - round;
    const typename V::Type     r = ((x - n * pi[0]) - n * pi[1]) - n * pi[2];
    const typename V::Type     s = r * r;
    const typename V::BitsType sign = reinterpret_cast<typename V::BitsType>(rounded) << signBit;

    typename V::Type sum = static_cast<TReal>(sineTerms[terms - 1]) - typename V::Type{};
    for (int t = terms - 2; t >= 0; --t)
    {
      sum = sum * s + static_cast<TReal>(sineTerms[t]);
    }
    const typename V::Type     sine = r + (r * s) * sum;
    const typename V::BitsType signedSine = reinterpret_cast<typename V::BitsType>(sine) ^ sign;
    V::At(sines + i) = reinterpret_cast<typename V::Type>(signedSine);

    if constexpr (VCosine)
    {
      sum = static_cast<TReal>(cosineTerms[terms - 1]) - typename V::Type{};
      for (int t = terms - 2; t >= 0; --t)
      {
        sum = sum * s + static_cast<TReal>(cosineTerms[t]);
      }
      const typename V::Type     cosine = (sum * s - static_cast<TReal>(0.5)) * s + static_cast<TReal>(1.0);
      const typename V::BitsType signedCosine = reinterpret_cast<typename V::BitsType>(cosine) ^ sign;
      V::At(cosines + i) = reinterpret_cast<typename V::Type>(signedCosine);
    }
  }
}

/** A point on the boundary may be computed to lie slightly outside; so far it gets the derivative from within. */
constexpr double Tolerance = 1e-6;

/** Evaluates VPoints points together. Numbers of a feature lie side by side: [feature][point].
 *
 * Column 0 holds the values, columns 1 to D the derivatives by each coordinate. Every number is computed by the same
 * operations in the same order whatever VPoints is, so that a point gets the same bits alone and among others.
 */
template <typename TReal, unsigned int VDimension, unsigned int VColumns, std::size_t VPoints>
class Block
{
  using V = Vector<TReal>;
  using VectorType = typename V::Type;
  using FieldType = NePhiPackedField<TReal, VDimension>;
  using LayerType = NePhiAffineLayer<TReal>;
  static constexpr std::size_t Tile = LayerType::Tile;

public:
  /** Coords, displacements: [point][D]. Jacobians: [point][D][D], null without derivatives. */
  static void
  Evaluate(const FieldType & field, const double * coords, double * displacements, double * jacobians)
  {
    const std::size_t inputs = field.Channels + 2 * field.Frequencies;
    const std::size_t width = field.Output.Inputs;
    const std::size_t rows = VPoints == 1 ? LayerType::Pad(width) : (width + 3) / 4 * 4;
    const std::size_t stride = (inputs + 4 * rows) * VPoints;
    TReal * const     input = NePhiScratch<TReal>(VColumns * stride + rows * VPoints + field.GetPointScratchSize());
    TReal * const     embedding = input + field.Channels * VPoints;
    TReal * const     firstGate = input + inputs * VPoints;
    TReal * const     gate = firstGate + rows * VPoints;
    TReal * const     hidden = gate + rows * VPoints;
    TReal * const     next = hidden + rows * VPoints;
    TReal * const     slope = input + VColumns * stride;
    TReal * const     pointScratch = slope + rows * VPoints;
    const std::size_t size = rows * VPoints;

    double points[VDimension][VPoints];
    for (std::size_t p = 0; p < VPoints; ++p)
    {
      double clamped[VDimension];
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        const double x = coords[p * VDimension + d];
        clamped[d] = x > -field.Extent[d] ? (x < field.Extent[d] ? x : field.Extent[d]) : -field.Extent[d];
      }
      InterpolateLocalCode(field, clamped, input + p, stride, pointScratch);
      if constexpr (VPoints == 1)
      {
        Embed(field, clamped, embedding + p, stride, pointScratch);
      }
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        points[d][p] = clamped[d];
      }
    }
    if constexpr (VPoints > 1)
    {
      EmbedPoints(field, points, embedding, stride);
    }

    Apply(field.Modulation[0], input, firstGate, stride);
    Activate(firstGate, slope, size, stride);
    for (unsigned int c = 0; c < VColumns; ++c)
    {
      for (std::size_t i = 0; i < size; i += V::Lanes)
      {
        V::At(gate + c * stride + i) = V::At(firstGate + c * stride + i);
      }
    }
    Apply(field.Synthesis[0], embedding, hidden, stride);
    Activate(hidden, slope, size, stride);

    for (std::size_t k = 1; k <= field.Depth; ++k)
    {
      Apply(field.Modulation[k], gate, next, stride);
      Activate(next, slope, size, stride);
      for (unsigned int c = 0; c < VColumns; ++c)
      {
        for (std::size_t i = c * stride; i < c * stride + size; i += V::Lanes)
        {
          V::At(gate + i) = V::At(next + i) + V::At(firstGate + i);
        }
      }
      Apply(field.Synthesis[k], hidden, next, stride);
      Activate(next, slope, size, stride);
      for (std::size_t i = 0; i < size; i += V::Lanes)
      {
        for (unsigned int c = 1; c < VColumns; ++c)
        {
          const VectorType product = V::At(gate + i) * V::At(next + c * stride + i);
          V::At(hidden + c * stride + i) = V::At(gate + c * stride + i) * V::At(next + i) + product;
        }
        V::At(hidden + i) = V::At(gate + i) * V::At(next + i);
      }
    }
    Apply(field.Output, hidden, next, stride);

    for (std::size_t p = 0; p < VPoints; ++p)
    {
      for (unsigned int i = 0; i < VDimension; ++i)
      {
        displacements[p * VDimension + i] = next[i * VPoints + p];
        for (unsigned int j = 0; j + 1 < VColumns; ++j)
        {
          const double x = coords[p * VDimension + j];
          const bool   isInside = (x < 0.0 ? -x : x) <= field.Extent[j] * (1.0 + Tolerance);
          jacobians[(p * VDimension + i) * VDimension + j] =
            isInside ? next[(j + 1) * stride + i * VPoints + p] : TReal{};
        }
      }
    }
  }

private:
  /** Applies the map to the values and its matrix to the derivatives. */
  static void
  Apply(const LayerType & layer, const TReal * x, TReal * y, std::size_t stride)
  {
    for (unsigned int c = 0; c < VColumns; ++c)
    {
      if constexpr (VPoints == 1)
      {
        std::size_t begin = 0;
        for (; begin + 4 * Tile <= layer.Bias.size(); begin += 4 * Tile)
        {
          ApplyToPoint<4>(layer, begin, c == 0, x + c * stride, y + c * stride);
        }
        for (; begin < layer.Bias.size(); begin += Tile)
        {
          ApplyToPoint<1>(layer, begin, c == 0, x + c * stride, y + c * stride);
        }
      }
      else
      {
        for (std::size_t begin = 0; begin < layer.Outputs; begin += 4)
        {
          ApplyToPoints(layer, begin, c == 0, x + c * stride, y + c * stride);
        }
      }
    }
  }

  /** Computes some tiles of outputs of one point: outputs in lanes. */
  template <std::size_t VTiles>
  static void
  ApplyToPoint(const LayerType & layer, std::size_t begin, bool hasBias, const TReal * x, TReal * y)
  {
    constexpr std::size_t vectors = Tile / V::Lanes;
    const std::size_t     tileSize = layer.Inputs * Tile;
    const TReal *         weights = layer.Matrix.data() + begin * layer.Inputs;
    VectorType            sums[VTiles][vectors];
    for (std::size_t t = 0; t < VTiles; ++t)
    {
      for (std::size_t v = 0; v < vectors; ++v)
      {
        sums[t][v] = hasBias ? V::At(layer.Bias.data() + begin + t * Tile + v * V::Lanes) : VectorType{};
      }
    }
    for (std::size_t i = 0; i < layer.Inputs; ++i, weights += Tile)
    {
      for (std::size_t t = 0; t < VTiles; ++t)
      {
        for (std::size_t v = 0; v < vectors; ++v)
        {
          sums[t][v] += V::At(weights + t * tileSize + v * V::Lanes) * x[i];
        }
      }
    }
    for (std::size_t t = 0; t < VTiles; ++t)
    {
      for (std::size_t v = 0; v < vectors; ++v)
      {
        V::At(y + begin + t * Tile + v * V::Lanes) = sums[t][v];
      }
    }
  }

  /** Computes four outputs of all points: points in lanes. */
  static void
  ApplyToPoints(const LayerType & layer, std::size_t begin, bool hasBias, const TReal * x, TReal * y)
  {
    constexpr std::size_t vectors = VPoints / V::Lanes;
    const TReal *         weights = layer.Matrix.data() + (begin / Tile) * layer.Inputs * Tile + begin % Tile;
    VectorType            sums[4][vectors];
    for (std::size_t o = 0; o < 4; ++o)
    {
      for (std::size_t v = 0; v < vectors; ++v)
      {
        sums[o][v] = (hasBias ? layer.Bias[begin + o] : TReal{}) - VectorType{};
      }
    }
    for (std::size_t i = 0; i < layer.Inputs; ++i, weights += Tile, x += VPoints)
    {
      VectorType values[vectors];
      for (std::size_t v = 0; v < vectors; ++v)
      {
        values[v] = V::At(x + v * V::Lanes);
      }
      for (std::size_t o = 0; o < 4; ++o)
      {
        for (std::size_t v = 0; v < vectors; ++v)
        {
          sums[o][v] += values[v] * weights[o];
        }
      }
    }
    for (std::size_t o = 0; o < 4; ++o)
    {
      for (std::size_t v = 0; v < vectors; ++v)
      {
        V::At(y + (begin + o) * VPoints + v * V::Lanes) = sums[o][v];
      }
    }
  }

  /** The values become their sines, the derivatives are multiplied by the cosines. */
  static void
  Activate(TReal * y, TReal * slope, std::size_t size, std::size_t stride)
  {
    SineAndCosine<(VColumns > 1)>(y, y, slope, size);
    for (unsigned int c = 1; c < VColumns; ++c)
    {
      for (std::size_t i = 0; i < size; i += V::Lanes)
      {
        V::At(y + c * stride + i) *= V::At(slope + i);
      }
    }
  }

  /** Writes z_l(x), and its derivatives, of one point. */
  static void
  InterpolateLocalCode(const FieldType & field, const double * x, TReal * y, std::size_t stride, TReal * channels)
  {
    constexpr unsigned int vertices = 1u << VDimension;
    constexpr std::size_t  vectors = Tile / V::Lanes;
    const std::size_t      padded = LayerType::Pad(field.Channels);
    std::size_t            corner = 0;
    std::size_t            step[VDimension];
    double                 weight[VDimension][2];
    double                 slope[VDimension];
    std::size_t            size = field.Channels;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      const double      cells = static_cast<double>(field.Grid[d] - 1);
      const double      position = (x[d] / field.Extent[d] + 1.0) / 2.0 * cells;
      const std::size_t floor = static_cast<std::size_t>(position);
      const std::size_t cell = floor < field.Grid[d] - 1 ? floor : field.Grid[d] - 2;
      weight[d][1] = position - static_cast<double>(cell);
      weight[d][0] = 1.0 - weight[d][1];
      slope[d] = cells / (2.0 * field.Extent[d]);
      step[d] = size;
      corner += cell * size;
      size *= field.Grid[d];
    }
    for (unsigned int c = 0; c < VColumns; ++c)
    {
      const TReal * codes[vertices];
      TReal         factors[vertices];
      for (unsigned int n = 0; n < vertices; ++n)
      {
        codes[n] = field.LocalCode.data() + corner;
        double factor = 1.0;
        for (unsigned int d = 0; d < VDimension; ++d)
        {
          const unsigned int upper = (n >> d) & 1u;
          codes[n] += upper * step[d];
          factor *= (c == d + 1) ? (upper ? slope[d] : -slope[d]) : weight[d][upper];
        }
        factors[n] = static_cast<TReal>(factor);
      }
      // The last tile also holds numbers of the next vertex, which nothing reads.
      for (std::size_t begin = 0; begin < padded; begin += Tile)
      {
        VectorType sums[vectors]{};
        for (unsigned int n = 0; n < vertices; ++n)
        {
          for (std::size_t v = 0; v < vectors; ++v)
          {
            sums[v] += factors[n] * V::At(codes[n] + begin + v * V::Lanes);
          }
        }
        for (std::size_t v = 0; v < vectors; ++v)
        {
          V::At(channels + begin + v * V::Lanes) = sums[v];
        }
      }
      for (std::size_t i = 0; i < field.Channels; ++i)
      {
        y[c * stride + i * VPoints] = channels[i];
      }
    }
  }

  /** As Embed(), of all points. */
  static void
  EmbedPoints(const FieldType & field, const double (&x)[VDimension][VPoints], TReal * y, std::size_t stride)
  {
    constexpr double  twoPi = 6.283185307179586;
    constexpr double  round = 6755399441055744.0;
    const std::size_t size = field.Frequencies;
    const std::size_t padded = LayerType::Pad(size);
    for (std::size_t f = 0; f < size; ++f)
    {
      TReal * const sines = y + f * VPoints;
      TReal * const cosines = y + (size + f) * VPoints;
      for (std::size_t p = 0; p < VPoints; ++p)
      {
        double turns = 0.0;
        for (unsigned int d = 0; d < VDimension; ++d)
        {
          turns += x[d][p] * field.FrequencyMatrix[d * padded + f];
        }
        sines[p] = static_cast<TReal>(twoPi * (turns - ((turns + round) - round)));
      }
      SineAndCosine<true>(sines, sines, cosines, VPoints);
      for (unsigned int c = 1; c < VColumns; ++c)
      {
        const TReal factor = static_cast<TReal>(twoPi * field.FrequencyMatrix[(c - 1) * padded + f]);
        for (std::size_t p = 0; p < VPoints; ++p)
        {
          sines[c * stride + p] = factor * cosines[p];
          cosines[c * stride + p] = -factor * sines[p];
        }
      }
    }
  }

  /** Writes e, and its derivatives, of one point. The phases are in double precision, where they are largest. */
  static void
  Embed(const FieldType & field, const double * x, TReal * y, std::size_t stride, TReal * angles)
  {
    constexpr double  twoPi = 6.283185307179586;
    constexpr double  round = 6755399441055744.0;
    const std::size_t size = field.Frequencies;
    const std::size_t padded = LayerType::Pad(size);
    TReal * const     sines = angles + padded;
    TReal * const     cosines = sines + padded;
    for (std::size_t f = 0; f < padded; ++f)
    {
      double turns = 0.0;
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        turns += x[d] * field.FrequencyMatrix[d * padded + f];
      }
      angles[f] = static_cast<TReal>(twoPi * (turns - ((turns + round) - round)));
    }
    SineAndCosine<true>(angles, sines, cosines, padded);
    for (std::size_t f = 0; f < size; ++f)
    {
      y[f * VPoints] = sines[f];
      y[(size + f) * VPoints] = cosines[f];
    }
    for (unsigned int c = 1; c < VColumns; ++c)
    {
      TReal * const derivative = y + c * stride;
      for (std::size_t f = 0; f < size; ++f)
      {
        const TReal factor = static_cast<TReal>(twoPi * field.FrequencyMatrix[(c - 1) * padded + f]);
        derivative[f * VPoints] = factor * cosines[f];
        derivative[(size + f) * VPoints] = -factor * sines[f];
      }
    }
  }
};

/** Adds all splines of a field. */
template <typename TReal, unsigned int VDimension, unsigned int VColumns>
void
AddSplines(const NePhiPackedField<TReal, VDimension> & field,
           std::size_t                                 count,
           const double *                              coords,
           double *                                    displacements,
           double *                                    jacobians)
{
  const TReal * coefficients = field.SplineCoefficients.data();
  for (const auto & spline : field.Splines)
  {
    AddSpline<TReal, double, VDimension, VColumns>(
      spline, coefficients, Tolerance, count, coords, displacements, jacobians);
    coefficients += spline.GetSize();
  }
}

/** Evaluates the network at any number of points, block by block. */
template <typename TReal, unsigned int VDimension, unsigned int VColumns>
void
EvaluateNetwork(const NePhiPackedField<TReal, VDimension> & field,
                std::size_t                                 count,
                const double *                              coords,
                double *                                    displacements,
                double *                                    jacobians)
{
  constexpr std::size_t points = NePhiPointsTogether<TReal>(ITK_NEPHI_VECTOR_BYTES);
  // A block costs about as much as so many points one by one.
  constexpr std::size_t few = points / 6;
  constexpr std::size_t square = VDimension * VDimension;
  std::size_t           n = 0;
  for (; count - n > few; n += points)
  {
    double * jacobian = VColumns > 1 ? jacobians + n * square : nullptr;
    if (count - n >= points)
    {
      Block<TReal, VDimension, VColumns, points>::Evaluate(
        field, coords + n * VDimension, displacements + n * VDimension, jacobian);
      continue;
    }
    const std::size_t rest = count - n;
    double            lastCoords[points * VDimension];
    double            lastDisplacements[points * VDimension];
    double            lastJacobians[points * square];
    for (std::size_t i = 0; i < points * VDimension; ++i)
    {
      lastCoords[i] = i < rest * VDimension ? coords[n * VDimension + i] : 0.0;
    }
    Block<TReal, VDimension, VColumns, points>::Evaluate(field, lastCoords, lastDisplacements, lastJacobians);
    for (std::size_t i = 0; i < rest * VDimension; ++i)
    {
      displacements[n * VDimension + i] = lastDisplacements[i];
    }
    for (std::size_t i = 0; VColumns > 1 && i < rest * square; ++i)
    {
      jacobian[i] = lastJacobians[i];
    }
    return;
  }
  for (; n < count; ++n)
  {
    Block<TReal, VDimension, VColumns, 1>::Evaluate(
      field, coords + n * VDimension, displacements + n * VDimension, VColumns > 1 ? jacobians + n * square : nullptr);
  }
}

/** Evaluates a field. */
template <typename TReal, unsigned int VDimension, unsigned int VColumns>
void
Evaluate(const NePhiPackedField<TReal, VDimension> & field,
         std::size_t                                 count,
         const double *                              coords,
         double *                                    displacements,
         double *                                    jacobians)
{
  EvaluateNetwork<TReal, VDimension, VColumns>(field, count, coords, displacements, jacobians);
  AddSplines<TReal, VDimension, VColumns>(field, count, coords, displacements, jacobians);
}

} // namespace ITK_NEPHI_TARGET
} // namespace NePhiKernels
} // namespace itk
