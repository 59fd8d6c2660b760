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
#ifndef itkNePhiFieldExample_h
#define itkNePhiFieldExample_h

// What the tests of fields share: an example of a field, its formula, and points.

#include "itkNePhiField.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <vector>

namespace
{
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
  itk::NePhiFieldLayout<VDimension> Layout{};
  std::array<double, VDimension>    Extent{};
  std::vector<double>               Frequencies{};
  std::vector<double>               Weights{};
  std::vector<double>               GlobalCode{};
  std::vector<double>               LocalCode{};
  std::vector<double>               Splines{};

  Example(std::size_t width, std::size_t depth, std::size_t frequencies, std::size_t globalCodeSize)
  {
    Layout.Width = width;
    Layout.Depth = depth;
    Layout.Frequencies = frequencies;
    Layout.GlobalCodeSize = globalCodeSize;
    Layout.LocalCodeChannels = 3;
    Layout.LocalCodeGrid.fill(2);
    Layout.LocalCodeGrid[0] = 4;
    Layout.SplineCells.resize(width % 2 == 0 ? 0 : 1 + width % 3);
    for (std::size_t n = 0; n < Layout.SplineCells.size(); ++n)
    {
      Layout.SplineCells[n].fill(1 + n);
      Layout.SplineCells[n][0] = 3 + 4 * n;
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
    Weights = random(Layout.GetNumberOfWeights(), 0.03);
    GlobalCode = random(globalCodeSize, 1.0);
    LocalCode = random(Layout.GetLocalCodeSize(), 1.0);
    Splines = random(Layout.GetSplinesSize(), 0.1);
  }

  template <typename TReal>
  itk::NePhiField<TReal, VDimension>
  Field() const
  {
    itk::NePhiField<TReal, VDimension> field(
      Layout, Extent, Frequencies.data(), Weights.data(), GlobalCode.data(), LocalCode.data());
    field.SetSplines(Layout, Splines.data());
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
    std::vector<double> embedding(2 * Layout.Frequencies);
    for (std::size_t f = 0; f < Layout.Frequencies; ++f)
    {
      double phase = 0.0;
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        phase += x[d] * Frequencies[d * Layout.Frequencies + f];
      }
      embedding[f] = std::sin(twoPi * phase);
      embedding[Layout.Frequencies + f] = std::cos(twoPi * phase);
    }
    std::vector<double> source = GlobalCode;
    for (std::size_t channel = 0; channel < Layout.LocalCodeChannels; ++channel)
    {
      double            sum = 0.0;
      std::size_t       vertex[VDimension];
      const std::size_t vertices = Layout.GetLocalCodeSize() / Layout.LocalCodeChannels;
      for (std::size_t n = 0; n < vertices; ++n)
      {
        double      weight = 1.0;
        std::size_t rest = n;
        for (unsigned int d = 0; d < VDimension; ++d)
        {
          vertex[d] = rest % Layout.LocalCodeGrid[d];
          rest /= Layout.LocalCodeGrid[d];
          const double position = (x[d] / Extent[d] + 1.0) / 2.0 * static_cast<double>(Layout.LocalCodeGrid[d] - 1);
          weight *= std::fmax(0.0, 1.0 - std::abs(position - static_cast<double>(vertex[d])));
        }
        sum += weight * LocalCode[n * Layout.LocalCodeChannels + channel];
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
    const std::size_t    hiddenLayer = Layout.Width * (Layout.Width + 1);
    next += Layout.Width * (embedding.size() + 1) + Layout.Depth * hiddenLayer + VDimension * (Layout.Width + 1);
    std::vector<std::vector<double>> gates{ affine(source, Layout.Width) };
    for (double & gate : gates[0])
    {
      gate = std::sin(30.0 * gate);
    }
    for (std::size_t k = 1; k <= Layout.Depth; ++k)
    {
      gates.push_back(affine(gates[k - 1], Layout.Width));
      for (std::size_t i = 0; i < Layout.Width; ++i)
      {
        gates[k][i] = std::sin(30.0 * gates[k][i]) + gates[0][i];
      }
    }
    next = synthesis;
    std::vector<double> hidden = affine(embedding, Layout.Width);
    for (double & value : hidden)
    {
      value = std::sin(value);
    }
    for (std::size_t k = 1; k <= Layout.Depth; ++k)
    {
      hidden = affine(hidden, Layout.Width);
      for (std::size_t i = 0; i < Layout.Width; ++i)
      {
        hidden[i] = gates[k][i] * std::sin(30.0 * hidden[i]);
      }
    }
    const std::vector<double>      output = affine(hidden, VDimension);
    std::array<double, VDimension> displacement;
    std::copy_n(output.begin(), VDimension, displacement.begin());
    const double * coefficients = Splines.data();
    for (const auto & cells : Layout.SplineCells)
    {
      const std::size_t size = itk::NePhiFieldLayout<VDimension>::GetSplineSize(cells);
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
