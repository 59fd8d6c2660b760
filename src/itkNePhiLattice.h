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
#ifndef itkNePhiLattice_h
#define itkNePhiLattice_h

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace itk
{
/** \class NePhiLattice
 * \brief Some of the regular points that span the box |x_i| <= extent_i, its corners among them.
 *
 * Of the Whole points of the box along each axis it takes Size, from First on; the first axis is the fastest. A plane
 * holds the points with one index along the last axis: a row in 2D, rows in 3D. Vectors at the points lie component
 * after component.
 *
 * \ingroup NePhi
 */
template <unsigned int VDimension>
struct NePhiLattice
{
  std::array<std::size_t, VDimension> Size{};
  std::array<std::size_t, VDimension> First{};
  std::array<std::size_t, VDimension> Whole{};
  std::array<double, VDimension>      Extent{};

  std::size_t
  GetPlanes() const
  {
    return Size[VDimension - 1];
  }

  std::size_t
  GetRows() const
  {
    return VDimension == 3 ? Size[1] : 1;
  }

  std::size_t
  GetNumberOfPoints() const
  {
    return Size[0] * this->GetRows() * this->GetPlanes();
  }

  double
  GetStep(unsigned int d) const
  {
    return 2.0 * Extent[d] / static_cast<double>(Whole[d] - 1);
  }

  double
  GetCoordinate(unsigned int d, std::size_t index) const
  {
    return this->GetStep(d) * static_cast<double>(First[d] + index) - Extent[d];
  }
};

/** \class NePhiLatticeImage
 * \brief An image on a grid of its own, index = Matrix coords + Offset, and weights of its voxels, perhaps none.
 * \ingroup NePhi
 */
template <unsigned int VDimension>
struct NePhiLatticeImage
{
  const float *                               Values{};
  const float *                               Weights{};
  std::array<std::size_t, VDimension>         Size{};
  std::array<double, VDimension * VDimension> Matrix{};
  std::array<double, VDimension>              Offset{};
};

/** \class NePhiLocalCorrelation
 * \brief The squared local correlation of an image on a lattice with another one, at the moved points of the lattice.
 *
 * In windows of 2 Radius + 1 points along each axis, with covariance C and variances R and M:
 *
 *     C |C| / ((R + Floor) (M + Floor))
 *
 * weighted in each window's center by both images' weights. A window takes the points that lie inside both images.
 *
 * \ingroup NePhi
 */
template <unsigned int VDimension>
struct NePhiLocalCorrelation
{
  NePhiLattice<VDimension>      Lattice{};
  const float *                 Reference{};
  const float *                 ReferenceInside{};
  const float *                 ReferenceWeights{};
  NePhiLatticeImage<VDimension> Other{};
  const float *                 Displacement{};
  std::size_t                   Radius{};
  float                         Floor{};
};

/** \class NePhiLatticeSpline
 * \brief A cubic B-spline of displacements, see NePhiSpline, and the shares of its coefficients at a lattice's points.
 * \ingroup NePhi
 */
template <unsigned int VDimension>
struct NePhiLatticeSpline
{
  NePhiLattice<VDimension>            Lattice{};
  std::array<std::size_t, VDimension> Cells{};
  /** Along each axis, the cell of each index, and the shares of the four coefficients, one after the other. */
  std::array<std::vector<int>, VDimension>   First{};
  std::array<std::vector<float>, VDimension> Factors{};

  NePhiLatticeSpline(const NePhiLattice<VDimension> & lattice, const std::array<std::size_t, VDimension> & cells)
    : Lattice(lattice)
    , Cells(cells)
  {
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      const std::size_t count = lattice.Size[d];
      First[d].resize(count);
      Factors[d].resize(4 * count);
      for (std::size_t n = 0; n < count; ++n)
      {
        const double position =
          static_cast<double>((lattice.First[d] + n) * cells[d]) / static_cast<double>(lattice.Whole[d] - 1);
        const auto   cell = std::min(static_cast<std::size_t>(position), cells[d] - 1);
        const double t = position - static_cast<double>(cell);
        const double s = 1.0 - t;
        const double factors[4] = {
          s * s * s / 6.0, t * t * (t / 2.0 - 1.0) + 2.0 / 3.0, s * s * (s / 2.0 - 1.0) + 2.0 / 3.0, t * t * t / 6.0
        };
        First[d][n] = static_cast<int>(cell);
        for (unsigned int k = 0; k < 4; ++k)
        {
          Factors[d][k * count + n] = static_cast<float>(factors[k]);
        }
      }
    }
  }

  std::size_t
  GetRowLength() const
  {
    return VDimension * (Cells[0] + 3);
  }

  std::size_t
  GetPlaneLength() const
  {
    return this->GetRowLength() * (VDimension == 3 ? Cells[1] + 3 : 1);
  }

  /** Sums the four parts around an index along an axis, each of so many numbers. */
  void
  Combine(unsigned int axis, std::size_t index, const float * parts, std::size_t length, float * sums) const
  {
    const std::size_t   count = Lattice.Size[axis];
    const float * const factors = Factors[axis].data() + index;
    const float * const one = parts + static_cast<std::size_t>(First[axis][index]) * length;
    const float * const two = one + length;
    const float * const three = two + length;
    const float * const four = three + length;
    for (std::size_t n = 0; n < length; ++n)
    {
      sums[n] = (factors[0] * one[n] + factors[count] * two[n]) +
                (factors[2 * count] * three[n] + factors[3 * count] * four[n]);
    }
  }

  /** Adds to the four parts around an index along an axis their shares of numbers. */
  void
  Spread(unsigned int axis, std::size_t index, const float * numbers, std::size_t length, float * parts) const
  {
    for (unsigned int k = 0; k < 4; ++k)
    {
      const float   factor = Factors[axis][k * Lattice.Size[axis] + index];
      float * const part = parts + (static_cast<std::size_t>(First[axis][index]) + k) * length;
      for (std::size_t n = 0; n < length; ++n)
      {
        part[n] += factor * numbers[n];
      }
    }
  }
};
} // namespace itk

#define ITK_NEPHI_KERNELS "itkNePhiLatticeKernel.h"
#include "itkNePhiForEachTarget.h"

namespace itk
{
/** \class NePhiLatticeKernelSet
 * \brief The kernels that this processor runs fastest.
 * \ingroup NePhi
 */
template <unsigned int VDimension>
struct NePhiLatticeKernelSet
{
  using CorrelationType = NePhiLocalCorrelation<VDimension>;
  using SplineType = NePhiLatticeSpline<VDimension>;

  void (*CorrelateSlab)(const CorrelationType &, std::size_t, std::size_t, double *, float *);
  void (*AddSplineToPlane)(const SplineType &, const float *, std::size_t, float *);
  void (*ProjectOnSpline)(const SplineType &, unsigned int, const float *, float *);

  static const NePhiLatticeKernelSet &
  Get()
  {
    static const NePhiLatticeKernelSet fastest = [] {
#ifdef ITK_NEPHI_X86_DISPATCH
      if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
      {
        return NePhiLatticeKernelSet{ NePhiKernels::AVX512::CorrelateSlab<VDimension>,
                                      NePhiKernels::AVX512::AddSplineToPlane<VDimension>,
                                      NePhiKernels::AVX512::ProjectOnSpline<VDimension> };
      }
      if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
      {
        return NePhiLatticeKernelSet{ NePhiKernels::AVX2::CorrelateSlab<VDimension>,
                                      NePhiKernels::AVX2::AddSplineToPlane<VDimension>,
                                      NePhiKernels::AVX2::ProjectOnSpline<VDimension> };
      }
#endif
      return NePhiLatticeKernelSet{ NePhiKernels::Portable::CorrelateSlab<VDimension>,
                                    NePhiKernels::Portable::AddSplineToPlane<VDimension>,
                                    NePhiKernels::Portable::ProjectOnSpline<VDimension> };
    }();
    return fastest;
  }
};

/** Sums weighted squared local correlations, and weights, over a lattice, and differentiates the former by the
 * displacement, unless there is no memory for that. The same bits on any number of threads. */
template <unsigned int VDimension, typename TThreads>
void
NePhiCorrelate(const NePhiLocalCorrelation<VDimension> & task,
               double *                                  sums,
               float *                                   gradient,
               const TThreads &                          threads)
{
  // few enough to share among threads, thick enough for the planes that slabs compute twice
  constexpr std::size_t thickness = 32;
  const std::size_t     planes = task.Lattice.GetPlanes();
  std::vector<double>   ofPlanes(2 * planes, 0.0);
  threads((planes + thickness - 1) / thickness, [&](std::size_t slab) {
    const std::size_t begin = slab * thickness;
    NePhiLatticeKernelSet<VDimension>::Get().CorrelateSlab(
      task, begin, std::min(begin + thickness, planes), ofPlanes.data(), gradient);
  });
  sums[0] = sums[1] = 0.0;
  for (std::size_t z = 0; z < planes; ++z)
  {
    sums[0] += ofPlanes[2 * z];
    sums[1] += ofPlanes[2 * z + 1];
  }
}

/** \class NePhiComposition
 * \brief How far two displacements on a lattice are from undoing each other, at every so many of its points.
 *
 * With the residual r(x) = u(x) + v(x + u(x)), v interpolated linearly and clamped to the box: the mean square of its
 * differences from point to point along the axes, over their distances, GradICON; and its own mean square.
 *
 * \ingroup NePhi
 */
template <unsigned int VDimension>
class NePhiComposition
{
public:
  using LatticeType = NePhiLattice<VDimension>;

  NePhiComposition(const LatticeType & lattice, std::size_t stride, const float * inner, const float * outer)
    : m_Lattice(lattice)
    , m_Inner(inner)
    , m_Outer(outer)
    , m_Stride(stride)
    , m_Points(lattice.GetNumberOfPoints())
  {
    std::size_t step = 1;
    std::size_t few = 1;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      m_Few.Size[d] = (lattice.Size[d] - 1) / stride + 1;
      m_Steps[d] = step;
      m_FewSteps[d] = few;
      step *= lattice.Size[d];
      few *= m_Few.Size[d];
      m_Rates[d] = static_cast<float>(1.0 / lattice.GetStep(d));
    }
    m_Count = few;
  }

  /** Computes the two means. */
  template <typename TThreads>
  void
  Compute(double * means, const TThreads & threads)
  {
    m_Moved.resize(m_Count);
    m_Residual.resize(VDimension * m_Count);
    const std::size_t   planes = m_Few.GetPlanes();
    const std::size_t   plane = m_Count / planes;
    std::vector<double> sums(2 * planes, 0.0);
    threads(planes, [&](std::size_t z) {
      for (std::size_t number = z * plane; number < (z + 1) * plane; ++number)
      {
        const MovedPoint point = this->Locate(number);
        m_Moved[number] = point;
        for (unsigned int d = 0; d < VDimension; ++d)
        {
          float       derivatives[VDimension];
          const float residual = m_Inner[d * m_Points + point.Point] +
                                 Interpolate(m_Outer + d * m_Points + point.Corner, point.Fraction, derivatives);
          m_Residual[d * m_Count + number] = residual;
          sums[2 * z + 1] += static_cast<double>(residual * residual);
        }
      }
    });
    threads(planes, [&](std::size_t z) {
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        this->ForEachRowOfDifferences(z, [&](std::size_t here, std::size_t next, std::size_t count, float share) {
          const float * const residual = m_Residual.data() + d * m_Count;
          float               sum = 0.0f;
          for (std::size_t x = 0; x < count; ++x)
          {
            const float difference = residual[next + x] - residual[here + x];
            sum += difference * difference;
          }
          sums[2 * z] += static_cast<double>(share * sum);
        });
      }
    });
    means[0] = means[1] = 0.0;
    for (std::size_t z = 0; z < planes; ++z)
    {
      means[0] += sums[2 * z];
      means[1] += sums[2 * z + 1] / static_cast<double>(m_Count * VDimension);
    }
  }

  /** Adds the derivatives of the computed means, times factors, by both displacements. */
  template <typename TThreads>
  void
  Differentiate(const double * factors, float * gradInner, float * gradOuter, const TThreads & threads)
  {
    std::vector<float> slopes(VDimension * m_Count);
    const auto         own = static_cast<float>(2.0 * factors[1] / static_cast<double>(m_Count * VDimension));
    const auto         shared = static_cast<float>(2.0 * factors[0]);
    // each component is one thread's, in the order of the points
    threads(VDimension, [&](std::size_t d) {
      const float * const residual = m_Residual.data() + d * m_Count;
      float * const       slope = slopes.data() + d * m_Count;
      for (std::size_t number = 0; number < m_Count; ++number)
      {
        slope[number] = own * residual[number];
      }
      for (std::size_t z = 0; z < m_Few.GetPlanes(); ++z)
      {
        this->ForEachRowOfDifferences(z, [&](std::size_t here, std::size_t next, std::size_t count, float share) {
          for (std::size_t x = 0; x < count; ++x)
          {
            const float part = shared * share * (residual[next + x] - residual[here + x]);
            slope[next + x] += part;
            slope[here + x] -= part;
          }
        });
      }
      for (std::size_t number = 0; number < m_Count; ++number)
      {
        this->Spread(slope[number], m_Moved[number], gradOuter + d * m_Points);
      }
    });
    const std::size_t planes = m_Few.GetPlanes();
    const std::size_t plane = m_Count / planes;
    threads(planes, [&](std::size_t z) {
      for (std::size_t number = z * plane; number < (z + 1) * plane; ++number)
      {
        const MovedPoint & point = m_Moved[number];
        float              sums[VDimension] = {};
        for (unsigned int d = 0; d < VDimension; ++d)
        {
          const float slope = slopes[d * m_Count + number];
          float       derivatives[VDimension];
          Interpolate(m_Outer + d * m_Points + point.Corner, point.Fraction, derivatives);
          for (unsigned int j = 0; j < VDimension; ++j)
          {
            sums[j] += slope * derivatives[j];
          }
          gradInner[d * m_Points + point.Point] += slope;
        }
        for (unsigned int j = 0; j < VDimension; ++j)
        {
          gradInner[j * m_Points + point.Point] += point.Rate[j] * sums[j];
        }
      }
    });
  }

private:
  /** A point of the lattice, and where it is moved. */
  struct MovedPoint
  {
    std::size_t Point;
    std::size_t Corner;
    float       Fraction[VDimension];
    float       Rate[VDimension];
  };

  MovedPoint
  Locate(std::size_t number) const
  {
    std::size_t index[VDimension];
    MovedPoint  point{};
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      index[d] = number % m_Few.Size[d] * m_Stride;
      number /= m_Few.Size[d];
      point.Point += index[d] * m_Steps[d];
    }
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      const float position = static_cast<float>(index[d]) + m_Rates[d] * m_Inner[d * m_Points + point.Point];
      const float clamped = std::min(std::max(position, 0.0f), static_cast<float>(m_Lattice.Size[d] - 1));
      const auto  cell = std::min(static_cast<std::size_t>(clamped), m_Lattice.Size[d] - 2);
      point.Corner += cell * m_Steps[d];
      point.Fraction[d] = clamped - static_cast<float>(cell);
      point.Rate[d] = clamped == position ? m_Rates[d] : 0.0f;
    }
    return point;
  }

  /** Goes over neighbors along each axis, a row of a plane at a time: where it and the next begin, how many they are,
   * and the share of a squared difference in the mean. */
  template <typename TFunction>
  void
  ForEachRowOfDifferences(std::size_t z, const TFunction & function) const
  {
    const std::size_t width = m_Few.Size[0];
    const std::size_t rows = m_Few.GetRows();
    for (unsigned int axis = 0; axis < VDimension; ++axis)
    {
      const float       distance = static_cast<float>(m_Stride) / m_Rates[axis];
      const std::size_t few = m_Few.Size[axis];
      if (few < 2)
      {
        continue;
      }
      const double count = static_cast<double>(VDimension * VDimension * (m_Count / few) * (few - 1));
      const auto   share = static_cast<float>(1.0 / count) / (distance * distance);
      for (std::size_t y = 0; y < rows; ++y)
      {
        const std::size_t index = axis + 1 == VDimension ? z : y;
        if (axis == 0 || index + 1 < few)
        {
          const std::size_t here = (z * rows + y) * width;
          function(here, here + m_FewSteps[axis], axis == 0 ? width - 1 : width, share);
        }
      }
    }
  }

  /** A linear interpolation between the 2^D values from a corner on, and its derivatives by the index. */
  float
  Interpolate(const float * corner, const float * fraction, float * derivatives) const
  {
    const float value = this->InterpolateInPlane(corner, fraction, derivatives);
    if constexpr (VDimension == 3)
    {
      float       far[3];
      const float farValue = this->InterpolateInPlane(corner + m_Steps[2], fraction, far);
      for (unsigned int d = 0; d < 2; ++d)
      {
        derivatives[d] += fraction[2] * (far[d] - derivatives[d]);
      }
      derivatives[2] = farValue - value;
      return value + fraction[2] * (farValue - value);
    }
    return value;
  }

  float
  InterpolateInPlane(const float * corner, const float * fraction, float * derivatives) const
  {
    const float * const next = corner + m_Steps[1];
    const float         near = corner[1] - corner[0];
    const float         far = next[1] - next[0];
    const float         below = corner[0] + fraction[0] * near;
    const float         above = next[0] + fraction[0] * far;
    derivatives[0] = near + fraction[1] * (far - near);
    derivatives[1] = above - below;
    return below + fraction[1] * (above - below);
  }

  /** Adds what the corners around a moved point have of a derivative there. */
  void
  Spread(float slope, const MovedPoint & point, float * gradient) const
  {
    for (unsigned int vertex = 0; vertex < 1u << VDimension; ++vertex)
    {
      float       weight = slope;
      std::size_t corner = point.Corner;
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        const bool isNext = (vertex >> d & 1u) != 0;
        weight *= isNext ? point.Fraction[d] : 1.0f - point.Fraction[d];
        corner += isNext ? m_Steps[d] : 0;
      }
      gradient[corner] += weight;
    }
  }

  LatticeType                         m_Lattice;
  LatticeType                         m_Few{};
  const float *                       m_Inner;
  const float *                       m_Outer;
  std::size_t                         m_Stride;
  std::size_t                         m_Points;
  std::size_t                         m_Count{ 0 };
  std::array<std::size_t, VDimension> m_Steps{};
  std::array<std::size_t, VDimension> m_FewSteps{};
  std::array<float, VDimension>       m_Rates{};
  std::vector<MovedPoint>             m_Moved{};
  std::vector<float>                  m_Residual{};
};
} // namespace itk

#endif
