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

// The inner loops of the cubic B-splines of itkNePhiField.h, which includes this file once for each instruction set, as
// it does with itkNePhiFieldKernel.h. Hence no include guard.

namespace itk
{
namespace NePhiKernels
{
namespace ITK_NEPHI_TARGET
{

/** The share of the 4^D coefficients around a point in a spline and in its derivatives up to VOrder at that point.
 *
 * Four neighbors along the first axis, with all their components, lie side by side in memory, a row: it is read as
 * VDimension vectors of four numbers. Every number is computed by the same operations whatever VOrder is.
 */
template <typename TReal, unsigned int VDimension, unsigned int VOrder>
class SplinePoint
{
public:
  using SplineType = NePhiSpline<VDimension>;
  typedef TReal FourType __attribute__((vector_size(4 * sizeof(TReal))));
  typedef TReal FourInMemory __attribute__((vector_size(4 * sizeof(TReal)), aligned(alignof(TReal)), may_alias));

  static constexpr unsigned int Rows = VDimension == 3 ? 16 : 4;

  /** How often the rows are summed: by how often they are differentiated along the second and the third axis. */
  static constexpr unsigned int Sums = VDimension == 3 ? (VOrder + 1) * (VOrder + 2) / 2 : VOrder + 1;

  /** Looks up coords, clamped to the box; a point further out than extent * (1 + tolerance) is not inside. */
  template <typename TCoord>
  explicit SplinePoint(const SplineType & spline, const TCoord * coords, double tolerance)
  {
    std::size_t step = VDimension;
    m_First = 0;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      const double      x = static_cast<double>(coords[d]);
      const double      position = spline.GetPosition(d, x);
      const std::size_t cell = spline.GetCell(d, position);
      IsInside[d] = (x < 0.0 ? -x : x) <= spline.Extent[d] * (1.0 + tolerance);
      this->SetFactors(d, static_cast<TReal>(position - static_cast<double>(cell)), static_cast<TReal>(spline.Rate[d]));
      Steps[d] = step;
      m_First += cell * step;
      step *= spline.Cells[d] + 3;
      Cell[d] = cell;
    }
  }

  /** Where a row begins among the coefficients. */
  std::size_t
  GetRow(unsigned int row) const
  {
    std::size_t begin = m_First + (row & 3u) * Steps[1];
    if constexpr (VDimension == 3)
    {
      begin += (row >> 2u) * Steps[2];
    }
    return begin;
  }

  /** The share of a row, differentiated along the second and the third axis as often as a sum is. */
  TReal
  GetRowFactor(unsigned int row, unsigned int sum) const
  {
    constexpr unsigned int second[6] = { 0, 1, 0, 2, 1, 0 };
    constexpr unsigned int third[6] = { 0, 0, 1, 0, 1, 2 };
    if constexpr (VDimension == 3)
    {
      return Factors[1][second[sum]][row & 3u] * Factors[2][third[sum]][row >> 2u];
    }
    else
    {
      return Factors[1][sum][row];
    }
  }

  /** The number of the sum that is differentiated along two axes, counted from 0; a dimension stands for none. */
  static constexpr unsigned int
  GetSum(unsigned int one, unsigned int other)
  {
    const unsigned int second = (one == 1) + (other == 1);
    const unsigned int third = VDimension == 3 ? (one == 2) + (other == 2) : 0;
    const unsigned int order = second + third;
    return VDimension == 3 ? order * (order + 1) / 2 + third : second;
  }

  /** Sums the rows. */
  void
  Read(const TReal * coefficients)
  {
    FourType sums[Sums][VDimension]{};
    for (unsigned int row = 0; row < Rows; ++row)
    {
      const auto * const numbers = reinterpret_cast<const FourInMemory *>(coefficients + this->GetRow(row));
      for (unsigned int sum = 0; sum < Sums; ++sum)
      {
        const TReal factor = this->GetRowFactor(row, sum);
        for (unsigned int v = 0; v < VDimension; ++v)
        {
          sums[sum][v] += factor * FourType(numbers[v]);
        }
      }
    }
    for (unsigned int sum = 0; sum < Sums; ++sum)
    {
      for (unsigned int v = 0; v < VDimension; ++v)
      {
        reinterpret_cast<FourInMemory *>(m_Sums[sum])[v] = sums[sum][v];
      }
    }
  }

  /** A component of the spline, differentiated along up to two axes, counted from 0; a dimension stands for none. */
  TReal
  Get(unsigned int component, unsigned int one = VDimension, unsigned int other = VDimension) const
  {
    const TReal * const factors = Factors[0][(one == 0) + (other == 0)];
    const TReal * const numbers = m_Sums[GetSum(one, other)] + component;
    return (factors[0] * numbers[0] + factors[1] * numbers[VDimension]) +
           (factors[2] * numbers[2 * VDimension] + factors[3] * numbers[3 * VDimension]);
  }

  bool        IsInside[VDimension];
  std::size_t Cell[VDimension];
  std::size_t Steps[VDimension];
  TReal       Factors[VDimension][VOrder + 1][4];

private:
  void
  SetFactors(unsigned int d, TReal t, TReal rate)
  {
    const TReal s = TReal{ 1 } - t;
    const TReal sixth = TReal{ 1 } / TReal{ 6 };
    const TReal most = TReal{ 2 } / TReal{ 3 };
    auto &      factors = Factors[d];
    factors[0][0] = sixth * s * s * s;
    factors[0][1] = most + t * t * (TReal{ 0.5 } * t - TReal{ 1 });
    factors[0][2] = most + s * s * (TReal{ 0.5 } * s - TReal{ 1 });
    factors[0][3] = sixth * t * t * t;
    if constexpr (VOrder > 0)
    {
      factors[1][0] = rate * (TReal{ -0.5 } * s * s);
      factors[1][1] = rate * (t * (TReal{ 1.5 } * t - TReal{ 2 }));
      factors[1][2] = rate * (s * (TReal{ 2 } - TReal{ 1.5 } * s));
      factors[1][3] = rate * (TReal{ 0.5 } * t * t);
    }
    if constexpr (VOrder > 1)
    {
      const TReal square = rate * rate;
      factors[2][0] = square * s;
      factors[2][1] = square * (TReal{ 3 } * t - TReal{ 2 });
      factors[2][2] = square * (TReal{ 3 } * s - TReal{ 2 });
      factors[2][3] = square * t;
    }
  }

  std::size_t m_First;
  TReal       m_Sums[Sums][4 * VDimension];
};

/** Adds a spline to values, [point][D], and, with columns for them, its derivatives to Jacobians, [point][D][D].
 *
 * Not inlined: it is the same code, which gives the same bits, wherever it is called from.
 */
template <typename TReal, typename TCoord, unsigned int VDimension, unsigned int VColumns>
__attribute__((noinline)) void
AddSpline(const NePhiSpline<VDimension> & spline,
          const TReal *                   coefficients,
          double                          tolerance,
          std::size_t                     count,
          const TCoord *                  coords,
          TCoord *                        values,
          TCoord *                        jacobians)
{
  for (std::size_t p = 0; p < count; ++p)
  {
    SplinePoint<TReal, VDimension, (VColumns > 1)> point(spline, coords + p * VDimension, tolerance);
    point.Read(coefficients);
    for (unsigned int i = 0; i < VDimension; ++i)
    {
      values[p * VDimension + i] += static_cast<TCoord>(point.Get(i));
      for (unsigned int j = 0; j + 1 < VColumns; ++j)
      {
        if (point.IsInside[j])
        {
          jacobians[(p * VDimension + i) * VDimension + j] += static_cast<TCoord>(point.Get(i, j));
        }
      }
    }
  }
}

/** Adds to derivatives with respect to coords, [point][D], those of a spline and of its Jacobian times the given
 * numbers. */
template <unsigned int VDimension, unsigned int VColumns>
void
AddSplineCoordsGradient(const NePhiSpline<VDimension> & spline,
                        const float *                   coefficients,
                        std::size_t                     count,
                        const float *                   coords,
                        const float *                   gradValues,
                        const float *                   gradJacobians,
                        float *                         gradCoords)
{
  for (std::size_t p = 0; p < count; ++p)
  {
    SplinePoint<float, VDimension, (VColumns > 1 ? 2 : 1)> point(spline, coords + p * VDimension, 0.0);
    point.Read(coefficients);
    for (unsigned int e = 0; e < VDimension; ++e)
    {
      float sum = 0.0F;
      for (unsigned int i = 0; i < VDimension; ++i)
      {
        if (gradValues != nullptr)
        {
          sum += gradValues[p * VDimension + i] * point.Get(i, e);
        }
        for (unsigned int j = 0; j + 1 < VColumns; ++j)
        {
          if (point.IsInside[j])
          {
            sum += gradJacobians[(p * VDimension + i) * VDimension + j] * point.Get(i, e, j);
          }
        }
      }
      gradCoords[p * VDimension + e] += point.IsInside[e] ? sum : 0.0F;
    }
  }
}

/** Adds derivatives with respect to the coefficients in some planes, from begin to end along the last axis.
 *
 * The points are those of the given numbers; each adds its share to those of its planes that are among these.
 */
template <unsigned int VDimension, unsigned int VColumns>
void
AddSplineDerivatives(const NePhiSpline<VDimension> & spline,
                     std::size_t                     begin,
                     std::size_t                     end,
                     std::size_t                     count,
                     const std::uint32_t *           numbers,
                     const float *                   coords,
                     const float *                   gradValues,
                     const float *                   gradJacobians,
                     float *                         gradCoefficients)
{
  using PointType = SplinePoint<float, VDimension, (VColumns > 1)>;
  using FourType = typename PointType::FourType;
  using FourInMemory = typename PointType::FourInMemory;
  constexpr unsigned int rowsInPlane = PointType::Rows / 4;
  for (std::size_t n = 0; n < count; ++n)
  {
    const std::size_t p = numbers[n];
    const PointType   point(spline, coords + p * VDimension, 0.0);

    // A row of derivatives for each sum of rows in the spline and its first derivatives.
    float shares[PointType::Sums][4 * VDimension];
    for (unsigned int i = 0; i < VDimension; ++i)
    {
      const float value = gradValues == nullptr ? 0.0F : gradValues[p * VDimension + i];
      float       slopes[VDimension];
      for (unsigned int j = 0; j + 1 < VColumns; ++j)
      {
        slopes[j] = point.IsInside[j] ? gradJacobians[(p * VDimension + i) * VDimension + j] : 0.0F;
      }
      for (unsigned int k = 0; k < 4; ++k)
      {
        float first = point.Factors[0][0][k] * value;
        if constexpr (VColumns > 1)
        {
          first += point.Factors[0][1][k] * slopes[0];
          for (unsigned int j = 1; j < VDimension; ++j)
          {
            shares[j][k * VDimension + i] = point.Factors[0][0][k] * slopes[j];
          }
        }
        shares[0][k * VDimension + i] = first;
      }
    }
    const std::size_t cell = point.Cell[VDimension - 1];
    for (unsigned int plane = 0; plane < 4; ++plane)
    {
      if (cell + plane < begin || cell + plane >= end)
      {
        continue;
      }
      for (unsigned int row = plane * rowsInPlane; row < (plane + 1) * rowsInPlane; ++row)
      {
        auto * const goal = reinterpret_cast<FourInMemory *>(gradCoefficients + point.GetRow(row));
        for (unsigned int v = 0; v < VDimension; ++v)
        {
          FourType sum = goal[v];
          for (unsigned int each = 0; each < PointType::Sums; ++each)
          {
            sum += point.GetRowFactor(row, each) * FourType(reinterpret_cast<const FourInMemory *>(shares[each])[v]);
          }
          goal[v] = sum;
        }
      }
    }
  }
}

} // namespace ITK_NEPHI_TARGET
} // namespace NePhiKernels
} // namespace itk
