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

/** Some points in a spline, and its values and derivatives up to VOrder there.
 *
 * Around a point are 4^D coefficients. Four neighbors along the first axis, with all their components, lie side by side
 * in memory, a row: it is read as VDimension vectors of four numbers. Every number is computed by the same operations
 * in the same order whatever VPoints is, so that a point gets the same bits alone and among others.
 */
template <typename TReal, unsigned int VDimension, unsigned int VOrder, std::size_t VPoints>
class SplinePoints
{
public:
  using SplineType = NePhiSpline<VDimension>;
  typedef TReal FourType __attribute__((vector_size(4 * sizeof(TReal))));
  typedef TReal FourInMemory __attribute__((vector_size(4 * sizeof(TReal)), aligned(alignof(TReal)), may_alias));

  static constexpr std::size_t  Size = VPoints;
  static constexpr unsigned int Planes = VDimension == 3 ? 4 : 1;

  /** How often the rows are summed: by how often they are differentiated along the second and the third axis. */
  static constexpr unsigned int Sums = VDimension == 3 ? (VOrder + 1) * (VOrder + 2) / 2 : VOrder + 1;

  explicit SplinePoints(const SplineType & spline)
    : m_Spline(spline)
  {
    m_Steps[0] = VDimension;
    for (unsigned int d = 1; d < VDimension; ++d)
    {
      m_Steps[d] = m_Steps[d - 1] * (spline.Cells[d - 1] + 3);
    }
  }

  /** Looks up to Size coords, clamped to the box; one further out than extent * (1 + tolerance) is not inside. */
  template <typename TCoord>
  void
  Find(std::size_t count, const TCoord * coords, double tolerance)
  {
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      double x[Size];
      for (std::size_t p = 0; p < Size; ++p)
      {
        x[p] = p < count ? static_cast<double>(coords[p * VDimension + d]) : 0.0;
      }
      const auto last = static_cast<std::int32_t>(m_Spline.Cells[d] - 1);
      for (std::size_t p = 0; p < Size; ++p)
      {
        const double position = m_Spline.GetPosition(d, x[p]);
        const auto   floor = static_cast<std::int32_t>(position);
        const auto   cell = floor < last ? floor : last;
        Cells[d][p] = cell;
        m_Fractions[d][p] = static_cast<TReal>(position - static_cast<double>(cell));
        IsInside[d][p] = (x[p] < 0.0 ? -x[p] : x[p]) <= m_Spline.Extent[d] * (1.0 + tolerance);
      }
      this->SetFactors(d, static_cast<TReal>(m_Spline.Rate[d]));
    }
  }

  /** Where the row of a point begins among the coefficients that is some steps further along the other axes. */
  std::size_t
  GetRow(std::size_t p, unsigned int second, unsigned int third) const
  {
    std::size_t begin = static_cast<std::size_t>(Cells[0][p]) * m_Steps[0];
    begin += (static_cast<std::size_t>(Cells[1][p]) + second) * m_Steps[1];
    if constexpr (VDimension == 3)
    {
      begin += (static_cast<std::size_t>(Cells[2][p]) + third) * m_Steps[2];
    }
    return begin;
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

  /** Sums the rows around a point, unless they are those that were summed last: along a row of voxels, points differ
   * in their first coordinate alone. */
  void
  Read(std::size_t p, const TReal * coefficients)
  {
    bool isSame = m_Cells[0] == Cells[0][p];
    for (unsigned int d = 1; d < VDimension; ++d)
    {
      isSame = isSame && m_Cells[d] == Cells[d][p] && m_LastFractions[d] == m_Fractions[d][p];
    }
    if (isSame)
    {
      return;
    }
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      m_Cells[d] = Cells[d][p];
      m_LastFractions[d] = m_Fractions[d][p];
    }

    FourType sums[Sums][VDimension]{};
    for (unsigned int plane = 0; plane < Planes; ++plane)
    {
      FourType inPlane[VOrder + 1][VDimension]{};
      for (unsigned int row = 0; row < 4; ++row)
      {
        const auto * const numbers = reinterpret_cast<const FourInMemory *>(coefficients + this->GetRow(p, row, plane));
        for (unsigned int order = 0; order <= VOrder; ++order)
        {
          for (unsigned int v = 0; v < VDimension; ++v)
          {
            inPlane[order][v] += Factors[1][order][row][p] * FourType(numbers[v]);
          }
        }
      }
      for (unsigned int second = 0; second <= VOrder; ++second)
      {
        for (unsigned int third = 0; third <= (VDimension == 3 ? VOrder - second : 0); ++third)
        {
          const unsigned int order = second + third;
          const unsigned int sum = VDimension == 3 ? order * (order + 1) / 2 + third : second;
          const TReal        factor = VDimension == 3 ? Factors[VDimension - 1][third][plane][p] : TReal{ 1 };
          for (unsigned int v = 0; v < VDimension; ++v)
          {
            sums[sum][v] += factor * inPlane[second][v];
          }
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

  /** A component of the spline at the point last read, differentiated along up to two axes, counted from 0; a dimension
   * stands for none. */
  TReal
  Get(std::size_t p, unsigned int component, unsigned int one = VDimension, unsigned int other = VDimension) const
  {
    const auto &        factors = Factors[0][(one == 0) + (other == 0)];
    const TReal * const numbers = m_Sums[GetSum(one, other)] + component;
    return (factors[0][p] * numbers[0] + factors[1][p] * numbers[VDimension]) +
           (factors[2][p] * numbers[2 * VDimension] + factors[3][p] * numbers[3 * VDimension]);
  }

  bool         IsInside[VDimension][Size];
  std::int32_t Cells[VDimension][Size];

  /** The shares of the four neighbors along an axis: [axis][order of the derivative][neighbor][point]. */
  TReal Factors[VDimension][VOrder + 1][4][Size];

private:
  void
  SetFactors(unsigned int d, TReal rate)
  {
    const TReal sixth = TReal{ 1 } / TReal{ 6 };
    const TReal most = TReal{ 2 } / TReal{ 3 };
    auto &      factors = Factors[d];
    for (std::size_t p = 0; p < Size; ++p)
    {
      const TReal t = m_Fractions[d][p];
      const TReal s = TReal{ 1 } - t;
      factors[0][0][p] = sixth * s * s * s;
      factors[0][1][p] = most + t * t * (TReal{ 0.5 } * t - TReal{ 1 });
      factors[0][2][p] = most + s * s * (TReal{ 0.5 } * s - TReal{ 1 });
      factors[0][3][p] = sixth * t * t * t;
      if constexpr (VOrder > 0)
      {
        factors[1][0][p] = rate * (TReal{ -0.5 } * s * s);
        factors[1][1][p] = rate * (t * (TReal{ 1.5 } * t - TReal{ 2 }));
        factors[1][2][p] = rate * (s * (TReal{ 2 } - TReal{ 1.5 } * s));
        factors[1][3][p] = rate * (TReal{ 0.5 } * t * t);
      }
      if constexpr (VOrder > 1)
      {
        const TReal square = rate * rate;
        factors[2][0][p] = square * s;
        factors[2][1][p] = square * (TReal{ 3 } * t - TReal{ 2 });
        factors[2][2][p] = square * (TReal{ 3 } * s - TReal{ 2 });
        factors[2][3][p] = square * t;
      }
    }
  }

  SplineType   m_Spline;
  std::size_t  m_Steps[VDimension];
  TReal        m_Fractions[VDimension][Size];
  std::int32_t m_Cells[VDimension]{ -1 };
  TReal        m_LastFractions[VDimension]{};
  TReal        m_Sums[Sums][4 * VDimension];
};

/** How many points of a spline are looked up together. */
constexpr std::size_t SplinePointsTogether = 16;

/** Adds a spline at points, so many together. */
template <typename TReal, typename TCoord, unsigned int VDimension, unsigned int VColumns, std::size_t VPoints>
void
AddSplineTogether(const NePhiSpline<VDimension> & spline,
                  const TReal *                   coefficients,
                  double                          tolerance,
                  std::size_t                     count,
                  const TCoord *                  coords,
                  TCoord *                        values,
                  TCoord *                        jacobians)
{
  SplinePoints<TReal, VDimension, (VColumns > 1), VPoints> points(spline);
  for (std::size_t begin = 0; begin < count; begin += points.Size)
  {
    const std::size_t size = count - begin < points.Size ? count - begin : points.Size;
    points.Find(size, coords + begin * VDimension, tolerance);
    for (std::size_t p = 0; p < size; ++p)
    {
      points.Read(p, coefficients);
      for (unsigned int i = 0; i < VDimension; ++i)
      {
        const std::size_t n = (begin + p) * VDimension + i;
        values[n] += static_cast<TCoord>(points.Get(p, i));
        for (unsigned int j = 0; j + 1 < VColumns; ++j)
        {
          if (points.IsInside[j][p])
          {
            jacobians[n * VDimension + j] += static_cast<TCoord>(points.Get(p, i, j));
          }
        }
      }
    }
  }
}

/** Adds a spline to values, [point][D], and, with columns for them, its derivatives to Jacobians, [point][D][D]. */
template <typename TReal, typename TCoord, unsigned int VDimension, unsigned int VColumns>
void
AddSpline(const NePhiSpline<VDimension> & spline,
          const TReal *                   coefficients,
          double                          tolerance,
          std::size_t                     count,
          const TCoord *                  coords,
          TCoord *                        values,
          TCoord *                        jacobians)
{
  // So many points together cost about as much as four one by one.
  const auto add = count > 4 ? AddSplineTogether<TReal, TCoord, VDimension, VColumns, SplinePointsTogether>
                             : AddSplineTogether<TReal, TCoord, VDimension, VColumns, 1>;
  add(spline, coefficients, tolerance, count, coords, values, jacobians);
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
  SplinePoints<float, VDimension, (VColumns > 1 ? 2 : 1), SplinePointsTogether> points(spline);
  for (std::size_t begin = 0; begin < count; begin += points.Size)
  {
    const std::size_t size = count - begin < points.Size ? count - begin : points.Size;
    points.Find(size, coords + begin * VDimension, 0.0);
    for (std::size_t p = 0; p < size; ++p)
    {
      const std::size_t n = (begin + p) * VDimension;
      points.Read(p, coefficients);
      for (unsigned int e = 0; e < VDimension; ++e)
      {
        float sum = 0.0F;
        for (unsigned int i = 0; i < VDimension; ++i)
        {
          if (gradValues != nullptr)
          {
            sum += gradValues[n + i] * points.Get(p, i, e);
          }
          for (unsigned int j = 0; j + 1 < VColumns; ++j)
          {
            if (points.IsInside[j][p])
            {
              sum += gradJacobians[(n + i) * VDimension + j] * points.Get(p, i, e, j);
            }
          }
        }
        gradCoords[n + e] += points.IsInside[e][p] ? sum : 0.0F;
      }
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
  using PointsType = SplinePoints<float, VDimension, (VColumns > 1), SplinePointsTogether>;
  using FourType = typename PointsType::FourType;
  using FourInMemory = typename PointsType::FourInMemory;
  constexpr unsigned int last = VDimension - 1;
  PointsType             points(spline);
  for (std::size_t first = 0; first < count; first += points.Size)
  {
    const std::size_t size = count - first < points.Size ? count - first : points.Size;
    float             someCoords[PointsType::Size * VDimension];
    for (std::size_t i = 0; i < size * VDimension; ++i)
    {
      someCoords[i] = coords[numbers[first + i / VDimension] * VDimension + i % VDimension];
    }
    points.Find(size, someCoords, 0.0);
    for (std::size_t p = 0; p < size; ++p)
    {
      // A row of derivatives for each sum of rows in the spline and its first derivatives.
      const std::size_t number = numbers[first + p];
      float             shares[PointsType::Sums][4 * VDimension];
      for (unsigned int i = 0; i < VDimension; ++i)
      {
        const std::size_t n = number * VDimension + i;
        float             slopes[VDimension];
        for (unsigned int j = 0; j + 1 < VColumns; ++j)
        {
          slopes[j] = points.IsInside[j][p] ? gradJacobians[n * VDimension + j] : 0.0F;
        }
        for (unsigned int k = 0; k < 4; ++k)
        {
          float share = gradValues == nullptr ? 0.0F : points.Factors[0][0][k][p] * gradValues[n];
          if constexpr (VColumns > 1)
          {
            share += points.Factors[0][1][k][p] * slopes[0];
            for (unsigned int j = 1; j < VDimension; ++j)
            {
              shares[j][k * VDimension + i] = points.Factors[0][0][k][p] * slopes[j];
            }
          }
          shares[0][k * VDimension + i] = share;
        }
      }
      for (unsigned int plane = 0; plane < 4; ++plane)
      {
        const std::size_t position = static_cast<std::size_t>(points.Cells[last][p]) + plane;
        if (position < begin || position >= end)
        {
          continue;
        }
        for (unsigned int row = 0; row < (VDimension == 3 ? 4 : 1); ++row)
        {
          // along the last axis, and the one between it and the first
          const std::size_t offset = VDimension == 3 ? points.GetRow(p, row, plane) : points.GetRow(p, plane, 0);
          const auto &      ofPlane = points.Factors[last];
          auto * const      goal = reinterpret_cast<FourInMemory *>(gradCoefficients + offset);
          for (unsigned int v = 0; v < VDimension; ++v)
          {
            const auto share = [&](unsigned int sum) {
              return FourType(reinterpret_cast<const FourInMemory *>(shares[sum])[v]);
            };
            FourType ofRow = share(0);
            FourType ofSlope{};
            if constexpr (VDimension == 3)
            {
              ofRow = points.Factors[1][0][row][p] * share(0);
              if constexpr (VColumns > 1)
              {
                ofRow += points.Factors[1][1][row][p] * share(1);
                ofSlope = points.Factors[1][0][row][p] * share(2);
              }
            }
            else if constexpr (VColumns > 1)
            {
              ofSlope = share(1);
            }
            FourType sum = goal[v] + ofPlane[0][plane][p] * ofRow;
            if constexpr (VColumns > 1)
            {
              sum += ofPlane[1][plane][p] * ofSlope;
            }
            goal[v] = sum;
          }
        }
      }
    }
  }
}

} // namespace ITK_NEPHI_TARGET
} // namespace NePhiKernels
} // namespace itk
