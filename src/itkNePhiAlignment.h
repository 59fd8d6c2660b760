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

#ifndef itkNePhiAlignment_h
#define itkNePhiAlignment_h

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace itk
{
/** \class NePhiLevel
 * \brief An image at one resolution: channels, each with the weight of its voxels, and a rim of weight 0 around them.
 *
 * Each voxel of a channel is a value and a weight; the first axis is the fastest.
 *
 * \ingroup NePhi
 */
template <unsigned int VDimension>
class NePhiLevel
{
public:
  NePhiLevel(const std::int64_t * sizes, const double * geometry, const double * image)
    : m_Image(image)
  {
    m_Strides[0] = 2;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      m_Last[d] = sizes[d] - 1;
      m_Strides[d + 1] = m_Strides[d] * sizes[d];
      m_Origin[d] = geometry[VDimension + d];
      m_VoxelsPerUnit[d] = 1.0 / geometry[d];
    }
  }

  /** What is found at a point: the value and the weight, then the derivatives of both along each axis. */
  using SampleType = std::array<std::array<double, 2>, 1 + VDimension>;

  /** Interpolates linearly; all is 0 outside the image. */
  SampleType
  Sample(std::int64_t channel, const std::array<double, VDimension> & point) const
  {
    std::array<double, VDimension> fraction;
    const double *                 corner = m_Image + channel * m_Strides[VDimension];
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      const double position = (point[d] - m_Origin[d]) * m_VoxelsPerUnit[d];
      // so put, it refuses what is not a number
      if (!(position >= 0.0 && position <= static_cast<double>(m_Last[d])))
      {
        return {};
      }
      const std::int64_t lower = std::min(static_cast<std::int64_t>(position), m_Last[d] - 1);
      fraction[d] = position - static_cast<double>(lower);
      corner += lower * m_Strides[d];
    }
    SampleType sample = this->template Interpolate<VDimension>(corner, fraction);
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      sample[1 + d][0] *= m_VoxelsPerUnit[d];
      sample[1 + d][1] *= m_VoxelsPerUnit[d];
    }
    return sample;
  }

private:
  /** Interpolates along the first axes from the lower corner of a cell; derivatives are those by voxels. */
  template <unsigned int VAxes>
  SampleType
  Interpolate(const double * corner, const std::array<double, VDimension> & fraction) const
  {
    SampleType sample;
    if constexpr (VAxes == 0)
    {
      sample[0] = { corner[0], corner[1] };
    }
    else
    {
      const SampleType lower = this->template Interpolate<VAxes - 1>(corner, fraction);
      const SampleType upper = this->template Interpolate<VAxes - 1>(corner + m_Strides[VAxes - 1], fraction);
      for (std::size_t part = 0; part < 2; ++part)
      {
        for (unsigned int row = 0; row < VAxes; ++row)
        {
          sample[row][part] = lower[row][part] + fraction[VAxes - 1] * (upper[row][part] - lower[row][part]);
        }
        sample[VAxes][part] = upper[0][part] - lower[0][part];
      }
    }
    return sample;
  }

  const double *                           m_Image;
  std::array<std::int64_t, VDimension>     m_Last;
  std::array<std::int64_t, VDimension + 1> m_Strides;
  std::array<double, VDimension>           m_Origin;
  std::array<double, VDimension>           m_VoxelsPerUnit;
};

/** \class NePhiContrast
 * \brief The piecewise linear function that best predicts a target from a value between 0 and 1.
 * \ingroup NePhi
 */
class NePhiContrast
{
public:
  void
  Add(double value, double weight, double target)
  {
    const auto [knot, upper] = Find(value);
    const std::array<double, 2> shares{ 1.0 - upper, upper };
    for (std::size_t one = 0; one < 2; ++one)
    {
      m_Right[knot + one] += shares[one] * weight * target;
      m_Diagonal[knot + one] += shares[one] * shares[one] * weight;
    }
    m_Beside[knot] += shares[0] * shares[1] * weight;
  }

  /** Solves the normal equations, which are tridiagonal; a ridge keeps the function at 0 where nothing lies. */
  void
  Fit(double ridge)
  {
    auto & solution = m_Right;
    for (std::size_t knot = 0; knot < Knots; ++knot)
    {
      m_Diagonal[knot] += ridge;
      if (knot > 0)
      {
        const double factor = m_Beside[knot - 1] / m_Diagonal[knot - 1];
        m_Diagonal[knot] -= factor * m_Beside[knot - 1];
        solution[knot] -= factor * solution[knot - 1];
      }
    }
    for (std::size_t knot = Knots; knot-- > 0;)
    {
      const double next = knot + 1 < Knots ? m_Beside[knot] * solution[knot + 1] : 0.0;
      solution[knot] = (solution[knot] - next) / m_Diagonal[knot];
    }
  }

  /** The function at a value, and its derivative. */
  std::array<double, 2>
  Predict(double value) const
  {
    const auto [knot, upper] = Find(value);
    const double step = m_Right[knot + 1] - m_Right[knot];
    return { m_Right[knot] + upper * step, step * (Knots - 1) };
  }

private:
  static constexpr std::size_t Knots = 8;

  static std::pair<std::size_t, double>
  Find(double value)
  {
    const double position = std::clamp(value, 0.0, 1.0) * (Knots - 1);
    const auto   knot = std::min(static_cast<std::int64_t>(position), static_cast<std::int64_t>(Knots) - 2);
    return { static_cast<std::size_t>(knot), position - static_cast<double>(knot) };
  }

  std::array<double, Knots>     m_Right{};
  std::array<double, Knots>     m_Diagonal{};
  std::array<double, Knots - 1> m_Beside{};
};

/** \class NePhiExplanation
 * \brief How well a level is explained by another one under an affine map, channel by channel: the correlation ratio.
 *
 * Differentiated by an infinitesimal motion of the points that the map leads to or, backwards, by its inverse of those
 * that it leads from. The gradient, and the Hessian of Gauss and Newton, are those of half the unexplained share by the
 * elements of the motion: its linear part row by row, then its translation.
 *
 * \ingroup NePhi
 */
template <unsigned int VDimension>
class NePhiExplanation
{
public:
  static constexpr std::size_t Motions = VDimension * (VDimension + 1);

  double                                           Explained{ 0.0 };
  double                                           Coverage{ 0.0 };
  std::array<double, Motions>                      Gradient{};
  std::array<std::array<double, Motions>, Motions> Hessian{};

  NePhiExplanation(const NePhiLevel<VDimension> & other,
                   const double *                 map,
                   std::size_t                    count,
                   const double *                 points,
                   bool                           backwards)
    : m_Other(other)
    , m_Map(map)
    , m_Backwards(backwards)
    , m_Points(count)
    , m_Acted(count)
    , m_Samples(count)
    , m_Weights(count)
    , m_Targets(count)
  {
    for (std::size_t n = 0; n < count; ++n)
    {
      std::array<double, VDimension> point;
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        point[d] = points[d * count + n];
      }
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        const double * const row = map + d * (VDimension + 1);
        m_Points[n][d] = row[VDimension];
        for (unsigned int e = 0; e < VDimension; ++e)
        {
          m_Points[n][d] += row[e] * point[e];
        }
      }
      m_Acted[n] = backwards ? point : m_Points[n];
    }
  }

  /** Adds a channel, its targets and the weights of the points. */
  void
  Add(std::int64_t channel, const double * targets, const double * weights, bool curved)
  {
    const std::size_t count = m_Points.size();
    double            total = 0.0;
    double            mean = 0.0;
    for (std::size_t n = 0; n < count; ++n)
    {
      m_Samples[n] = m_Other.Sample(channel, m_Points[n]);
      m_Weights[n] = m_Samples[n][0][1] * weights[n];
      total += m_Weights[n];
      mean += m_Weights[n] * targets[n];
    }
    Coverage += total / static_cast<double>(count);
    if (!(total > 0.0))
    {
      return;
    }
    mean /= total;

    NePhiContrast contrast;
    double        variance = LeastVariance * static_cast<double>(count);
    for (std::size_t n = 0; n < count; ++n)
    {
      m_Targets[n] = targets[n] - mean;
      variance += m_Weights[n] * m_Targets[n] * m_Targets[n];
      contrast.Add(m_Samples[n][0][0], m_Weights[n], m_Targets[n]);
    }
    contrast.Fit(Ridge * total);

    double unexplained = 0.0;
    for (std::size_t n = 0; n < count; ++n)
    {
      const double residual = m_Targets[n] - contrast.Predict(m_Samples[n][0][0])[0];
      unexplained += m_Weights[n] * residual * residual;
    }
    unexplained /= variance;
    Explained += 1.0 - unexplained;
    this->Differentiate(contrast, weights, variance, unexplained, curved);
  }

private:
  /** Of a variance of 1 without the other image, so that nothing is divided by 0. */
  static constexpr double LeastVariance = 1e-9;
  /** Keeps the function at the mean where no point lies, share of all weights. */
  static constexpr double Ridge = 1e-6;

  /** Adds the derivatives of a channel, for which the samples, weights and targets are those of its points. */
  void
  Differentiate(const NePhiContrast & contrast,
                const double *        weights,
                double                variance,
                double                unexplained,
                bool                  curved)
  {
    for (std::size_t n = 0; n < m_Points.size(); ++n)
    {
      const auto [predicted, derivative] = contrast.Predict(m_Samples[n][0][0]);
      const double                residual = m_Targets[n] - predicted;
      const double                gain = residual * residual - unexplained * m_Targets[n] * m_Targets[n];
      std::array<double, Motions> steepness;
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        const auto   slope = this->GetSlope(n, d);
        const double steep = derivative * slope[0];
        const double force = (weights[n] * gain / 2.0 * slope[1] - m_Weights[n] * residual * steep) / variance;
        for (unsigned int e = 0; e < VDimension; ++e)
        {
          Gradient[d * VDimension + e] += force * m_Acted[n][e];
          steepness[d * VDimension + e] = steep * m_Acted[n][e];
        }
        Gradient[VDimension * VDimension + d] += force;
        steepness[VDimension * VDimension + d] = steep;
      }
      if (curved)
      {
        for (std::size_t i = 0; i < Motions; ++i)
        {
          for (std::size_t j = 0; j <= i; ++j)
          {
            Hessian[i][j] += steepness[i] * steepness[j] * (m_Weights[n] / variance);
          }
        }
      }
    }
  }

  /** The derivative of the value and of the weight found from a point, along an axis of the space of the motion. */
  std::array<double, 2>
  GetSlope(std::size_t n, unsigned int d) const
  {
    if (!m_Backwards)
    {
      return m_Samples[n][1 + d];
    }
    std::array<double, 2> slope{};
    for (unsigned int e = 0; e < VDimension; ++e)
    {
      const double element = m_Map[e * (VDimension + 1) + d];
      slope[0] -= element * m_Samples[n][1 + e][0];
      slope[1] -= element * m_Samples[n][1 + e][1];
    }
    return slope;
  }

  const NePhiLevel<VDimension> &                           m_Other;
  const double *                                           m_Map;
  bool                                                     m_Backwards;
  std::vector<std::array<double, VDimension>>              m_Points;
  std::vector<std::array<double, VDimension>>              m_Acted;
  std::vector<typename NePhiLevel<VDimension>::SampleType> m_Samples;
  std::vector<double>                                      m_Weights;
  std::vector<double>                                      m_Targets;
};
} // namespace itk

#endif
