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

// The inner loops of itkNePhiFieldTraining.h, which includes this file once for each instruction set, as
// itkNePhiField.h does with itkNePhiFieldKernel.h. Hence no include guard.

namespace itk
{
namespace NePhiKernels
{
namespace ITK_NEPHI_TARGET
{

/** Some points on their way through the network and back.
 *
 * Numbers of a point lie side by side, in rows: [column][point][feature]. Column 0 holds the values, columns 1 to D
 * the derivatives with respect to each coordinate.
 */
template <unsigned int VDimension, unsigned int VColumns>
class TrainingTile
{
  using V = Vector<float>;
  using VectorType = V::Type;
  using FieldType = NePhiTrainingField<VDimension>;
  using MatrixType = NePhiTrainingMatrix;
  using PositionType = NePhiGridPosition<VDimension>;

public:
  static constexpr std::size_t Points = NePhiTrainingPoints<VColumns>;
  static constexpr std::size_t Rows = VColumns * Points;

  explicit TrainingTile(const FieldType & field)
    : m_Field(field)
    , m_Width(field.Output.Inputs)
    , m_Size(Points * field.Output.Inputs)
    , m_Gates(field.Depth + 1)
    , m_Hidden(field.Depth + 1)
  {
    constexpr std::size_t line = sizeof(NePhiCacheLine) / sizeof(float);
    const std::size_t     widths = (8 + 6 * field.Depth + 5) * m_Width;
    const std::size_t     others = field.Output.Outputs + 2 * (field.FirstGateByLocal.Inputs + field.First.Inputs);
    float *               free = NePhiScratch<NePhiCacheLine>(Rows * (widths + others) / line)->Numbers;
    const auto            take = [&free](std::size_t width) {
      float * const taken = free;
      free += Rows * width;
      return taken;
    };
    m_Local = take(field.FirstGateByLocal.Inputs);
    m_Embedding = take(field.First.Inputs);
    for (std::vector<Layer> * layers : { &m_Gates, &m_Hidden })
    {
      for (Layer & layer : *layers)
      {
        layer.Slope = take(m_Width);
        layer.Sine = take(m_Width);
        layer.Output = &layer == layers->data() ? layer.Sine : take(m_Width);
      }
    }
    m_Output = take(field.Output.Outputs);
    for (float ** grad : { &m_GradGate, &m_GradHidden, &m_GradFirstGate, &m_Next, &m_NextHidden })
    {
      *grad = take(m_Width);
    }
    m_GradLocal = take(field.FirstGateByLocal.Inputs);
    m_GradEmbedding = take(field.First.Inputs);
  }

  /** Evaluates the field at up to Points coords, [point][D], and, if asked to, remembers what Backward() needs. */
  template <bool VRemember>
  void
  Forward(std::size_t count, const float * coords)
  {
    for (std::size_t p = 0; p < Points; ++p)
    {
      m_Positions[p].Find(m_Field, coords + (p < count ? p : 0) * VDimension);
      InterpolateLocalCode(p);
      Embed(p);
    }
    Apply(m_Field.FirstGate, m_Embedding, m_Gates[0].Slope);
    Multiply<true>(Rows,
                   m_Width,
                   m_Field.FirstGateByLocal.Inputs,
                   m_Local,
                   m_Field.FirstGateByLocal.Inputs,
                   1,
                   m_Field.FirstGateByLocal.GetForth(),
                   m_Width,
                   m_Gates[0].Slope,
                   m_Width);
    Activate<VRemember>(m_Gates[0]);
    Apply(m_Field.First, m_Embedding, m_Hidden[0].Slope);
    Activate<VRemember>(m_Hidden[0]);
    for (std::size_t k = 1; k <= m_Field.Depth; ++k)
    {
      const Layer & gate = m_Gates[k];
      const Layer & hidden = m_Hidden[k];
      Apply(m_Field.Modulation[k - 1], m_Gates[k - 1].Output, gate.Slope);
      Activate<VRemember>(gate);
      Apply(m_Field.Synthesis[k - 1], m_Hidden[k - 1].Output, hidden.Slope);
      Activate<VRemember>(hidden);
      for (std::size_t i = 0; i < VColumns * m_Size; i += V::Lanes)
      {
        V::At(gate.Output + i) = V::At(gate.Sine + i) + V::At(m_Gates[0].Sine + i);
      }
      for (std::size_t i = 0; i < m_Size; i += V::Lanes)
      {
        const VectorType factor = V::At(gate.Output + i);
        const VectorType sine = V::At(hidden.Sine + i);
        V::At(hidden.Output + i) = factor * sine;
        for (std::size_t n = i + m_Size; n < VColumns * m_Size; n += m_Size)
        {
          V::At(hidden.Output + n) = V::At(gate.Output + n) * sine + factor * V::At(hidden.Sine + n);
        }
      }
    }
    Apply(m_Field.Output, m_Hidden.back().Output, m_Output);
  }

  /** Writes where the field moves the coords, [point][D], and with derivatives its Jacobians, [point][D][D]. */
  void
  Write(std::size_t count, const float * coords, float * moved, float * jacobians) const
  {
    for (std::size_t p = 0; p < count; ++p)
    {
      for (unsigned int i = 0; i < VDimension; ++i)
      {
        const float * const output = m_Output + p * m_Field.Output.Outputs + i;
        moved[p * VDimension + i] = coords[p * VDimension + i] + *output;
        for (unsigned int j = 0; j + 1 < VColumns; ++j)
        {
          const float derivative = output[(j + 1) * Points * m_Field.Output.Outputs];
          jacobians[(p * VDimension + i) * VDimension + j] =
            (m_Positions[p].IsInside[j] ? derivative : 0.0F) + (i == j ? 1.0F : 0.0F);
        }
      }
    }
  }

  /** Differentiates what Write() writes, times the given numbers, at the coords last given to Forward().
   *
   * Adds the derivatives with respect to the weights to sums; writes those with respect to the local code at the
   * points, [point][column][channel], and to the coords, [point][D], unless their pointer is null.
   */
  void
  Backward(std::size_t   count,
           const float * gradMoved,
           const float * gradJacobians,
           float *       sums,
           float *       gradLocal,
           float *       gradCoords)
  {
    const std::size_t outputs = m_Field.Output.Outputs;
    for (std::size_t i = 0; i < Rows * outputs; ++i)
    {
      m_Output[i] = 0.0F;
    }
    for (std::size_t p = 0; p < count; ++p)
    {
      for (unsigned int i = 0; i < VDimension; ++i)
      {
        float * const output = m_Output + p * outputs + i;
        *output = gradMoved == nullptr ? 0.0F : gradMoved[p * VDimension + i];
        for (unsigned int j = 0; j + 1 < VColumns; ++j)
        {
          output[(j + 1) * Points * outputs] =
            m_Positions[p].IsInside[j] ? gradJacobians[(p * VDimension + i) * VDimension + j] : 0.0F;
        }
      }
    }
    AddDerivatives(m_Field.Output, m_Output, m_Hidden.back().Output, sums);
    ApplyBack<false>(m_Field.Output, m_Output, m_GradHidden);
    for (std::size_t i = 0; i < VColumns * m_Size; i += V::Lanes)
    {
      V::At(m_GradGate + i) = V::At(m_GradFirstGate + i) = VectorType{};
    }
    for (std::size_t k = m_Field.Depth; k > 0; --k)
    {
      GateBack(m_Gates[k], m_Hidden[k]);
      ActivateBack(m_Gates[k], m_GradGate);
      ActivateBack(m_Hidden[k], m_GradHidden);
      AddDerivatives(m_Field.Modulation[k - 1], m_GradGate, m_Gates[k - 1].Output, sums);
      AddDerivatives(m_Field.Synthesis[k - 1], m_GradHidden, m_Hidden[k - 1].Output, sums);
      ApplyBack<false>(m_Field.Modulation[k - 1], m_GradGate, m_Next);
      ApplyBack<false>(m_Field.Synthesis[k - 1], m_GradHidden, m_NextHidden);
      std::swap(m_GradGate, m_Next);
      std::swap(m_GradHidden, m_NextHidden);
    }
    for (std::size_t i = 0; i < VColumns * m_Size; i += V::Lanes)
    {
      V::At(m_GradGate + i) += V::At(m_GradFirstGate + i);
    }
    ActivateBack(m_Gates[0], m_GradGate);
    ActivateBack(m_Hidden[0], m_GradHidden);
    AddDerivatives(m_Field.FirstGate, m_GradGate, m_Embedding, sums);
    AddDerivatives(m_Field.FirstGateByLocal, m_GradGate, m_Local, sums);
    AddDerivatives(m_Field.First, m_GradHidden, m_Embedding, sums);

    const std::size_t channels = m_Field.Channels;
    const std::size_t stride = m_Field.FirstGateByLocal.Inputs;
    ApplyBack<false>(m_Field.FirstGateByLocal, m_GradGate, m_GradLocal);
    for (std::size_t p = 0; p < count; ++p)
    {
      for (unsigned int c = 0; c < VColumns; ++c)
      {
        std::copy_n(m_GradLocal + (c * Points + p) * stride, channels, gradLocal + (p * VColumns + c) * channels);
      }
    }
    if (gradCoords != nullptr)
    {
      ApplyBack<false>(m_Field.First, m_GradHidden, m_GradEmbedding);
      ApplyBack<true>(m_Field.FirstGate, m_GradGate, m_GradEmbedding);
      for (std::size_t p = 0; p < count; ++p)
      {
        const std::array<float, VDimension> gradLocalPlace = InterpolateBack(p);
        const std::array<float, VDimension> gradPhases = EmbedBack(p);
        for (unsigned int d = 0; d < VDimension; ++d)
        {
          const float direct = gradMoved == nullptr ? 0.0F : gradMoved[p * VDimension + d];
          gradCoords[p * VDimension + d] =
            direct + (m_Positions[p].IsInside[d] ? gradLocalPlace[d] + gradPhases[d] : 0.0F);
        }
      }
    }
  }

private:
  /** What a layer of sines holds: first its phases, then in column 0 their cosines; its sines; what it passes on. */
  struct Layer
  {
    float * Slope;
    float * Sine;
    float * Output;
  };

  /** Computes 4 rows and some vectors of C = A B, or adds to it: A(row, k) is a[row * aRow + k * aStep]. */
  template <bool VAdd, std::size_t VVectors>
  static void
  MultiplyBlock(std::size_t   inner,
                const float * a,
                std::size_t   aRow,
                std::size_t   aStep,
                const float * b,
                std::size_t   bRow,
                float *       c,
                std::size_t   cRow)
  {
    VectorType sums[4][VVectors];
    for (std::size_t r = 0; r < 4; ++r)
    {
      for (std::size_t v = 0; v < VVectors; ++v)
      {
        sums[r][v] = VAdd ? V::At(c + r * cRow + v * V::Lanes) : VectorType{};
      }
    }
    for (std::size_t k = 0; k < inner; ++k, a += aStep, b += bRow)
    {
      VectorType values[VVectors];
      for (std::size_t v = 0; v < VVectors; ++v)
      {
        values[v] = V::At(b + v * V::Lanes);
      }
      for (std::size_t r = 0; r < 4; ++r)
      {
        for (std::size_t v = 0; v < VVectors; ++v)
        {
          sums[r][v] += values[v] * a[r * aRow];
        }
      }
    }
    for (std::size_t r = 0; r < 4; ++r)
    {
      for (std::size_t v = 0; v < VVectors; ++v)
      {
        V::At(c + r * cRow + v * V::Lanes) = sums[r][v];
      }
    }
  }

  /** The same of all rows, a multiple of 4, and of all columns, a multiple of the number of lanes. */
  template <bool VAdd>
  static void
  Multiply(std::size_t   rows,
           std::size_t   columns,
           std::size_t   inner,
           const float * a,
           std::size_t   aRow,
           std::size_t   aStep,
           const float * b,
           std::size_t   bRow,
           float *       c,
           std::size_t   cRow)
  {
    const auto multiply = [&](auto vectors, std::size_t column) {
      for (std::size_t r = 0; r < rows; r += 4)
      {
        MultiplyBlock<VAdd, vectors>(inner, a + r * aRow, aRow, aStep, b + column, bRow, c + r * cRow + column, cRow);
      }
      return column + vectors * V::Lanes;
    };
    for (std::size_t column = 0; column < columns;)
    {
      const std::size_t left = (columns - column) / V::Lanes;
      // 3 vectors are fastest, 1 is slow
      column = left == 1                ? multiply(std::integral_constant<std::size_t, 1>{}, column)
               : left == 2 || left == 4 ? multiply(std::integral_constant<std::size_t, 2>{}, column)
                                        : multiply(std::integral_constant<std::size_t, 3>{}, column);
    }
  }

  /** Applies the map to the values and its matrix to the derivatives. */
  static void
  Apply(const MatrixType & matrix, const float * x, float * y)
  {
    for (std::size_t p = 0; p < Points; ++p)
    {
      std::copy_n(matrix.Bias.data(), matrix.Outputs, y + p * matrix.Outputs);
    }
    const auto multiply = [&](auto adds, std::size_t begin, std::size_t rows) {
      Multiply<adds>(rows,
                     matrix.Outputs,
                     matrix.Inputs,
                     x + begin * matrix.Inputs,
                     matrix.Inputs,
                     1,
                     matrix.GetForth(),
                     matrix.Outputs,
                     y + begin * matrix.Outputs,
                     matrix.Outputs);
    };
    multiply(std::true_type{}, 0, Points);
    multiply(std::false_type{}, Points, Rows - Points);
  }

  /** Computes the derivatives with respect to the inputs from those with respect to the outputs, or adds them. */
  template <bool VAdd>
  static void
  ApplyBack(const MatrixType & matrix, const float * gradY, float * gradX)
  {
    Multiply<VAdd>(Rows,
                   matrix.Inputs,
                   matrix.UsedOutputs,
                   gradY,
                   matrix.Outputs,
                   1,
                   matrix.GetBack(),
                   matrix.Inputs,
                   gradX,
                   matrix.Inputs);
  }

  /** Adds the derivatives with respect to the matrix and to the bias. */
  static void
  AddDerivatives(const MatrixType & matrix, const float * gradY, const float * x, float * sums)
  {
    const std::size_t rows = (matrix.UsedOutputs + 3) / 4 * 4;
    Multiply<true>(
      rows, matrix.Inputs, Rows, gradY, 1, matrix.Outputs, x, matrix.Inputs, sums + matrix.SumsOffset, matrix.Inputs);
    float * const bias = sums + matrix.SumsOffset + matrix.Outputs * matrix.Inputs;
    for (std::size_t i = 0; i < matrix.Outputs; i += V::Lanes)
    {
      VectorType sum = V::At(bias + i);
      for (std::size_t p = 0; p < Points; ++p)
      {
        sum += V::At(gradY + p * matrix.Outputs + i);
      }
      V::At(bias + i) = sum;
    }
  }

  template <bool VRemember>
  void
  Activate(const Layer & layer) const
  {
    SineAndCosine<(VRemember || VColumns > 1)>(layer.Slope, layer.Sine, layer.Slope, m_Size);
    for (std::size_t n = m_Size; n < VColumns * m_Size; n += m_Size)
    {
      for (std::size_t i = 0; i < m_Size; i += V::Lanes)
      {
        V::At(layer.Sine + n + i) = V::At(layer.Slope + i) * V::At(layer.Slope + n + i);
      }
    }
  }

  /** Derivatives with respect to the sines become those with respect to the phases. */
  void
  ActivateBack(const Layer & layer, float * grad) const
  {
    for (std::size_t i = 0; i < m_Size; i += V::Lanes)
    {
      const VectorType cosine = V::At(layer.Slope + i);
      VectorType       sum{};
      for (std::size_t n = i + m_Size; n < VColumns * m_Size; n += m_Size)
      {
        sum += V::At(layer.Slope + n) * V::At(grad + n);
        V::At(grad + n) *= cosine;
      }
      V::At(grad + i) = cosine * V::At(grad + i) - V::At(layer.Sine + i) * sum;
    }
  }

  /** Derivatives with respect to the product of a gate and a hidden layer become those with respect to the latter's
   * sines, and add to the former's; these add to those with respect to the first gate. */
  void
  GateBack(const Layer & gate, const Layer & hidden)
  {
    for (std::size_t i = 0; i < m_Size; i += V::Lanes)
    {
      const VectorType factor = V::At(gate.Output + i);
      const VectorType sine = V::At(hidden.Sine + i);
      VectorType       gradGate = V::At(m_GradGate + i) + V::At(m_GradHidden + i) * sine;
      VectorType       gradSine = V::At(m_GradHidden + i) * factor;
      for (std::size_t n = i + m_Size; n < VColumns * m_Size; n += m_Size)
      {
        const VectorType grad = V::At(m_GradHidden + n);
        gradGate += grad * V::At(hidden.Sine + n);
        gradSine += grad * V::At(gate.Output + n);
        V::At(m_GradGate + n) += grad * sine;
        V::At(m_GradFirstGate + n) += V::At(m_GradGate + n);
        V::At(m_GradHidden + n) = grad * factor;
      }
      V::At(m_GradGate + i) = gradGate;
      V::At(m_GradFirstGate + i) += gradGate;
      V::At(m_GradHidden + i) = gradSine;
    }
  }

  static void
  AddScaled(float factor, const float * x, float * y, std::size_t size)
  {
    std::size_t i = 0;
    for (; i + V::Lanes <= size; i += V::Lanes)
    {
      V::At(y + i) += factor * V::At(x + i);
    }
    for (; i < size; ++i)
    {
      y[i] += factor * x[i];
    }
  }

  static float
  Dot(const float * x, const float * y, std::size_t size)
  {
    VectorType  sums{};
    std::size_t i = 0;
    for (; i + V::Lanes <= size; i += V::Lanes)
    {
      sums += V::At(x + i) * V::At(y + i);
    }
    float sum = 0.0F;
    for (; i < size; ++i)
    {
      sum += x[i] * y[i];
    }
    for (std::size_t lane = 0; lane < V::Lanes; ++lane)
    {
      sum += sums[lane];
    }
    return sum;
  }

  void
  InterpolateLocalCode(std::size_t p)
  {
    const std::size_t stride = m_Field.FirstGateByLocal.Inputs;
    for (unsigned int c = 0; c < VColumns; ++c)
    {
      std::fill_n(m_Local + (c * Points + p) * stride, stride, 0.0F);
    }
    for (unsigned int vertex = 0; vertex < PositionType::Vertices; ++vertex)
    {
      const float * const code = m_Field.LocalCode + m_Positions[p].GetOffset(m_Field, vertex);
      for (unsigned int c = 0; c < VColumns; ++c)
      {
        const float factor = m_Positions[p].GetFactor(vertex, c, 0);
        AddScaled(factor, code, m_Local + (c * Points + p) * stride, m_Field.Channels);
      }
    }
  }

  /** From the derivatives with respect to the local code at a point, and to its derivatives, those with respect to the
   * point's coords. */
  std::array<float, VDimension>
  InterpolateBack(std::size_t p) const
  {
    std::array<float, VDimension> gradCoords{};
    for (unsigned int vertex = 0; vertex < PositionType::Vertices; ++vertex)
    {
      const float * const code = m_Field.LocalCode + m_Positions[p].GetOffset(m_Field, vertex);
      for (unsigned int c = 0; c < VColumns; ++c)
      {
        const float * const grad = m_GradLocal + (c * Points + p) * m_Field.FirstGateByLocal.Inputs;
        const float         gradFactor = Dot(grad, code, m_Field.Channels);
        for (unsigned int d = 0; d < VDimension; ++d)
        {
          gradCoords[d] += gradFactor * m_Positions[p].GetFactor(vertex, c, d + 1);
        }
      }
    }
    return gradCoords;
  }

  /** The phases are in turns, and small, before they are multiplied by 2 pi. */
  void
  Embed(std::size_t p)
  {
    constexpr float   twoPi = 6.2831853F;
    constexpr float   round = 12582912.0F;
    const std::size_t half = m_Field.First.Inputs / 2;
    float * const     sines = m_Embedding + p * 2 * half;
    float * const     cosines = sines + half;
    for (std::size_t f = 0; f < half; f += V::Lanes)
    {
      VectorType turns{};
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        turns += m_Positions[p].Coords[d] * V::At(m_Field.Frequencies.data() + d * half + f);
      }
      V::At(sines + f) = twoPi * (turns - ((turns + round) - round));
    }
    SineAndCosine<true>(sines, sines, cosines, half);
    for (unsigned int c = 1; c < VColumns; ++c)
    {
      float * const derivatives = sines + c * Points * 2 * half;
      for (std::size_t f = 0; f < half; f += V::Lanes)
      {
        const VectorType factor = twoPi * V::At(m_Field.Frequencies.data() + (c - 1) * half + f);
        V::At(derivatives + f) = factor * V::At(cosines + f);
        V::At(derivatives + half + f) = -factor * V::At(sines + f);
      }
    }
  }

  /** From the derivatives with respect to the embedding of a point those with respect to its coords. */
  std::array<float, VDimension>
  EmbedBack(std::size_t p) const
  {
    constexpr float   twoPi = 6.2831853F;
    const std::size_t half = m_Field.First.Inputs / 2;
    const float *     sines = m_Embedding + p * 2 * half;
    const float *     cosines = sines + half;
    const float *     grad = m_GradEmbedding + p * 2 * half;
    VectorType        sums[VDimension]{};
    for (std::size_t f = 0; f < half; f += V::Lanes)
    {
      VectorType gradPhase = V::At(grad + f) * V::At(cosines + f) - V::At(grad + half + f) * V::At(sines + f);
      for (unsigned int c = 1; c < VColumns; ++c)
      {
        const float * const gradDerivatives = grad + c * Points * 2 * half;
        const VectorType    factor = twoPi * V::At(m_Field.Frequencies.data() + (c - 1) * half + f);
        gradPhase -= factor * (V::At(gradDerivatives + f) * V::At(sines + f) +
                               V::At(gradDerivatives + half + f) * V::At(cosines + f));
      }
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        sums[d] += twoPi * V::At(m_Field.Frequencies.data() + d * half + f) * gradPhase;
      }
    }
    std::array<float, VDimension> gradCoords{};
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      for (std::size_t lane = 0; lane < V::Lanes; ++lane)
      {
        gradCoords[d] += sums[d][lane];
      }
    }
    return gradCoords;
  }

  const FieldType &                m_Field;
  const std::size_t                m_Width;
  const std::size_t                m_Size;
  std::array<PositionType, Points> m_Positions;
  std::vector<Layer>               m_Gates;
  std::vector<Layer>               m_Hidden;
  float *                          m_Local;
  float *                          m_Embedding;
  float *                          m_Output;
  float *                          m_GradGate;
  float *                          m_GradHidden;
  float *                          m_GradFirstGate;
  float *                          m_Next;
  float *                          m_NextHidden;
  float *                          m_GradLocal;
  float *                          m_GradEmbedding;
};

/** Moves coords, tile by tile. */
template <unsigned int VDimension, unsigned int VColumns>
void
TrainForward(const NePhiTrainingField<VDimension> & field,
             std::size_t                            begin,
             std::size_t                            end,
             const float *                          coords,
             float *                                moved,
             float *                                jacobians)
{
  TrainingTile<VDimension, VColumns> tile(field);
  for (std::size_t n = begin; n < end; n += tile.Points)
  {
    const std::size_t count = std::min(tile.Points, end - n);
    tile.template Forward<false>(count, coords + n * VDimension);
    tile.Write(count,
               coords + n * VDimension,
               moved + n * VDimension,
               VColumns > 1 ? jacobians + n * VDimension * VDimension : nullptr);
  }
}

/** Moves coords again and differentiates, tile by tile. */
template <unsigned int VDimension, unsigned int VColumns>
void
TrainBackward(const NePhiTrainingField<VDimension> & field,
              std::size_t                            begin,
              std::size_t                            end,
              const float *                          coords,
              const float *                          gradMoved,
              const float *                          gradJacobians,
              float *                                sums,
              float *                                gradLocal,
              float *                                gradCoords)
{
  TrainingTile<VDimension, VColumns> tile(field);
  for (std::size_t n = begin; n < end; n += tile.Points)
  {
    const std::size_t count = std::min(tile.Points, end - n);
    tile.template Forward<true>(count, coords + n * VDimension);
    tile.Backward(count,
                  gradMoved == nullptr ? nullptr : gradMoved + n * VDimension,
                  VColumns > 1 ? gradJacobians + n * VDimension * VDimension : nullptr,
                  sums,
                  gradLocal + n * VColumns * field.Channels,
                  gradCoords == nullptr ? nullptr : gradCoords + n * VDimension);
  }
}

} // namespace ITK_NEPHI_TARGET
} // namespace NePhiKernels
} // namespace itk
