// Tests itkNePhiField.h alone, without ITK: built and run by test_field.py, under sanitizers.

#include "itkNePhiField.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace
{
void
Expect(bool isTrue, const char * sentence)
{
  if (!isTrue)
  {
    std::printf("not true: %s\n", sentence);
    std::exit(EXIT_FAILURE);
  }
}

void
TestSine()
{
  std::mt19937_64 generator(1);
  for (const double range : { 1e-8, 1.0, 4.0, 100.0, 1e6 })
  {
    std::uniform_real_distribution<double> uniform(-range, range);
    for (int n = 0; n < 20000; ++n)
    {
      const double x = uniform(generator);
      Expect(std::abs(itk::NePhiSine<0>(x) - std::sin(x)) < 1e-15, "the sine is within 1e-15");
      Expect(std::abs(itk::NePhiSine<1>(x) - std::cos(x)) < 1e-15, "the cosine is within 1e-15");
    }
  }
  for (const double x : { 1e7, 1e18, 1e300, HUGE_VAL })
  {
    Expect(itk::NePhiSine<0>(x) == itk::NePhiSine<0>(1e6), "beyond its range the sine is constant");
    Expect(itk::NePhiSine<0>(-x) == itk::NePhiSine<0>(-1e6), "beyond its range the sine is constant");
  }
}

template <unsigned int VDimension>
void
TestField(std::size_t width, std::size_t depth, std::size_t frequencies, std::size_t globalCodeSize)
{
  using FieldType = itk::NePhiField<VDimension>;
  itk::NePhiFieldShape<VDimension> shape;
  shape.Width = width;
  shape.Depth = depth;
  shape.Frequencies = frequencies;
  shape.GlobalCodeSize = globalCodeSize;
  shape.LocalCodeChannels = 3;
  shape.LocalCodeGrid.fill(2);
  shape.LocalCodeGrid[0] = 4;

  std::mt19937_64                  generator(width);
  std::normal_distribution<double> normal;
  const auto                       random = [&](std::size_t size, double scale) {
    std::vector<double> values(size);
    for (double & value : values)
    {
      value = scale * normal(generator);
    }
    return values;
  };
  typename FieldType::CoordsType extent;
  extent.fill(0.7);
  extent[0] = 1.0;
  const FieldType field(shape,
                        extent,
                        random(VDimension * frequencies, 1.0).data(),
                        random(shape.GetNumberOfWeights(), 0.03).data(),
                        random(globalCodeSize, 1.0).data(),
                        random(shape.GetLocalCodeSize(), 1.0).data());

  std::uniform_real_distribution<double> uniform(-1.2, 1.2);
  for (int n = 0; n < 40; ++n)
  {
    typename FieldType::CoordsType coords;
    for (double & coord : coords)
    {
      coord = uniform(generator);
    }
    typename FieldType::JacobianType jacobian;
    const auto                       value = field.Evaluate(coords);
    const auto                       same = field.Evaluate(coords, jacobian);
    for (unsigned int i = 0; i < VDimension; ++i)
    {
      Expect(std::isfinite(value[i]), "the displacement is finite");
      Expect(std::abs(value[i] - same[i]) < 1e-12, "both evaluations give the same displacement");
    }
    for (unsigned int j = 0; j < VDimension; ++j)
    {
      if (std::abs(coords[j]) > extent[j])
      {
        auto clamped = coords;
        clamped[j] = std::copysign(extent[j], coords[j]);
        Expect(field.Evaluate(clamped) == value, "outside, the displacement is that of the boundary");
        Expect(jacobian[0][j] == 0.0, "outside, the derivative is zero");
      }
    }
  }
}
} // namespace

int
main()
{
  TestSine();
  // Widths around the number of outputs computed together.
  for (const std::size_t width : { 1, 31, 32, 33, 65 })
  {
    TestField<2>(width, 2, 5, 0);
    TestField<3>(width, 1, 1, 7);
    TestField<3>(width, 0, 3, 1);
  }
  return EXIT_SUCCESS;
}
