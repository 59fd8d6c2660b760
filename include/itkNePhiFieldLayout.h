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
#ifndef itkNePhiFieldLayout_h
#define itkNePhiFieldLayout_h

#include <array>
#include <cstddef>
#include <vector>

namespace itk
{
/** The factor before the sines of all layers but the first of the synthesis, as in SIREN. */
constexpr double NePhiSineFrequency = 30.0;

/** \class NePhiFieldLayer
 * \brief One affine map of a neural deformation field, and where it is among the field's weights.
 *
 * Its matrix is row-major, [output][input]; its bias follows.
 *
 * \ingroup NePhi
 */
struct NePhiFieldLayer
{
  std::size_t Offset{ 0 };
  std::size_t Outputs{ 0 };
  std::size_t Inputs{ 0 };
  /** What the outputs are multiplied by: the frequency of the sine that follows; 1 where none does. */
  double Scale{ 1.0 };

  std::size_t
  GetSize() const
  {
    return Outputs * (Inputs + 1);
  }
};

/** \class NePhiFieldLayout
 * \brief The sizes of a neural deformation field, and with them where each number is in what the transform stores.
 *
 * The weights of a field are those of its layers, in the order of GetLayers(). The parameters of NePhiTransform are the
 * weights of the field and those of the inverse field, the global code, the local code, the splines of the field and
 * those of the inverse field. The local code is in the order of a VectorImage buffer: channels innermost, then i, j, k.
 *
 * A uniform cubic B-spline with n_i cells along axis i has n_i + 3 coefficients along it, each a displacement: in
 * memory components are innermost, then i, j, k.
 *
 * \ingroup NePhi
 */
template <unsigned int VDimension>
struct NePhiFieldLayout
{
  using IndexType = std::array<std::size_t, VDimension>;

  std::size_t Width{ 1 };
  std::size_t Depth{ 0 };
  std::size_t Frequencies{ 1 };
  std::size_t GlobalCodeSize{ 0 };
  std::size_t LocalCodeChannels{ 1 };
  IndexType   LocalCodeGrid{};

  /** The cells of each B-spline along each axis. */
  std::vector<IndexType> SplineCells{};

  /** \name Where each begins among the fixed parameters. The first of them is the file format's version. */
  /** @{ */
  static constexpr std::size_t FieldBegin = 1;
  static constexpr std::size_t LocalCodeGridBegin = 6;
  static constexpr std::size_t SizeBegin = LocalCodeGridBegin + VDimension;
  static constexpr std::size_t SpacingBegin = SizeBegin + VDimension;
  static constexpr std::size_t OriginBegin = SpacingBegin + VDimension;
  static constexpr std::size_t DirectionBegin = OriginBegin + VDimension;
  /** The frequencies of the field, which those of the inverse field follow. */
  static constexpr std::size_t FrequenciesBegin = DirectionBegin + VDimension * VDimension;

  std::size_t
  GetSplineCellsBegin() const
  {
    return FrequenciesBegin + 2 * VDimension * Frequencies;
  }
  /** @} */

  /** \name Where each begins among the parameters. The first are the weights. */
  /** @{ */
  std::size_t
  GetGlobalCodeBegin() const
  {
    return 2 * this->GetNumberOfWeights();
  }

  std::size_t
  GetLocalCodeBegin() const
  {
    return this->GetGlobalCodeBegin() + GlobalCodeSize;
  }

  std::size_t
  GetSplinesBegin() const
  {
    return this->GetLocalCodeBegin() + this->GetLocalCodeSize();
  }
  /** @} */

  std::size_t
  GetNumberOfParameters() const
  {
    return this->GetSplinesBegin() + 2 * this->GetSplinesSize();
  }

  /** The layers in the order of their weights: Depth + 1 of the synthesis, the output, Depth + 1 of the modulation.
   *
   * The inputs of the first of the modulation are the global code, the local code and the embedding. */
  std::vector<NePhiFieldLayer>
  GetLayers() const
  {
    const std::size_t            embedding = 2 * Frequencies;
    std::vector<NePhiFieldLayer> layers;
    std::size_t                  offset = 0;
    const auto                   add = [&](std::size_t outputs, std::size_t inputs, double scale) {
      layers.push_back({ offset, outputs, inputs, scale });
      offset += layers.back().GetSize();
    };
    const auto addHidden = [&] {
      for (std::size_t k = 0; k < Depth; ++k)
      {
        add(Width, Width, NePhiSineFrequency);
      }
    };
    add(Width, embedding, 1.0);
    addHidden();
    add(VDimension, Width, 1.0);
    add(Width, GlobalCodeSize + LocalCodeChannels + embedding, NePhiSineFrequency);
    addHidden();
    return layers;
  }

  /** Where each kind of layer begins in GetLayers(). */
  std::size_t
  GetOutputLayer() const
  {
    return Depth + 1;
  }

  std::size_t
  GetModulationLayer() const
  {
    return Depth + 2;
  }

  /** The number of weights of one field. */
  std::size_t
  GetNumberOfWeights() const
  {
    const NePhiFieldLayer last = this->GetLayers().back();
    return last.Offset + last.GetSize();
  }

  std::size_t
  GetLocalCodeSize() const
  {
    std::size_t size = LocalCodeChannels;
    for (const std::size_t gridSize : LocalCodeGrid)
    {
      size *= gridSize;
    }
    return size;
  }

  /** The number of numbers in the coefficients of a B-spline of so many cells. */
  static std::size_t
  GetSplineSize(const IndexType & cells)
  {
    std::size_t size = VDimension;
    for (const std::size_t count : cells)
    {
      size *= count + 3;
    }
    return size;
  }

  /** The same of all B-splines of one field. */
  std::size_t
  GetSplinesSize() const
  {
    std::size_t size = 0;
    for (const IndexType & cells : SplineCells)
    {
      size += GetSplineSize(cells);
    }
    return size;
  }

  bool
  operator==(const NePhiFieldLayout & other) const
  {
    return Width == other.Width && Depth == other.Depth && Frequencies == other.Frequencies &&
           GlobalCodeSize == other.GlobalCodeSize && LocalCodeChannels == other.LocalCodeChannels &&
           LocalCodeGrid == other.LocalCodeGrid && SplineCells == other.SplineCells;
  }
};

/** \class NePhiFieldDomain
 * \brief The box of an image, first to last voxel center, on which a field lives.
 * \ingroup NePhi
 */
template <unsigned int VDimension>
struct NePhiFieldDomain
{
  using VectorType = std::array<double, VDimension>;
  using MatrixType = std::array<VectorType, VDimension>;

  std::array<std::size_t, VDimension> Size{};
  VectorType                          Spacing{};
  VectorType                          Origin{};
  MatrixType                          Direction{};

  /** The point half-way between the first and the last voxel center, mm. */
  VectorType Center{};
  /** The length of one unit of coords, mm: half of the longest edge. */
  double Scale{ 1.0 };
  /** The largest coords of each axis; 1 for the longest. */
  VectorType Extent{};
};
} // namespace itk

#endif
