// What the tests of the C++ code alone share: an example of a field, points, and how a failure is told.
#ifndef field_example_h
#define field_example_h

#include "itkNePhiField.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

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

template <unsigned int VDimension>
std::vector<double>
RandomCoords(std::size_t count)
{
  std::mt19937_64                        generator(count);
  std::uniform_real_distribution<double> uniform(-1.2, 1.2);
  std::vector<double>                    coords(count * VDimension);
  for (double & coord : coords)
  {
    coord = uniform(generator);
  }
  return coords;
}

template <unsigned int VDimension>
struct Example
{
  itk::NePhiFieldShape<VDimension> Shape{};
  std::array<double, VDimension>   Extent{};
  std::vector<double>              Frequencies{};
  std::vector<double>              Weights{};
  std::vector<double>              GlobalCode{};
  std::vector<double>              LocalCode{};
  std::vector<double>              Splines{};

  Example(std::size_t width, std::size_t depth, std::size_t frequencies, std::size_t globalCodeSize)
  {
    Shape.Width = width;
    Shape.Depth = depth;
    Shape.Frequencies = frequencies;
    Shape.GlobalCodeSize = globalCodeSize;
    Shape.LocalCodeChannels = 3;
    Shape.LocalCodeGrid.fill(2);
    Shape.LocalCodeGrid[0] = 4;
    Shape.SplineCells.resize(width % 2 == 0 ? 0 : 1 + width % 3);
    for (std::size_t n = 0; n < Shape.SplineCells.size(); ++n)
    {
      Shape.SplineCells[n].fill(1 + n);
      Shape.SplineCells[n][0] = 3 + 4 * n;
    }
    Extent.fill(0.7);
    Extent[0] = 1.0;

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
    Frequencies = random(VDimension * frequencies, 1.0);
    Weights = random(Shape.GetNumberOfWeights(), 0.03);
    GlobalCode = random(globalCodeSize, 1.0);
    LocalCode = random(Shape.GetLocalCodeSize(), 1.0);
    Splines = random(Shape.GetSplinesSize(), 0.1);
  }

  template <typename TReal>
  itk::NePhiField<TReal, VDimension>
  Field() const
  {
    itk::NePhiField<TReal, VDimension> field(
      Shape, Extent, Frequencies.data(), Weights.data(), GlobalCode.data(), LocalCode.data());
    field.SetSplines(Shape, Splines.data());
    return field;
  }

  /** The formula of the field, written down once more, in plain loops. */
  std::array<double, VDimension>
  Formula(const double * coords) const
  {
    constexpr double               twoPi = 6.283185307179586;
    std::array<double, VDimension> x;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      x[d] = std::fmin(std::fmax(coords[d], -Extent[d]), Extent[d]);
    }
    std::vector<double> embedding(2 * Shape.Frequencies);
    for (std::size_t f = 0; f < Shape.Frequencies; ++f)
    {
      double phase = 0.0;
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        phase += x[d] * Frequencies[d * Shape.Frequencies + f];
      }
      embedding[f] = std::sin(twoPi * phase);
      embedding[Shape.Frequencies + f] = std::cos(twoPi * phase);
    }
    std::vector<double> source = GlobalCode;
    for (std::size_t channel = 0; channel < Shape.LocalCodeChannels; ++channel)
    {
      double            sum = 0.0;
      std::size_t       vertex[VDimension];
      const std::size_t vertices = Shape.GetLocalCodeSize() / Shape.LocalCodeChannels;
      for (std::size_t n = 0; n < vertices; ++n)
      {
        double      weight = 1.0;
        std::size_t rest = n;
        for (unsigned int d = 0; d < VDimension; ++d)
        {
          vertex[d] = rest % Shape.LocalCodeGrid[d];
          rest /= Shape.LocalCodeGrid[d];
          const double position = (x[d] / Extent[d] + 1.0) / 2.0 * static_cast<double>(Shape.LocalCodeGrid[d] - 1);
          weight *= std::fmax(0.0, 1.0 - std::abs(position - static_cast<double>(vertex[d])));
        }
        sum += weight * LocalCode[n * Shape.LocalCodeChannels + channel];
      }
      source.push_back(sum);
    }
    source.insert(source.end(), embedding.begin(), embedding.end());

    const double * next = Weights.data();
    const auto     affine = [&](const std::vector<double> & input, std::size_t outputs) {
      std::vector<double> output(next + outputs * input.size(), next + outputs * (input.size() + 1));
      for (std::size_t o = 0; o < outputs; ++o)
      {
        for (std::size_t i = 0; i < input.size(); ++i)
        {
          output[o] += next[o * input.size() + i] * input[i];
        }
      }
      next += outputs * (input.size() + 1);
      return output;
    };
    const double * const synthesis = next;
    const std::size_t    hiddenLayer = Shape.Width * (Shape.Width + 1);
    next += Shape.Width * (embedding.size() + 1) + Shape.Depth * hiddenLayer + VDimension * (Shape.Width + 1);
    std::vector<std::vector<double>> gates{ affine(source, Shape.Width) };
    for (double & gate : gates[0])
    {
      gate = std::sin(30.0 * gate);
    }
    for (std::size_t k = 1; k <= Shape.Depth; ++k)
    {
      gates.push_back(affine(gates[k - 1], Shape.Width));
      for (std::size_t i = 0; i < Shape.Width; ++i)
      {
        gates[k][i] = std::sin(30.0 * gates[k][i]) + gates[0][i];
      }
    }
    next = synthesis;
    std::vector<double> hidden = affine(embedding, Shape.Width);
    for (double & value : hidden)
    {
      value = std::sin(value);
    }
    for (std::size_t k = 1; k <= Shape.Depth; ++k)
    {
      hidden = affine(hidden, Shape.Width);
      for (std::size_t i = 0; i < Shape.Width; ++i)
      {
        hidden[i] = gates[k][i] * std::sin(30.0 * hidden[i]);
      }
    }
    const std::vector<double>      output = affine(hidden, VDimension);
    std::array<double, VDimension> displacement;
    std::copy_n(output.begin(), VDimension, displacement.begin());
    const double * coefficients = Splines.data();
    for (const auto & cells : Shape.SplineCells)
    {
      const std::size_t size = itk::NePhiSpline<VDimension>::GetSize(cells);
      for (std::size_t n = 0; n < size; ++n)
      {
        double      weight = 1.0;
        std::size_t rest = n / VDimension;
        for (unsigned int d = 0; d < VDimension; ++d)
        {
          const double position = (x[d] / Extent[d] + 1.0) / 2.0 * static_cast<double>(cells[d]);
          weight *= CubicBSpline(position + 1.0 - static_cast<double>(rest % (cells[d] + 3)));
          rest /= cells[d] + 3;
        }
        displacement[n % VDimension] += weight * coefficients[n];
      }
      coefficients += size;
    }
    return displacement;
  }

  static double
  CubicBSpline(double x)
  {
    const double distance = std::abs(x);
    const double near = 2.0 / 3.0 - distance * distance * (1.0 - distance / 2.0);
    return distance < 1.0 ? near : std::pow(std::fmax(0.0, 2.0 - distance), 3.0) / 6.0;
  }
};

} // namespace

#endif
