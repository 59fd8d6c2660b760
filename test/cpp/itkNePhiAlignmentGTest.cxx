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

#include "gtest/gtest.h"

#include <cmath>
#include <limits>
#include <random>

namespace
{
/** Two channels on an anisotropic grid, with weights that fall to 0 at its rim, and points in and around it. */
template <unsigned int VDimension>
struct LevelExample
{
  static constexpr std::size_t  Count = 300;
  static constexpr std::int64_t Channels = 2;

  std::array<std::int64_t, VDimension> Sizes{};
  std::array<double, 2 * VDimension>   Geometry{};
  std::vector<double>                  Image{};
  std::vector<double>                  Points{};
  std::vector<double>                  Weights{};
  std::array<double, VDimension + 1>   Slope{};

  LevelExample()
  {
    std::int64_t voxels = 1;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      Sizes[d] = 9 + d;
      Geometry[d] = 0.1 + 0.02 * d;
      Geometry[VDimension + d] = -0.5 - 0.03 * d;
      Slope[d] = 0.3 - 0.2 * d;
      voxels *= Sizes[d];
    }
    Slope[VDimension] = 0.4;
    for (std::int64_t channel = 0; channel < Channels; ++channel)
    {
      for (std::int64_t voxel = 0; voxel < voxels; ++voxel)
      {
        std::int64_t left = voxel;
        double       value = Slope[VDimension];
        bool         atRim = false;
        for (unsigned int d = 0; d < VDimension; ++d)
        {
          const std::int64_t index = left % Sizes[d];
          left /= Sizes[d];
          value += Slope[d] * (Geometry[VDimension + d] + Geometry[d] * static_cast<double>(index));
          atRim = atRim || index == 0 || index == Sizes[d] - 1;
        }
        Image.push_back(channel == 0 ? value : value * value);
        Image.push_back(atRim ? 0.0 : 1.0);
      }
    }
    std::mt19937                     generator(3);
    std::uniform_real_distribution<> uniform(-0.7, 0.7);
    for (std::size_t n = 0; n < VDimension * Count; ++n)
    {
      Points.push_back(uniform(generator));
    }
    for (std::size_t n = 0; n < Count; ++n)
    {
      Weights.push_back(0.7 + 0.3 * uniform(generator));
    }
  }

  itk::NePhiLevel<VDimension>
  GetLevel() const
  {
    return { Sizes.data(), Geometry.data(), Image.data() };
  }

  std::array<double, VDimension>
  GetPoint(std::size_t n) const
  {
    std::array<double, VDimension> point;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      point[d] = Points[d * Count + n];
    }
    return point;
  }

  /** What explains a channel of its own at the points, moved along the first axis by a map that is nearly the identity.
   */
  itk::NePhiExplanation<VDimension>
  Explain(double shift, bool backwards) const
  {
    std::array<double, VDimension *(VDimension + 1)> map{};
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      map[d * (VDimension + 1) + d] = 1.0;
    }
    map[VDimension] = shift;
    const auto                        level = this->GetLevel();
    itk::NePhiExplanation<VDimension> explanation(level, map.data(), Count, Points.data(), backwards);
    std::vector<double>               targets;
    for (std::size_t n = 0; n < Count; ++n)
    {
      targets.push_back(std::sin(9.0 * Points[n]) + this->GetLevel().Sample(1, this->GetPoint(n))[0][0]);
    }
    explanation.Add(0, targets.data(), Weights.data(), true);
    return explanation;
  }
};

template <unsigned int VDimension>
void
TestSamples()
{
  const LevelExample<VDimension> example;
  const auto                     level = example.GetLevel();
  std::size_t                    inside = 0;
  for (std::size_t n = 0; n < example.Count; ++n)
  {
    const auto point = example.GetPoint(n);
    const auto sample = level.Sample(0, point);
    if (sample[0][1] != 1.0)
    {
      continue;
    }
    ++inside;
    double expected = example.Slope[VDimension];
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      expected += example.Slope[d] * point[d];
      EXPECT_NEAR(sample[1 + d][0], example.Slope[d], 1e-12);
      EXPECT_NEAR(sample[1 + d][1], 0.0, 1e-12);
    }
    EXPECT_NEAR(sample[0][0], expected, 1e-12);
  }
  EXPECT_GT(inside, 20u);
  EXPECT_LT(inside, example.Count);
  for (const double coordinate : { 3.0, -1e300, std::numeric_limits<double>::quiet_NaN() })
  {
    auto point = example.GetPoint(0);
    point[VDimension - 1] = coordinate;
    const auto sample = level.Sample(1, point);
    EXPECT_TRUE(sample == (typename itk::NePhiLevel<VDimension>::SampleType{}));
  }
}

template <unsigned int VDimension>
void
TestDerivatives(bool backwards)
{
  const LevelExample<VDimension> example;
  constexpr double               step = 1e-6;
  // a shift of all points is a motion, and backwards its inverse one
  const double sign = backwards ? -1.0 : 1.0;
  const auto   fit = example.Explain(0.013, backwards);
  const double expected =
    (example.Explain(0.013 + step, false).Explained - example.Explain(0.013 - step, false).Explained) / (2.0 * step);
  constexpr std::size_t shift = VDimension * VDimension;
  EXPECT_GT(std::abs(expected), 1e-3);
  // the ridge leaves a little
  EXPECT_NEAR(fit.Gradient[shift], -sign * expected / 2.0, 1e-3 * std::abs(expected));
  EXPECT_GT(fit.Coverage, 0.1);
  EXPECT_LT(fit.Coverage, 0.7);
  for (std::size_t i = 0; i < fit.Motions; ++i)
  {
    EXPECT_GE(fit.Hessian[i][i], 0.0);
  }
}
} // namespace

TEST(NePhiAlignment, LinearFunctionsAreInterpolatedExactly)
{
  TestSamples<2>();
  TestSamples<3>();
}

TEST(NePhiAlignment, TheGradientIsThatOfWhatIsExplained)
{
  for (const bool backwards : { false, true })
  {
    TestDerivatives<2>(backwards);
    TestDerivatives<3>(backwards);
  }
}

TEST(NePhiAlignment, APiecewiseLinearFunctionIsFound)
{
  itk::NePhiContrast contrast;
  const auto         truth = [](double value) { return std::abs(7.0 * value - 3.0); };
  for (int n = 0; n <= 200; ++n)
  {
    const double value = n / 200.0;
    contrast.Add(value, 1.0 + value, truth(value));
  }
  contrast.Fit(1e-9);
  for (const double value : { 0.0, 0.1, 0.5, 0.98, 1.0 })
  {
    const auto [predicted, derivative] = contrast.Predict(value);
    EXPECT_NEAR(predicted, truth(value), 1e-6);
    EXPECT_NEAR(derivative, value < 3.0 / 7.0 ? -7.0 : 7.0, 1e-5);
  }
}
