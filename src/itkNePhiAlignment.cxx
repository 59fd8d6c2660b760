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
#include "itkNePhiAlignment.h"

#include "itkNePhiCalls.h"

namespace itk
{
template <unsigned int VDimension>
void
NePhiSampleLevel(const std::int64_t * sizes,
                 const double *       geometry,
                 const double *       image,
                 const double *       points,
                 double *             samples)
{
  const NePhiLevel<VDimension> level(sizes, geometry, image);
  const std::int64_t           channels = sizes[VDimension];
  const auto                   count = static_cast<std::size_t>(sizes[VDimension + 1]);
  for (std::size_t n = 0; n < count; ++n)
  {
    std::array<double, VDimension> point;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      point[d] = points[d * count + n];
    }
    for (std::int64_t channel = 0; channel < channels; ++channel)
    {
      const auto sample = level.Sample(channel, point);
      for (std::size_t row = 0; row <= VDimension; ++row)
      {
        std::copy_n(sample[row].begin(), 2, samples + 2 * ((channel * (1 + VDimension) + row) * count + n));
      }
    }
  }
}


template <unsigned int VDimension>
void
NePhiExplainLevel(const std::int64_t * sizes,
                  const double *       geometry,
                  const double *       image,
                  const double *       points,
                  const double *       weights,
                  const double *       targets,
                  double *             fit)
{
  const NePhiLevel<VDimension> other(sizes, geometry, image);
  const std::int64_t           channels = sizes[VDimension];
  const auto                   count = static_cast<std::size_t>(sizes[VDimension + 1]);
  const bool                   curved = sizes[VDimension + 2] != 0;
  const bool                   backwards = sizes[VDimension + 3] != 0;
  NePhiExplanation<VDimension> explanation(other, geometry + 2 * VDimension, count, points, backwards);
  for (std::int64_t channel = 0; channel < channels; ++channel)
  {
    explanation.Add(channel, targets + channel * count, weights, curved);
  }
  const auto            mean = [&](double sum) { return sum / static_cast<double>(channels); };
  constexpr std::size_t motions = NePhiExplanation<VDimension>::Motions;
  *fit++ = mean(explanation.Explained);
  *fit++ = mean(explanation.Coverage);
  fit = std::transform(explanation.Gradient.begin(), explanation.Gradient.end(), fit, mean);
  for (std::size_t i = 0; i < motions; ++i)
  {
    for (std::size_t j = 0; j < motions; ++j)
    {
      *fit++ = mean(explanation.Hessian[std::max(i, j)][std::min(i, j)]);
    }
  }
}


#define ITK_NEPHI_INSTANTIATE(VDimension)                                                                              \
  template decltype(NePhiSampleLevel<VDimension>)  NePhiSampleLevel<VDimension>;                                       \
  template decltype(NePhiExplainLevel<VDimension>) NePhiExplainLevel<VDimension>

ITK_NEPHI_INSTANTIATE(2);
ITK_NEPHI_INSTANTIATE(3);
} // namespace itk
