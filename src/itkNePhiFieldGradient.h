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
#ifndef itkNePhiFieldGradient_h
#define itkNePhiFieldGradient_h

#include "itkNePhiField.h"

#include <algorithm>
#include <cmath>

namespace itk
{
/** \class NePhiFieldGradient
 * \brief Differentiates a neural deformation field with respect to its weights, codes and splines, in reverse mode,
 * in double precision.
 *
 * For the formula and the order of the weights see NePhiField. One object serves one point after the other of one
 * field, and one thread.
 *
 * \ingroup NePhi
 */
template <typename TSource, unsigned int VDimension>
class NePhiFieldGradient
{
public:
  using LayoutType = NePhiFieldLayout<VDimension>;
  using CoordsType = std::array<double, VDimension>;

  /** The numbers are not copied: they must outlive this object. */
  NePhiFieldGradient(const LayoutType & layout,
                     const CoordsType & extent,
                     const double *     frequencies,
                     const TSource *    weights,
                     const TSource *    globalCode,
                     const TSource *    localCode)
    : m_Layout(layout)
    , m_Extent(extent)
    , m_Frequencies(frequencies)
    , m_GlobalCode(globalCode)
    , m_LocalCode(localCode)
  {
    const auto layers = layout.GetLayers();
    for (std::size_t n = 0; n < layers.size(); ++n)
    {
      auto & kind = n < layout.GetModulationLayer() ? m_Synthesis : m_Modulation;
      kind.push_back({ layers[n], weights + layers[n].Offset });
    }
  }

  /** Evaluates the field at the given coords and remembers what the derivatives need. */
  void
  Forward(const CoordsType & coords)
  {
    constexpr double  twoPi = 6.283185307179586;
    const std::size_t frequencies = m_Layout.Frequencies;
    CoordsType        x;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      x[d] = std::min(std::max(-m_Extent[d], coords[d]), m_Extent[d]);
    }
    m_SplinePoints.clear();
    for (const auto & cells : m_Layout.SplineCells)
    {
      m_SplinePoints.emplace_back(NePhiSpline<VDimension>(cells, m_Extent.data())).Find(1, x.data(), 0.0);
    }
    m_Embedding.resize(2 * frequencies);
    for (std::size_t f = 0; f < frequencies; ++f)
    {
      double turns = 0.0;
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        turns += x[d] * m_Frequencies[d * frequencies + f];
      }
      m_Embedding[f] = std::sin(twoPi * turns);
      m_Embedding[frequencies + f] = std::cos(twoPi * turns);
    }
    m_Source.assign(m_GlobalCode, m_GlobalCode + m_Layout.GlobalCodeSize);
    m_Source.resize(m_Layout.GlobalCodeSize + m_Layout.LocalCodeChannels, 0.0);
    this->FindVertices(x);
    for (const auto & vertex : m_Vertices)
    {
      for (std::size_t c = 0; c < m_Layout.LocalCodeChannels; ++c)
      {
        m_Source[m_Layout.GlobalCodeSize + c] += vertex.Weight * m_LocalCode[vertex.Offset + c];
      }
    }
    m_Source.insert(m_Source.end(), m_Embedding.begin(), m_Embedding.end());

    m_Gates.resize(m_Layout.Depth + 1);
    m_Hidden.resize(m_Layout.Depth + 1);
    m_GateSines.resize(m_Layout.Depth + 1);
    m_HiddenSines.resize(m_Layout.Depth + 1);
    m_GateSines[0].Compute(m_Modulation[0], m_Source);
    m_Gates[0] = m_GateSines[0].Value;
    m_HiddenSines[0].Compute(m_Synthesis[0], m_Embedding);
    m_Hidden[0] = m_HiddenSines[0].Value;
    for (std::size_t k = 1; k <= m_Layout.Depth; ++k)
    {
      m_GateSines[k].Compute(m_Modulation[k], m_Gates[k - 1]);
      m_HiddenSines[k].Compute(m_Synthesis[k], m_Hidden[k - 1]);
      m_Gates[k].resize(m_Layout.Width);
      m_Hidden[k].resize(m_Layout.Width);
      for (std::size_t i = 0; i < m_Layout.Width; ++i)
      {
        m_Gates[k][i] = m_GateSines[k].Value[i] + m_Gates[0][i];
        m_Hidden[k][i] = m_Gates[k][i] * m_HiddenSines[k].Value[i];
      }
    }
  }

  /** Adds the derivatives of the sum of the given cotangents of the displacement's components, at the last coords. */
  template <typename TDerivative>
  void
  AddDerivatives(const CoordsType & cotangents,
                 TDerivative *      gradWeights,
                 TDerivative *      gradGlobalCode,
                 TDerivative *      gradLocalCode,
                 TDerivative *      gradSplines)
  {
    const std::size_t   width = m_Layout.Width;
    const std::size_t   depth = m_Layout.Depth;
    std::vector<double> gradOutput(cotangents.begin(), cotangents.end());
    std::vector<double> gradHidden = m_Synthesis[depth + 1].AddDerivatives(gradOutput, m_Hidden[depth], gradWeights);
    std::vector<double> gradGate(width, 0.0);
    std::vector<double> gradFirstGate(width, 0.0);
    std::vector<double> gradHiddenPhase(width);
    std::vector<double> gradGatePhase(width);
    for (std::size_t k = depth; k > 0; --k)
    {
      for (std::size_t i = 0; i < width; ++i)
      {
        gradGate[i] += gradHidden[i] * m_HiddenSines[k].Value[i];
        gradFirstGate[i] += gradGate[i];
        gradGatePhase[i] = gradGate[i] * m_GateSines[k].Slope[i];
        gradHiddenPhase[i] = gradHidden[i] * m_Gates[k][i] * m_HiddenSines[k].Slope[i];
      }
      gradHidden = m_Synthesis[k].AddDerivatives(gradHiddenPhase, m_Hidden[k - 1], gradWeights);
      gradGate = m_Modulation[k].AddDerivatives(gradGatePhase, m_Gates[k - 1], gradWeights);
    }
    for (std::size_t i = 0; i < width; ++i)
    {
      gradHiddenPhase[i] = gradHidden[i] * m_HiddenSines[0].Slope[i];
      gradGatePhase[i] = (gradFirstGate[i] + gradGate[i]) * m_GateSines[0].Slope[i];
    }
    m_Synthesis[0].AddDerivatives(gradHiddenPhase, m_Embedding, gradWeights);
    const std::vector<double> gradSource = m_Modulation[0].AddDerivatives(gradGatePhase, m_Source, gradWeights);
    for (std::size_t i = 0; i < m_Layout.GlobalCodeSize; ++i)
    {
      gradGlobalCode[i] += static_cast<TDerivative>(gradSource[i]);
    }
    for (const auto & vertex : m_Vertices)
    {
      for (std::size_t c = 0; c < m_Layout.LocalCodeChannels; ++c)
      {
        gradLocalCode[vertex.Offset + c] +=
          static_cast<TDerivative>(vertex.Weight * gradSource[m_Layout.GlobalCodeSize + c]);
      }
    }
    for (std::size_t n = 0; n < m_SplinePoints.size(); ++n)
    {
      const auto & factors = m_SplinePoints[n].Factors;
      for (unsigned int i = 0; i < 4 * m_SplinePoints[n].Planes; ++i)
      {
        const unsigned int row = i % 4;
        const unsigned int plane = i / 4;
        const double share = factors[1][0][row][0] * (VDimension == 3 ? factors[VDimension - 1][0][plane][0] : 1.0);
        TDerivative * const gradRow = gradSplines + m_SplinePoints[n].GetRow(0, row, plane);
        for (unsigned int k = 0; k < 4 * VDimension; ++k)
        {
          const double factor = share * factors[0][0][k / VDimension][0];
          gradRow[k] += static_cast<TDerivative>(factor * cotangents[k % VDimension]);
        }
      }
      gradSplines += NePhiFieldLayout<VDimension>::GetSplineSize(m_Layout.SplineCells[n]);
    }
  }

private:
  using SplinePointsType = NePhiKernels::Portable::SplinePoints<double, VDimension, 0, 1>;

  struct Layer : NePhiFieldLayer
  {
    const TSource * Weights;

    /** Adds the derivatives with respect to the layer's weights; returns those with respect to its input. */
    template <typename TDerivative>
    std::vector<double>
    AddDerivatives(const std::vector<double> & gradOutput,
                   const std::vector<double> & input,
                   TDerivative *               gradWeights) const
    {
      std::vector<double> gradInput(this->Inputs, 0.0);
      TDerivative * const gradMatrix = gradWeights + this->Offset;
      for (std::size_t o = 0; o < this->Outputs; ++o)
      {
        for (std::size_t i = 0; i < this->Inputs; ++i)
        {
          gradMatrix[o * this->Inputs + i] += static_cast<TDerivative>(gradOutput[o] * input[i]);
          gradInput[i] += gradOutput[o] * Weights[o * this->Inputs + i];
        }
        gradMatrix[this->Outputs * this->Inputs + o] += static_cast<TDerivative>(gradOutput[o]);
      }
      return gradInput;
    }
  };

  /** The sines of a layer's scaled outputs, and their derivatives with respect to the unscaled ones. */
  struct SineType
  {
    std::vector<double> Value{};
    std::vector<double> Slope{};

    void
    Compute(const Layer & layer, const std::vector<double> & input)
    {
      const double scale = layer.Scale;
      Value.resize(layer.Outputs);
      Slope.resize(layer.Outputs);
      for (std::size_t o = 0; o < layer.Outputs; ++o)
      {
        double sum = layer.Weights[layer.Outputs * layer.Inputs + o];
        for (std::size_t i = 0; i < layer.Inputs; ++i)
        {
          sum += layer.Weights[o * layer.Inputs + i] * input[i];
        }
        Value[o] = std::sin(scale * sum);
        Slope[o] = scale * std::cos(scale * sum);
      }
    }
  };

  /** A vertex of the local code's grid: where its code lies, and its share in the code at a point. */
  struct VertexType
  {
    std::size_t Offset;
    double      Weight;
  };

  void
  FindVertices(const CoordsType & x)
  {
    m_Vertices.assign(1, { 0, 1.0 });
    std::size_t step = m_Layout.LocalCodeChannels;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      const std::size_t cells = m_Layout.LocalCodeGrid[d] - 1;
      const double      position = (x[d] / m_Extent[d] + 1.0) / 2.0 * static_cast<double>(cells);
      const std::size_t cell = std::min(static_cast<std::size_t>(position), cells - 1);
      const double      fraction = position - static_cast<double>(cell);
      const std::size_t count = m_Vertices.size();
      for (std::size_t n = 0; n < count; ++n)
      {
        m_Vertices.push_back({ m_Vertices[n].Offset + (cell + 1) * step, m_Vertices[n].Weight * fraction });
        m_Vertices[n] = { m_Vertices[n].Offset + cell * step, m_Vertices[n].Weight * (1.0 - fraction) };
      }
      step *= m_Layout.LocalCodeGrid[d];
    }
  }

  LayoutType                       m_Layout;
  CoordsType                       m_Extent;
  const double *                   m_Frequencies;
  const TSource *                  m_GlobalCode;
  const TSource *                  m_LocalCode;
  std::vector<Layer>               m_Synthesis{};
  std::vector<Layer>               m_Modulation{};
  std::vector<double>              m_Embedding{};
  std::vector<double>              m_Source{};
  std::vector<VertexType>          m_Vertices{};
  std::vector<SplinePointsType>    m_SplinePoints{};
  std::vector<SineType>            m_GateSines{};
  std::vector<SineType>            m_HiddenSines{};
  std::vector<std::vector<double>> m_Gates{};
  std::vector<std::vector<double>> m_Hidden{};
};

} // namespace itk
#endif
