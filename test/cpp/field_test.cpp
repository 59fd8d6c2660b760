// Tests itkNePhiField.h and itkNePhiLookAhead.h alone, without ITK: built and run by test_field.py, under sanitizers.

#include "field_example.h"
#include "itkNePhiLookAhead.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
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
        Expect(std::abs(sines[i] - std::sin(angle)) < tolerance, "the sine is as exact as it says");
        Expect(std::abs(cosines[i] - std::cos(angle)) < tolerance, "the cosine is as exact as it says");
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
    Expect(sines[0] == sines[1] && cosines[0] == cosines[1], "beyond its range the sine is constant");
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
      Expect(values == same, "both evaluations give the same displacement");
      for (std::size_t n = 0; n < count; ++n)
      {
        const double * point = coords.data() + n * VDimension;
        const auto     expected = example.Formula(point);
        for (unsigned int i = 0; i < VDimension; ++i)
        {
          Expect(std::abs(values[n * VDimension + i] - expected[i]) < tolerance, "the displacement is the formula's");
        }
        double alone[VDimension];
        double jacobian[square];
        field.EvaluateWithJacobian(1, point, alone, jacobian, kernels);
        Expect(std::equal(alone, alone + VDimension, values.data() + n * VDimension), "a point alone is the same");
        Expect(std::equal(jacobian, jacobian + square, jacobians.data() + n * square), "a point alone is the same");
        for (unsigned int j = 0; j < VDimension; ++j)
        {
          double clamped[VDimension];
          std::copy_n(point, VDimension, clamped);
          if (std::abs(point[j]) > example.Extent[j])
          {
            clamped[j] = std::copysign(example.Extent[j], point[j]);
            field.Evaluate(1, clamped, alone, kernels);
            Expect(std::equal(alone, alone + VDimension, values.data() + n * VDimension),
                   "outside, the displacement is that of the boundary");
            Expect(jacobian[j] == 0.0, "outside, the derivative is zero");
          }
        }
      }
    }
  }
}

void
TestJacobian()
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
        Expect(std::abs(difference - jacobians[9 * n + 3 * i + j]) < 1e-4, "the Jacobian is the derivative");
      }
    }
  }
}

void
TestExtremes()
{
  const auto field = Example<3>(16, 1, 2, 1).Field<float>();
  for (const double extreme : { 1e300, -1e300, HUGE_VAL, std::nan("") })
  {
    const double coords[3] = { extreme, 0.1, extreme };
    double       value[3];
    field.Evaluate(1, coords, value);
    Expect(std::isfinite(value[0]), "no coords are dangerous");
  }
}

void
TestLookAhead()
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
    Expect(LookAheadType::GetThreadLocal(map).Find(point, 10, makeKey, evaluate) == expected,
           "the answer is the value at the asked point");
  };

  // A lattice of 25 points a row and 7 rows a plane, twice.
  constexpr int planes = 20;
  constexpr int points = 2 * planes * 7 * 25;
  for (int n = 0; n < points; ++n)
  {
    const int    i = n % 25;
    const int    j = n / 25 % 7;
    const double k = n / 175 % planes;
    ask(1, { 0.1 + 0.3 * i + 0.02 * k, -7.0 + 0.2 * j + 0.01 * i, 5.0 + 0.7 * k - 0.1 * j });
  }
  std::printf("%zu %zu of %d\n", batches, evaluated, points);
  Expect(batches <= points / 10 + 20, "the lattice is predicted");
  Expect(evaluated <= points + 100, "little is evaluated in vain");

  batches = evaluated = 0;
  std::mt19937_64                        generator(1);
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  for (int n = 0; n < 1000; ++n)
  {
    ask(2, { uniform(generator), uniform(generator), uniform(generator) });
  }
  Expect(evaluated == 1000, "random points are evaluated one by one");

  // Five maps take turns where there is room for four.
  for (int n = 0; n < 100; ++n)
  {
    ask(10 + static_cast<std::uint64_t>(n % 5), { 0.5 * n, 1.0, 2.0 });
  }
}

/** Several threads evaluate one field, each at all points. */
void
TestThreads()
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
    Expect(own == values[0], "all threads find the same");
  }
}
} // namespace

int
main()
{
  TestSine<float>(1e4, 2e-7);
  TestSine<double>(1e6, 2e-15);
  // Widths around the numbers of outputs computed together.
  for (const std::size_t width : { 1, 15, 16, 17, 65 })
  {
    TestField<double, 2>(width, 2, 5, 0, 1e-12);
    TestField<double, 3>(width, 1, 1, 7, 1e-12);
    TestField<double, 3>(width, 0, 3, 1, 1e-12);
    TestField<float, 2>(width, 1, 17, 1, 1e-5);
    TestField<float, 3>(width, 2, 5, 0, 1e-5);
  }
  TestJacobian();
  TestExtremes();
  TestLookAhead();
  TestThreads();
  return EXIT_SUCCESS;
}
