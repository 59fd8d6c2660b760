// Tests itkNePhiFieldTraining.h alone, without ITK: built and run by test_field.py, under sanitizers.

#include "field_example.h"
#include "itkNePhiFieldGradient.h"
#include "itkNePhiFieldTraining.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
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
    const auto &      shape = example.Shape;
    const std::size_t codes = shape.GlobalCodeSize + shape.LocalCodeChannels;
    const double *    weights = example.Weights.data();
    const auto        add = [&](const double * source, std::size_t size) {
      Values.emplace_back(source, source + size);
      return source + size;
    };
    const auto addLayer = [&](std::size_t inputs, std::size_t outputs) {
      weights = add(add(weights, outputs * inputs), outputs);
    };
    add(example.GlobalCode.data(), shape.GlobalCodeSize);
    add(example.LocalCode.data(), shape.GetLocalCodeSize());
    for (const std::size_t more : { std::size_t{ 0 }, codes })
    {
      addLayer(more + 2 * shape.Frequencies, shape.Width);
      for (std::size_t k = 0; k < shape.Depth; ++k)
      {
        addLayer(shape.Width, shape.Width);
      }
      if (more == 0)
      {
        addLayer(shape.Width, VDimension);
      }
    }
    const double * splines = example.Splines.data();
    for (const auto & cells : shape.SplineCells)
    {
      splines = add(splines, itk::NePhiSpline<VDimension>::GetSize(cells));
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
    itk::NePhiFieldGradient<double, VDimension> gradient(example.Shape,
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
        example.Shape, extent.data(), bands.data(), parameters.Pointers.data(), kernels);
      std::vector<float> moved(coords.size());
      std::vector<float> jacobians(count * square);
      field.Forward(count, singleCoords.data(), moved.data(), jacobians.data(), onTwoThreads);
      for (std::size_t n = 0; n < coords.size(); ++n)
      {
        Expect(std::abs(moved[n] - coords[n] - displacements[n]) < tolerance, "training moves points the same way");
      }
      for (std::size_t n = 0; n < derivatives.size(); ++n)
      {
        const double identity = n % square % (VDimension + 1) == 0 ? 1.0 : 0.0;
        Expect(std::abs(jacobians[n] - identity - derivatives[n]) < tolerance * 30, "training has the same Jacobians");
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
          Expect(std::abs(value - expected) < tolerance * largest, "the gradient is the exact one");
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
      for (n = 0; n < all.size(); ++n)
      {
        Expect(std::abs(all[n] - first[n]) < tolerance * 30 * largest, "all instruction sets agree");
      }
    }
  }
}
} // namespace

int
main()
{
  TestTraining<3>(5, 0, 1, 0);
  TestTraining<3>(33, 2, 5, 3);
  return EXIT_SUCCESS;
}
