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

// The inner loops of itkNePhiLattice.h, which includes this file once for each instruction set. Hence no include guard.

namespace itk
{
namespace NePhiKernels
{
namespace ITK_NEPHI_TARGET
{

/** The local correlation of one slab of a lattice, plane after plane.
 *
 * Of the planes around the current one, as far as the windows of its windows reach, rings hold what is still needed.
 * Only the part of each plane that the windows around weighted points cover is computed.
 */
template <unsigned int VDimension>
class CorrelationSlab
{
public:
  using TaskType = NePhiLocalCorrelation<VDimension>;

  CorrelationSlab(const TaskType & task, std::size_t begin, std::size_t end)
    : m_Task(task)
    , m_Radius(task.Radius)
    , m_Begin(begin)
    , m_End(end)
    , m_Rows(task.Lattice.GetRows())
    , m_Planes(task.Lattice.GetPlanes())
  {}

  /** Writes the sums over the slab's planes, of weighted correlations and of weights, and the derivatives. */
  void
  Run(double * sums, float * gradient)
  {
    if (gradient != nullptr)
    {
      const std::size_t points = m_Task.Lattice.GetNumberOfPoints();
      const std::size_t plane = m_Task.Lattice.Size[0] * m_Rows;
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        std::fill(gradient + d * points + m_Begin * plane, gradient + d * points + m_End * plane, 0.0f);
      }
    }
    const std::size_t reach = gradient == nullptr ? 0 : m_Radius;
    const std::size_t first = m_Begin - std::min(m_Begin, reach);
    const std::size_t last = std::min(m_End + reach, m_Planes);
    if (!this->FindRegion(first, last))
    {
      return;
    }
    this->Allocate();
    std::size_t moved = first - std::min(first, m_Radius);
    std::size_t differentiated = m_Begin;
    for (std::size_t z = first; z < last; ++z)
    {
      for (; moved < std::min(z + m_Radius + 1, m_Planes); ++moved)
      {
        this->Move(moved);
      }
      const bool isCounted = z >= m_Begin && z < m_End;
      this->Correlate(z, isCounted ? sums + 2 * z : nullptr);
      for (; gradient != nullptr && differentiated < m_End && (z + 1 == last || differentiated + m_Radius <= z);
           ++differentiated)
      {
        this->Differentiate(differentiated, first, last, gradient);
      }
    }
  }

private:
  static constexpr std::size_t Products = 6;
  static constexpr std::size_t Returns = 3;
  static constexpr std::size_t Lanes = 16;

  /** Computes the rectangle that holds all windows around the weighted points of some planes; whether there is one. */
  bool
  FindRegion(std::size_t first, std::size_t last)
  {
    const std::size_t   width = m_Task.Lattice.Size[0];
    const float * const weights = m_Task.ReferenceWeights;
    std::size_t         low[2] = { 0, 0 };
    std::size_t         high[2] = { width, m_Rows };
    if (weights != nullptr)
    {
      low[0] = width;
      low[1] = m_Rows;
      high[0] = high[1] = 0;
      for (std::size_t row = first * m_Rows; row < last * m_Rows; ++row)
      {
        const float * const begin = weights + row * width;
        const float * const end = begin + width;
        const float * const inside = std::find_if(begin, end, [](float weight) { return weight > 0.0f; });
        if (inside == end)
        {
          continue;
        }
        const float * back = end;
        while (!(back[-1] > 0.0f))
        {
          --back;
        }
        low[0] = std::min(low[0], static_cast<std::size_t>(inside - begin));
        high[0] = std::max(high[0], static_cast<std::size_t>(back - begin));
        low[1] = std::min(low[1], row % m_Rows);
        high[1] = std::max(high[1], row % m_Rows + 1);
      }
      if (high[0] == 0)
      {
        return false;
      }
    }
    m_X = low[0] - std::min(low[0], m_Radius);
    m_Y = low[1] - std::min(low[1], m_Radius);
    m_Width = std::min(high[0] + m_Radius, width) - m_X;
    m_Height = std::min(high[1] + m_Radius, m_Rows) - m_Y;
    m_Area = m_Width * m_Height;
    return true;
  }

  void
  Allocate()
  {
    m_SumRing = 2 * m_Radius + 1;
    m_MovedRing = 4 * m_Radius + 1;
    m_Values.resize(m_MovedRing * m_Area);
    m_Inside.resize(m_MovedRing * m_Area);
    m_Weights.resize(m_MovedRing * m_Area);
    m_Slopes.resize(VDimension * m_MovedRing * m_Area);
    m_Sums.resize(Products * m_SumRing * m_Area);
    m_Back.resize(Returns * m_SumRing * m_Area);
    m_Work.resize((Products + Returns) * m_Area);
    m_Product.resize(m_Area);
    m_RowSums.resize(m_Area);
    m_Padded.assign(m_Width + 2 * m_Radius, 0.0f);
    m_Terms.resize(2 * (m_Width + Lanes));
  }

  float *
  GetRing(std::vector<float> & values, std::size_t ring, std::size_t number, std::size_t z) const
  {
    return values.data() + (number * ring + z % ring) * m_Area;
  }

  std::size_t
  GetPoint(std::size_t y, std::size_t z) const
  {
    return (z * m_Rows + m_Y + y) * m_Task.Lattice.Size[0] + m_X;
  }

  /** Samples the moving image at the moved points of a plane, and sums its products with the reference. */
  void
  Move(std::size_t z)
  {
    float * const values = this->GetRing(m_Values, m_MovedRing, 0, z);
    float * const inside = this->GetRing(m_Inside, m_MovedRing, 0, z);
    float * const weights = this->GetRing(m_Weights, m_MovedRing, 0, z);
    for (std::size_t y = 0; y < m_Height; ++y)
    {
      const std::size_t here = y * m_Width;
      float *           slopes[VDimension];
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        slopes[d] = this->GetRing(m_Slopes, m_MovedRing, d, z) + here;
      }
      this->SampleRow(y, z, values + here, inside + here, weights + here, slopes);
    }
    for (std::size_t number = 0; number < Products; ++number)
    {
      for (std::size_t y = 0; y < m_Height; ++y)
      {
        const std::size_t   here = y * m_Width;
        const float * const reference = m_Task.Reference + this->GetPoint(y, z);
        this->Multiply(number, inside + here, reference, values + here, m_Product.data() + here);
      }
      this->SumInPlane(m_Product.data(), this->GetRing(m_Sums, m_SumRing, number, z));
    }
  }

  void
  Multiply(std::size_t number, const float * inside, const float * reference, const float * moved, float * product)
    const
  {
    const std::size_t width = m_Width;
    switch (number)
    {
      case 0:
        std::copy_n(inside, width, product);
        break;
      case 1:
        for (std::size_t x = 0; x < width; ++x)
        {
          product[x] = inside[x] * reference[x];
        }
        break;
      case 2:
        for (std::size_t x = 0; x < width; ++x)
        {
          product[x] = inside[x] * moved[x];
        }
        break;
      case 3:
        for (std::size_t x = 0; x < width; ++x)
        {
          product[x] = inside[x] * reference[x] * reference[x];
        }
        break;
      case 4:
        for (std::size_t x = 0; x < width; ++x)
        {
          product[x] = inside[x] * moved[x] * moved[x];
        }
        break;
      default:
        for (std::size_t x = 0; x < width; ++x)
        {
          product[x] = inside[x] * reference[x] * moved[x];
        }
    }
  }

  /** Where a row of the lattice is moved in the other image: index = Start + x Step + Matrix displacement; in 2D with a
   * third axis of a single index. */
  struct MovedRow
  {
    float         Start[3]{};
    float         Step[3]{};
    float         Matrix[3][3]{};
    float         Last[3]{};
    int           Highest[3]{};
    int           Strides[3]{};
    const float * Displacement[3]{};
  };

  MovedRow
  MakeRow(std::size_t y, std::size_t z) const
  {
    const auto &      image = m_Task.Other;
    const std::size_t points = m_Task.Lattice.GetNumberOfPoints();
    MovedRow          row;
    int               stride = 1;
    for (unsigned int i = 0; i < VDimension; ++i)
    {
      double start = image.Offset[i];
      for (unsigned int j = 0; j < VDimension; ++j)
      {
        const std::size_t index = j == 0 ? m_X : (j + 1 == VDimension ? z : m_Y + y);
        start += image.Matrix[i * VDimension + j] * m_Task.Lattice.GetCoordinate(j, index);
        row.Matrix[i][j] = static_cast<float>(image.Matrix[i * VDimension + j]);
      }
      row.Start[i] = static_cast<float>(start);
      row.Step[i] = static_cast<float>(image.Matrix[i * VDimension] * m_Task.Lattice.GetStep(0));
      row.Last[i] = static_cast<float>(image.Size[i] - 1);
      row.Highest[i] = static_cast<int>(image.Size[i]) - 2;
      row.Strides[i] = stride;
      stride *= static_cast<int>(image.Size[i]);
      row.Displacement[i] = m_Task.Displacement + i * points + this->GetPoint(y, z);
    }
    if constexpr (VDimension == 2)
    {
      row.Displacement[2] = row.Displacement[0];
    }
    return row;
  }

  /** Interpolates the other image at the moved points of a row, with its derivatives by their coords. */
  void
  SampleRow(std::size_t y, std::size_t z, float * values, float * inside, float * weights, float * const * slopes)
  {
    const MovedRow    row = this->MakeRow(y, z);
    const std::size_t first = this->GetPoint(y, z);
    float * const     unused = m_RowSums.data();
    Interpolate(
      row, m_Task.Other.Values, m_Width, values, inside, slopes[0], slopes[1], VDimension == 3 ? slopes[2] : unused);
    std::copy_n(inside, m_Width, weights);
    if (m_Task.Other.Weights != nullptr)
    {
      float * const more = m_Product.data();
      Interpolate(row, m_Task.Other.Weights, m_Width, more, unused, unused, unused, unused);
      MultiplyBy(more, m_Width, weights);
    }
    if (m_Task.ReferenceInside != nullptr)
    {
      MultiplyBy(m_Task.ReferenceInside + first, m_Width, inside);
    }
    if (m_Task.ReferenceWeights != nullptr)
    {
      MultiplyBy(m_Task.ReferenceWeights + first, m_Width, weights);
    }
  }

  /** Linear interpolation, clamped at the border; whether a point is inside, but for a rounding error; derivatives by
   * coords. Written out, so that compilers make gathers of it. */
  static void
  Interpolate(const MovedRow & row,
              const float *    numbers,
              std::size_t      width,
              float *          values,
              float *          inside,
              float *          slopeX,
              float *          slopeY,
              float *          slopeZ)
  {
    constexpr float     tolerance = 1e-8f;
    const float         startX = row.Start[0], startY = row.Start[1], startZ = row.Start[2];
    const float         stepX = row.Step[0], stepY = row.Step[1], stepZ = row.Step[2];
    const float         lastX = row.Last[0], lastY = row.Last[1], lastZ = row.Last[2];
    const int           highX = row.Highest[0], highY = row.Highest[1], highZ = row.Highest[2];
    const int           strideY = row.Strides[1], strideZ = row.Strides[2];
    const float         xx = row.Matrix[0][0], xy = row.Matrix[0][1], xz = row.Matrix[0][2];
    const float         yx = row.Matrix[1][0], yy = row.Matrix[1][1], yz = row.Matrix[1][2];
    const float         zx = row.Matrix[2][0], zy = row.Matrix[2][1], zz = row.Matrix[2][2];
    const float * const u = row.Displacement[0];
    const float * const v = row.Displacement[1];
    const float * const w = row.Displacement[2];
    ITK_NEPHI_INDEPENDENT
    for (std::size_t n = 0; n < width; ++n)
    {
      const float x = static_cast<float>(static_cast<int>(n));
      const float indexX = startX + x * stepX + (xx * u[n] + xy * v[n] + xz * w[n]);
      const float indexY = startY + x * stepY + (yx * u[n] + yy * v[n] + yz * w[n]);
      const float indexZ = startZ + x * stepZ + (zx * u[n] + zy * v[n] + zz * w[n]);
      const float lowX = indexX > 0.0f ? indexX : 0.0f;
      const float lowY = indexY > 0.0f ? indexY : 0.0f;
      const float lowZ = indexZ > 0.0f ? indexZ : 0.0f;
      const float clampedX = lowX < lastX ? lowX : lastX;
      const float clampedY = lowY < lastY ? lowY : lastY;
      const float clampedZ = lowZ < lastZ ? lowZ : lastZ;
      const float withinX = (clampedX - indexX) * (clampedX - indexX) < tolerance ? 1.0f : 0.0f;
      const float withinY = (clampedY - indexY) * (clampedY - indexY) < tolerance ? 1.0f : 0.0f;
      const float withinZ = (clampedZ - indexZ) * (clampedZ - indexZ) < tolerance ? 1.0f : 0.0f;
      const int   truncatedX = static_cast<int>(clampedX);
      const int   truncatedY = static_cast<int>(clampedY);
      const int   truncatedZ = static_cast<int>(clampedZ);
      const int   cellX = truncatedX < highX ? truncatedX : highX;
      const int   cellY = truncatedY < highY ? truncatedY : highY;
      const int   cellZ = truncatedZ < highZ ? truncatedZ : highZ;
      const float shareX = clampedX - static_cast<float>(cellX);
      const float shareY = clampedY - static_cast<float>(cellY);
      const float shareZ = clampedZ - static_cast<float>(cellZ);
      const int   near = cellX + cellY * strideY + cellZ * strideZ;
      const int   far = near + strideZ;
      const float v000 = numbers[near], v100 = numbers[near + 1];
      const float v010 = numbers[near + strideY], v110 = numbers[near + strideY + 1];
      const float v001 = numbers[far], v101 = numbers[far + 1];
      const float v011 = numbers[far + strideY], v111 = numbers[far + strideY + 1];
      const float rise00 = v100 - v000, rise10 = v110 - v010, rise01 = v101 - v001, rise11 = v111 - v011;
      const float row00 = v000 + shareX * rise00, row10 = v010 + shareX * rise10;
      const float row01 = v001 + shareX * rise01, row11 = v011 + shareX * rise11;
      const float plane0 = row00 + shareY * (row10 - row00), plane1 = row01 + shareY * (row11 - row01);
      const float riseX0 = rise00 + shareY * (rise10 - rise00), riseX1 = rise01 + shareY * (rise11 - rise01);
      const float riseX = withinX * (riseX0 + shareZ * (riseX1 - riseX0));
      const float riseY = withinY * ((row10 - row00) + shareZ * ((row11 - row01) - (row10 - row00)));
      const float riseZ = withinZ * (plane1 - plane0);
      values[n] = plane0 + shareZ * (plane1 - plane0);
      inside[n] = withinX * withinY * withinZ;
      slopeX[n] = xx * riseX + yx * riseY + zx * riseZ;
      slopeY[n] = xy * riseX + yy * riseY + zy * riseZ;
      slopeZ[n] = xz * riseX + yz * riseY + zz * riseZ;
    }
  }

  static void
  MultiplyBy(const float * factors, std::size_t count, float * values)
  {
    ITK_NEPHI_INDEPENDENT
    for (std::size_t n = 0; n < count; ++n)
    {
      values[n] *= factors[n];
    }
  }

  /** Sums over windows within a plane. */
  void
  SumInPlane(const float * values, float * sums)
  {
    const std::size_t width = m_Width;
    for (std::size_t y = 0; y < m_Height; ++y)
    {
      std::copy_n(values + y * width, width, m_Padded.data() + m_Radius);
      float * const       row = m_RowSums.data() + y * width;
      const float * const padded = m_Padded.data();
      std::copy_n(padded, width, row);
      for (std::size_t k = 1; k <= 2 * m_Radius; ++k)
      {
        Add(padded + k, width, row);
      }
    }
    for (std::size_t y = 0; y < m_Height; ++y)
    {
      const std::size_t first = y - std::min(y, m_Radius);
      const std::size_t last = std::min(y + m_Radius + 1, m_Height);
      float * const     row = sums + y * width;
      std::copy_n(m_RowSums.data() + first * width, width, row);
      for (std::size_t k = first + 1; k < last; ++k)
      {
        Add(m_RowSums.data() + k * width, width, row);
      }
    }
  }

  /** Sums a ring over the planes of the windows around one. */
  void
  SumPlanes(std::vector<float> & ring, std::size_t number, std::size_t first, std::size_t last, float * sums) const
  {
    std::copy_n(this->GetRing(ring, m_SumRing, number, first), m_Area, sums);
    for (std::size_t z = first + 1; z < last; ++z)
    {
      Add(this->GetRing(ring, m_SumRing, number, z), m_Area, sums);
    }
  }

  static void
  Add(const float * values, std::size_t count, float * sums)
  {
    ITK_NEPHI_INDEPENDENT
    for (std::size_t n = 0; n < count; ++n)
    {
      sums[n] += values[n];
    }
  }

  /** Correlates the windows around a plane, and sums what their derivatives share. */
  void
  Correlate(std::size_t z, double * sums)
  {
    const std::size_t first = z - std::min(z, m_Radius);
    const std::size_t last = std::min(z + m_Radius + 1, m_Planes);
    for (std::size_t number = 0; number < Products; ++number)
    {
      this->SumPlanes(m_Sums, number, first, last, m_Work.data() + number * m_Area);
    }
    double correlation = 0.0;
    double count = 0.0;
    for (std::size_t y = 0; y < m_Height; ++y)
    {
      this->CorrelateRow(y * m_Width, this->GetRing(m_Weights, m_MovedRing, 0, z) + y * m_Width);
      correlation += SumOf(m_Terms.data(), m_Width);
      count += SumOf(m_Terms.data() + m_Width + Lanes, m_Width);
    }
    if (sums != nullptr)
    {
      sums[0] = correlation;
      sums[1] = count;
    }
    for (std::size_t number = 0; number < Returns; ++number)
    {
      this->SumInPlane(m_Work.data() + (Products + number) * m_Area, this->GetRing(m_Back, m_SumRing, number, z));
    }
  }

  void
  CorrelateRow(std::size_t here, const float * weights)
  {
    const std::size_t   width = m_Width;
    const float * const count = m_Work.data() + here;
    const float * const reference = count + m_Area;
    const float * const moved = reference + m_Area;
    const float * const referenceSquare = moved + m_Area;
    const float * const movedSquare = referenceSquare + m_Area;
    const float * const both = movedSquare + m_Area;
    float * const       referenceFactor = m_Work.data() + Products * m_Area + here;
    float * const       movedFactor = referenceFactor + m_Area;
    float * const       constant = movedFactor + m_Area;
    float * const       terms = m_Terms.data();
    float * const       counts = terms + width + Lanes;
    const float         floor = m_Task.Floor;
    ITK_NEPHI_INDEPENDENT
    for (std::size_t x = 0; x < width; ++x)
    {
      const float share = 1.0f / (count[x] + 1e-6f);
      const float referenceMean = reference[x] * share;
      const float movedMean = moved[x] * share;
      const float covariance = both[x] - reference[x] * movedMean;
      const float referenceRest = referenceSquare[x] - reference[x] * referenceMean;
      const float movedRest = movedSquare[x] - moved[x] * movedMean;
      const float least = floor * count[x] + 1e-9f;
      const float referenceVariance = (referenceRest > 0.0f ? referenceRest : 0.0f) + least;
      const float movedVariance = (movedRest > 0.0f ? movedRest : 0.0f) + least;
      const float share2 = 1.0f / (referenceVariance * movedVariance);
      const float size = covariance > 0.0f ? covariance : -covariance;
      const float correlation = covariance * size * share2;
      terms[x] = weights[x] * correlation;
      counts[x] = weights[x];
      const float slope = 2.0f * weights[x] * size * share2;
      const float decay = 2.0f * weights[x] * correlation / movedVariance;
      referenceFactor[x] = slope;
      movedFactor[x] = decay;
      constant[x] = decay * movedMean - slope * referenceMean;
    }
  }

  /** A sum in an order that suits vectors; beyond the numbers there is room for Lanes more. */
  static double
  SumOf(float * numbers, std::size_t count)
  {
    std::fill_n(numbers + count, Lanes, 0.0f);
    float sums[Lanes] = {};
    for (std::size_t n = 0; n < count; n += Lanes)
    {
      for (std::size_t lane = 0; lane < Lanes; ++lane)
      {
        sums[lane] += numbers[n + lane];
      }
    }
    double total = 0.0;
    for (const float sum : sums)
    {
      total += static_cast<double>(sum);
    }
    return total;
  }

  /** Writes the derivatives of a plane, once the windows of its windows have been correlated. */
  void
  Differentiate(std::size_t z, std::size_t firstPlane, std::size_t lastPlane, float * gradient)
  {
    const std::size_t first = std::max(z - std::min(z, m_Radius), firstPlane);
    const std::size_t last = std::min(z + m_Radius + 1, lastPlane);
    for (std::size_t number = 0; number < Returns; ++number)
    {
      this->SumPlanes(m_Back, number, first, last, m_Work.data() + number * m_Area);
    }
    const std::size_t points = m_Task.Lattice.GetNumberOfPoints();
    for (std::size_t y = 0; y < m_Height; ++y)
    {
      const std::size_t   here = y * m_Width;
      const float * const referenceFactor = m_Work.data() + here;
      const float * const movedFactor = referenceFactor + m_Area;
      const float * const constant = movedFactor + m_Area;
      const float * const reference = m_Task.Reference + this->GetPoint(y, z);
      const float * const moved = this->GetRing(m_Values, m_MovedRing, 0, z) + here;
      const float * const inside = this->GetRing(m_Inside, m_MovedRing, 0, z) + here;
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        const float * const slopes = this->GetRing(m_Slopes, m_MovedRing, d, z) + here;
        float * const       row = gradient + d * points + this->GetPoint(y, z);
        const std::size_t   width = m_Width;
        ITK_NEPHI_INDEPENDENT
        for (std::size_t x = 0; x < width; ++x)
        {
          row[x] =
            inside[x] * (reference[x] * referenceFactor[x] - moved[x] * movedFactor[x] + constant[x]) * slopes[x];
        }
      }
    }
  }

  const TaskType & m_Task;
  std::size_t      m_Radius;
  std::size_t      m_Begin;
  std::size_t      m_End;
  std::size_t      m_Rows;
  std::size_t      m_Planes;

  std::size_t m_X{ 0 };
  std::size_t m_Y{ 0 };
  std::size_t m_Width{ 0 };
  std::size_t m_Height{ 0 };
  std::size_t m_Area{ 0 };
  std::size_t m_SumRing{ 0 };
  std::size_t m_MovedRing{ 0 };

  std::vector<float> m_Values{};
  std::vector<float> m_Inside{};
  std::vector<float> m_Weights{};
  std::vector<float> m_Slopes{};
  std::vector<float> m_Sums{};
  std::vector<float> m_Back{};
  std::vector<float> m_Work{};
  std::vector<float> m_Product{};
  std::vector<float> m_RowSums{};
  std::vector<float> m_Padded{};
  std::vector<float> m_Terms{};
};

template <unsigned int VDimension>
void
CorrelateSlab(const NePhiLocalCorrelation<VDimension> & task,
              std::size_t                               begin,
              std::size_t                               end,
              double *                                  sums,
              float *                                   gradient)
{
  CorrelationSlab<VDimension>(task, begin, end).Run(sums, gradient);
}

/** Adds a spline's displacements of the points of a plane. */
template <unsigned int VDimension>
void
AddSplineToPlane(const NePhiLatticeSpline<VDimension> & spline,
                 const float *                          coefficients,
                 std::size_t                            z,
                 float *                                displacement)
{
  const auto &       lattice = spline.Lattice;
  const std::size_t  width = lattice.Size[0];
  const std::size_t  points = lattice.GetNumberOfPoints();
  const std::size_t  rowLength = spline.GetRowLength();
  std::vector<float> plane(spline.GetPlaneLength());
  std::vector<float> row(rowLength);
  spline.Combine(VDimension - 1, z, coefficients, plane.size(), plane.data());
  for (std::size_t y = 0; y < lattice.GetRows(); ++y)
  {
    const float * numbers = plane.data();
    if constexpr (VDimension == 3)
    {
      spline.Combine(1, y, plane.data(), rowLength, row.data());
      numbers = row.data();
    }
    const int * const   first = spline.First[0].data();
    const float * const one = spline.Factors[0].data();
    const float * const two = one + width;
    const float * const three = two + width;
    const float * const four = three + width;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      float * const moved = displacement + d * points + (z * lattice.GetRows() + y) * width;
      ITK_NEPHI_INDEPENDENT
      for (std::size_t x = 0; x < width; ++x)
      {
        const float * const begin = numbers + first[x] * static_cast<int>(VDimension) + d;
        moved[x] += (one[x] * begin[0] + two[x] * begin[VDimension]) +
                    (three[x] * begin[2 * VDimension] + four[x] * begin[3 * VDimension]);
      }
    }
  }
}

/** Adds what the coefficients of a component have of derivatives by the displacements of all points. */
template <unsigned int VDimension>
void
ProjectOnSpline(const NePhiLatticeSpline<VDimension> & spline,
                unsigned int                           component,
                const float *                          displacement,
                float *                                coefficients)
{
  const auto &       lattice = spline.Lattice;
  const std::size_t  width = lattice.Size[0];
  const std::size_t  rowLength = spline.GetRowLength() / VDimension;
  const std::size_t  planeLength = spline.GetPlaneLength() / VDimension;
  std::vector<float> sums(planeLength * (spline.Cells[VDimension - 1] + 3), 0.0f);
  std::vector<float> plane(planeLength);
  std::vector<float> row(rowLength);
  const float *      values = displacement + component * lattice.GetNumberOfPoints();
  for (std::size_t z = 0; z < lattice.GetPlanes(); ++z)
  {
    std::fill(plane.begin(), plane.end(), 0.0f);
    for (std::size_t y = 0; y < lattice.GetRows(); ++y, values += width)
    {
      std::fill(row.begin(), row.end(), 0.0f);
      const int * const   first = spline.First[0].data();
      const float * const factors = spline.Factors[0].data();
      // the points of a cell share their four coefficients
      for (std::size_t x = 0; x < width;)
      {
        const int cell = first[x];
        float     parts[4] = {};
        for (; x < width && first[x] == cell; ++x)
        {
          for (unsigned int k = 0; k < 4; ++k)
          {
            parts[k] += factors[k * width + x] * values[x];
          }
        }
        for (int k = 0; k < 4; ++k)
        {
          row[static_cast<std::size_t>(cell + k)] += parts[k];
        }
      }
      if constexpr (VDimension == 3)
      {
        spline.Spread(1, y, row.data(), rowLength, plane.data());
      }
      else
      {
        plane = row;
      }
    }
    spline.Spread(VDimension - 1, z, plane.data(), planeLength, sums.data());
  }
  for (std::size_t n = 0; n < sums.size(); ++n)
  {
    coefficients[n * VDimension + component] += sums[n];
  }
}
} // namespace ITK_NEPHI_TARGET
} // namespace NePhiKernels
} // namespace itk
