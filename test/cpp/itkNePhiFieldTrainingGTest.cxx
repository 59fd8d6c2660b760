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
#include "itkNePhiFieldTraining.h"

#include "gtest/gtest.h"
#include "itkNePhiFieldExample.h"
#include "itkNePhiFieldGradient.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <random>
#include <thread>

namespace
{
/** Parameters of a field in single precision, or the derivatives by them, each by itself. */
struct Arrays
{
  std::vector<std::vector<float>> Values{};
  std::vector<float *>            Pointers{};

  template <unsigned int VDimension>
  explicit Arrays(const Example<VDimension> & example)
  {
    const auto & layout = example.Layout;
    const auto   add = [&](const double * source, std::size_t size) {
      Values.emplace_back(source, source + size);
      return source + size;
    };
    add(example.GlobalCode.data(), layout.GlobalCodeSize);
    add(example.LocalCode.data(), layout.GetLocalCodeSize());
    for (const auto & layer : layout.GetLayers())
    {
      const double * const weights = example.Weights.data() + layer.Offset;
      add(add(weights, layer.Outputs * layer.Inputs), layer.Outputs);
    }
    const double * splines = example.Splines.data();
    for (const auto & cells : layout.SplineCells)
    {
      splines = add(splines, itk::NePhiFieldLayout<VDimension>::GetSplineSize(cells));
    }
    for (std::vector<float> & values : Values)
    {
      Pointers.push_back(values.data());
    }
  }
  Arrays(const Arrays &) = delete;
  Arrays &
  operator=(const Arrays &) = delete;
};

template <unsigned int VDimension>
void
TestTraining(std::size_t width, std::size_t depth, std::size_t frequencies, std::size_t globalCodeSize)
{
  constexpr double          tolerance = 1e-4;
  constexpr std::size_t     square = VDimension * VDimension;
  const Example<VDimension> example(width, depth, frequencies, globalCodeSize);
  const std::vector<float>  extent(example.Extent.begin(), example.Extent.end());
  const std::vector<float>  bands(example.Frequencies.begin(), example.Frequencies.end());
  const Arrays              parameters(example);
  const auto                onTwoThreads = [](std::size_t count, const auto & function) {
    std::atomic<std::size_t> next{ 0 };
    const auto               work = [&] {
      for (std::size_t n = next++; n < count; n = next++)
      {
        function(n);
      }
    };
    std::thread other(work);
    work();
    other.join();
  };
  for (const std::size_t count : { std::size_t{ 1 }, std::size_t{ 101 } })
  {
    const std::vector<double> coords = RandomCoords<VDimension>(count);
    const std::vector<double> cotangents = RandomCoords<VDimension>(2 * count);
    const std::vector<float>  singleCoords(coords.begin(), coords.end());
    const std::vector<float>  gradMoved(cotangents.begin(), cotangents.begin() + coords.size());
    const std::vector<float>  gradJacobians(count * square, 1.0F);
    std::vector<double>       displacements(coords.size());
    std::vector<double>       derivatives(count * square);
    example.template Field<double>().EvaluateWithJacobian(
      count, coords.data(), displacements.data(), derivatives.data());

    std::vector<double>                         gradWeights(example.Weights.size());
    std::vector<double>                         gradGlobalCode(example.GlobalCode.size());
    std::vector<double>                         gradLocalCode(example.LocalCode.size());
    std::vector<double>                         gradSplines(example.Splines.size());
    itk::NePhiFieldGradient<double, VDimension> gradient(example.Layout,
                                                         example.Extent,
                                                         example.Frequencies.data(),
                                                         example.Weights.data(),
                                                         example.GlobalCode.data(),
                                                         example.LocalCode.data());
    for (std::size_t n = 0; n < count; ++n)
    {
      std::array<double, VDimension> point;
      std::array<double, VDimension> factors;
      std::copy_n(coords.data() + n * VDimension, VDimension, point.begin());
      std::copy_n(cotangents.data() + n * VDimension, VDimension, factors.begin());
      gradient.Forward(point);
      gradient.AddDerivatives(
        factors, gradWeights.data(), gradGlobalCode.data(), gradLocalCode.data(), gradSplines.data());
    }
    gradGlobalCode.insert(gradGlobalCode.end(), gradLocalCode.begin(), gradLocalCode.end());
    gradGlobalCode.insert(gradGlobalCode.end(), gradWeights.begin(), gradWeights.end());
    gradGlobalCode.insert(gradGlobalCode.end(), gradSplines.begin(), gradSplines.end());

    double largest = 0.0;
    for (const double value : gradGlobalCode)
    {
      largest = std::fmax(largest, std::abs(value));
    }
    std::vector<float> first;
    for (const auto & kernels : itk::NePhiTrainingKernelSet<VDimension>::GetAll())
    {
      const itk::NePhiFieldTraining<VDimension> field(
        example.Layout, extent.data(), bands.data(), parameters.Pointers.data(), kernels);
      std::vector<float> moved(coords.size());
      std::vector<float> jacobians(count * square);
      field.Forward(count, singleCoords.data(), moved.data(), jacobians.data(), onTwoThreads);
      for (std::size_t n = 0; n < coords.size(); ++n)
      {
        ASSERT_NEAR(moved[n] - coords[n], displacements[n], tolerance);
      }
      for (std::size_t n = 0; n < derivatives.size(); ++n)
      {
        const double identity = n % square % (VDimension + 1) == 0 ? 1.0 : 0.0;
        ASSERT_NEAR(jacobians[n] - identity, derivatives[n], tolerance * 30);
      }

      const Arrays       found(example);
      std::vector<float> gradCoords(coords.size());
      field.Backward(
        count, singleCoords.data(), gradMoved.data(), nullptr, found.Pointers.data(), gradCoords.data(), onTwoThreads);
      std::size_t n = 0;
      for (const std::vector<float> & values : found.Values)
      {
        for (const float value : values)
        {
          const double expected = gradGlobalCode[n++];
          ASSERT_NEAR(value, expected, tolerance * largest);
        }
      }
      std::vector<float> all(gradCoords);
      field.Backward(count,
                     singleCoords.data(),
                     gradMoved.data(),
                     gradJacobians.data(),
                     found.Pointers.data(),
                     gradCoords.data(),
                     onTwoThreads);
      all.insert(all.end(), gradCoords.begin(), gradCoords.end());
      for (const std::vector<float> & values : found.Values)
      {
        all.insert(all.end(), values.begin(), values.end());
      }
      first = first.empty() ? all : first;
      const float scale = *std::max_element(first.begin(), first.end());
      for (n = 0; n < all.size(); ++n)
      {
        ASSERT_NEAR(all[n], first[n], 0.5 * tolerance * scale) << "another instruction set";
      }
    }
  }
}
} // namespace

TEST(NePhiFieldTraining, IsTheFieldAndItsExactGradientOnEveryInstructionSet)
{
  TestTraining<3>(5, 0, 1, 0);
  TestTraining<3>(33, 2, 5, 3);
}
