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
#include "itkNePhiField.h"

#include "gtest/gtest.h"
#include "itkNePhiFieldExample.h"
#include "itkNePhiLookAhead.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <random>
#include <thread>

namespace
{
template <typename TReal>
void
TestSine(double largest, double tolerance)
{
  constexpr std::size_t size = 16;
  TReal                 angles[size];
  TReal                 sines[size];
  TReal                 cosines[size];
  std::mt19937_64       generator(1);
  for (const double range : { 1e-8, 1.0, 4.0, 100.0, largest })
  {
    std::uniform_real_distribution<double> uniform(-range, range);
    for (int n = 0; n < 2000; ++n)
    {
      for (TReal & angle : angles)
      {
        angle = static_cast<TReal>(uniform(generator));
      }
      itk::NePhiKernels::Portable::SineAndCosine<true>(angles, sines, cosines, size);
      for (std::size_t i = 0; i < size; ++i)
      {
        const double angle = angles[i];
        ASSERT_NEAR(sines[i], std::sin(angle), tolerance);
        ASSERT_NEAR(cosines[i], std::cos(angle), tolerance);
      }
    }
  }
  for (const double beyond : { 10.0 * largest, 1e18, 1e30, HUGE_VAL })
  {
    for (std::size_t i = 0; i < size; ++i)
    {
      angles[i] = static_cast<TReal>(i % 2 == 0 ? beyond : largest);
    }
    itk::NePhiKernels::Portable::SineAndCosine<true>(angles, sines, cosines, size);
    EXPECT_EQ(sines[0], sines[1]);
    EXPECT_EQ(cosines[0], cosines[1]);
  }
}

template <typename TReal, unsigned int VDimension>
void
TestField(std::size_t width, std::size_t depth, std::size_t frequencies, std::size_t globalCodeSize, double tolerance)
{
  constexpr std::size_t     square = VDimension * VDimension;
  const Example<VDimension> example(width, depth, frequencies, globalCodeSize);
  const auto                field = example.template Field<TReal>();
  for (const auto & kernels : itk::NePhiKernelSet<TReal, VDimension>::GetAll())
  {
    // A block, a part of one, and a few points more.
    for (const std::size_t count : { kernels.PointsTogether, 2 * kernels.PointsTogether - 1, std::size_t{ 3 } })
    {
      const std::vector<double> coords = RandomCoords<VDimension>(count);
      std::vector<double>       values(coords.size());
      std::vector<double>       same(coords.size());
      std::vector<double>       jacobians(count * square);
      field.Evaluate(count, coords.data(), values.data(), kernels);
      field.EvaluateWithJacobian(count, coords.data(), same.data(), jacobians.data(), kernels);
      ASSERT_EQ(values, same);
      for (std::size_t n = 0; n < count; ++n)
      {
        const double * point = coords.data() + n * VDimension;
        const auto     expected = example.Formula(point);
        for (unsigned int i = 0; i < VDimension; ++i)
        {
          ASSERT_NEAR(values[n * VDimension + i], expected[i], tolerance);
        }
        double alone[VDimension];
        double jacobian[square];
        field.EvaluateWithJacobian(1, point, alone, jacobian, kernels);
        ASSERT_TRUE(std::equal(alone, alone + VDimension, values.data() + n * VDimension)) << "a point alone";
        ASSERT_TRUE(std::equal(jacobian, jacobian + square, jacobians.data() + n * square)) << "a point alone";
        for (unsigned int j = 0; j < VDimension; ++j)
        {
          double clamped[VDimension];
          std::copy_n(point, VDimension, clamped);
          if (std::abs(point[j]) > example.Extent[j])
          {
            clamped[j] = std::copysign(example.Extent[j], point[j]);
            field.Evaluate(1, clamped, alone, kernels);
            ASSERT_TRUE(std::equal(alone, alone + VDimension, values.data() + n * VDimension)) << "outside";
            ASSERT_EQ(jacobian[j], 0.0) << "outside";
          }
        }
      }
    }
  }
}

} // namespace

TEST(NePhiField, JacobianIsTheDerivativeOfTheFormula)
{
  constexpr double    step = 1e-6;
  const Example<3>    example(33, 2, 5, 3);
  const auto          field = example.Field<double>();
  const auto          coords = RandomCoords<3>(200);
  std::vector<double> values(coords.size());
  std::vector<double> jacobians(3 * coords.size());
  field.EvaluateWithJacobian(200, coords.data(), values.data(), jacobians.data());
  for (std::size_t n = 0; n < 200; ++n)
  {
    for (unsigned int j = 0; j < 3; ++j)
    {
      double below[3];
      double above[3];
      std::copy_n(coords.data() + 3 * n, 3, below);
      std::copy_n(coords.data() + 3 * n, 3, above);
      below[j] -= step;
      above[j] += step;
      const auto first = example.Formula(below);
      const auto second = example.Formula(above);
      for (unsigned int i = 0; i < 3; ++i)
      {
        const double difference = (second[i] - first[i]) / (2.0 * step);
        // The derivative jumps between the cells of the local code's grid, which the step may straddle.
        ASSERT_NEAR(difference, jacobians[9 * n + 3 * i + j], 1e-4);
      }
    }
  }
}

TEST(NePhiField, NoCoordsAreDangerous)
{
  const auto field = Example<3>(16, 1, 2, 1).Field<float>();
  for (const double extreme : { 1e300, -1e300, HUGE_VAL, std::nan("") })
  {
    const double coords[3] = { extreme, 0.1, extreme };
    double       value[3];
    field.Evaluate(1, coords, value);
    EXPECT_TRUE(std::isfinite(value[0])) << extreme;
  }
}

TEST(NePhiLookAhead, AnswersAsTheMapAndPredictsLattices)
{
  using LookAheadType = itk::NePhiLookAhead<3>;
  using VectorType = LookAheadType::VectorType;
  const auto makeKey = [](const VectorType & point) {
    return VectorType{ std::round(point[0] * 1e6), std::round(point[1] * 1e6), std::round(point[2] * 1e6) };
  };
  std::size_t batches = 0;
  std::size_t evaluated = 0;
  const auto  evaluate = [&](std::size_t count, const double * keys, double * values) {
    ++batches;
    evaluated += count;
    for (std::size_t i = 0; i < 3 * count; ++i)
    {
      values[i] = 2.0 * keys[i];
    }
  };
  const auto ask = [&](std::uint64_t map, const VectorType & point) {
    const VectorType key = makeKey(point);
    const VectorType expected{ 2.0 * key[0], 2.0 * key[1], 2.0 * key[2] };
    EXPECT_EQ(LookAheadType::GetThreadLocal(map).Find(point, 10, makeKey, evaluate), expected);
  };

  // A lattice of 25 points a row and 7 rows a plane, twice.
  constexpr int         planes = 20;
  constexpr std::size_t points = 2 * planes * 7 * 25;
  for (std::size_t n = 0; n < points; ++n)
  {
    const auto i = static_cast<double>(n % 25);
    const auto j = static_cast<double>(n / 25 % 7);
    const auto k = static_cast<double>(n / 175 % planes);
    ask(1, { 0.1 + 0.3 * i + 0.02 * k, -7.0 + 0.2 * j + 0.01 * i, 5.0 + 0.7 * k - 0.1 * j });
  }
  EXPECT_LE(batches, points / 10 + 20);
  EXPECT_LE(evaluated, points + 100);

  batches = evaluated = 0;
  std::mt19937_64                        generator(1);
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  for (int n = 0; n < 1000; ++n)
  {
    ask(2, { uniform(generator), uniform(generator), uniform(generator) });
  }
  EXPECT_EQ(evaluated, 1000U) << "one by one";

  // Five maps take turns where there is room for four.
  for (int n = 0; n < 100; ++n)
  {
    ask(10 + static_cast<std::uint64_t>(n % 5), { 0.5 * n, 1.0, 2.0 });
  }
}

TEST(NePhiLookAhead, FindsNothingInWhatCouldNotBeEvaluated)
{
  using LookAheadType = itk::NePhiLookAhead<3>;
  using VectorType = LookAheadType::VectorType;
  constexpr VectorType point{ 1.0, 2.0, 3.0 };
  const auto           makeKey = [](const VectorType & asked) { return asked; };
  const auto           find = [&](const auto & evaluate) {
    return LookAheadType::GetThreadLocal(20).Find(point, 10, makeKey, evaluate);
  };
  EXPECT_THROW(find([](std::size_t, const double *, double *) { throw std::bad_alloc{}; }), std::bad_alloc);
  const auto evaluate = [](std::size_t count, const double *, double * values) { std::fill_n(values, 3 * count, 7.0); };
  EXPECT_EQ(find(evaluate), (VectorType{ 7.0, 7.0, 7.0 }));
}

TEST(NePhiField, ThreadsFindTheSame)
{
  constexpr std::size_t            count = 60;
  const auto                       field = Example<3>(20, 2, 4, 2).Field<float>();
  const auto                       coords = RandomCoords<3>(count);
  std::vector<std::vector<double>> values(4, std::vector<double>(coords.size()));
  std::vector<std::thread>         threads;
  for (auto & own : values)
  {
    threads.emplace_back([&] { field.Evaluate(count, coords.data(), own.data()); });
  }
  for (auto & thread : threads)
  {
    thread.join();
  }
  for (const auto & own : values)
  {
    EXPECT_EQ(own, values[0]);
  }
}

TEST(NePhiField, SinesAreAsExactAsTheySay)
{
  TestSine<float>(1e4, 2e-7);
  TestSine<double>(1e6, 2e-15);
}

TEST(NePhiField, IsTheFormulaOnEveryInstructionSet)
{
  // Widths around the numbers of outputs computed together.
  for (const std::size_t width : { 1, 15, 16, 17, 65 })
  {
    SCOPED_TRACE(width);
    TestField<double, 2>(width, 2, 5, 0, 1e-12);
    TestField<double, 3>(width, 1, 1, 7, 1e-12);
    TestField<double, 3>(width, 0, 3, 1, 1e-12);
    TestField<float, 2>(width, 1, 17, 1, 1e-5);
    TestField<float, 3>(width, 2, 5, 0, 1e-5);
  }
}
