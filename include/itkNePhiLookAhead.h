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
#ifndef itkNePhiLookAhead_h
#define itkNePhiLookAhead_h

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace itk
{
/** \class NePhiLookAhead
 * \brief Predicts which points a map will be asked for next, so that it can evaluate them together.
 *
 * ITK asks for one point at a time, but its filters walk along the rows of a lattice. Once points follow each other
 * with a constant step, the next ones are evaluated in one batch, and the following questions are answered from it. The
 * step and the length of a row are remembered, so that the next row is predicted from its first point. A point that was
 * not predicted is evaluated on its own.
 *
 * A predicted point differs from the one that is then asked for by rounding. So the map depends on a key alone, which
 * is the same for both: the answer is, to the bit, what the asked point gets on its own.
 *
 * Not thread-safe: every thread has its own.
 *
 * \ingroup NePhi
 */
template <unsigned int VDimension>
class NePhiLookAhead
{
public:
  using VectorType = std::array<double, VDimension>;

  /** That of the calling thread for the map with the given number, which is not 0 and which no other map ever has. */
  static NePhiLookAhead &
  OfThisThread(std::uint64_t map)
  {
    // As many as a composite is likely to hold.
    static thread_local std::array<NePhiLookAhead, 4> all;
    static thread_local std::size_t                   oldest = 0;
    for (auto & lookAhead : all)
    {
      if (lookAhead.m_Map == map)
      {
        return lookAhead;
      }
    }
    oldest = (oldest + 1) % all.size();
    all[oldest] = NePhiLookAhead{};
    all[oldest].m_Map = map;
    return all[oldest];
  }

  /** The value of the map at a point.
   *
   * makeKey(point) gives the key of a point. evaluate(count, keys, values) evaluates the map at some keys, which lie
   * one after the other in memory as the values do; never at more than pointsTogether.
   */
  template <typename TMakeKey, typename TEvaluate>
  VectorType
  Find(const VectorType & point, std::size_t pointsTogether, const TMakeKey & makeKey, const TEvaluate & evaluate)
  {
    const VectorType key = makeKey(point);
    if (m_Next < m_Keys.size() && m_Keys[m_Next] == key)
    {
      ++m_Run;
      m_Last = point;
      return m_Values[m_Next++];
    }

    const std::size_t count = std::min(this->Continue(point, pointsTogether), pointsTogether);
    m_Last = point;
    m_Keys.resize(count);
    m_Values.resize(count);
    m_Keys[0] = key;
    for (std::size_t n = 1; n < count; ++n)
    {
      VectorType predicted;
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        predicted[d] = point[d] + static_cast<double>(n) * m_Step[d];
      }
      m_Keys[n] = makeKey(predicted);
    }
    evaluate(count, m_Keys.front().data(), m_Values.front().data());
    m_Next = 1;
    return m_Values[0];
  }

private:
  /** Takes a point that was not predicted. Returns how many points, itself included, are expected in its row. */
  std::size_t
  Continue(const VectorType & point, std::size_t pointsTogether)
  {
    constexpr std::size_t leastRow = 4;

    VectorType step;
    bool       isSameStep = m_Run > 0;
    for (unsigned int d = 0; d < VDimension; ++d)
    {
      step[d] = point[d] - m_Last[d];
      isSameStep = isSameStep && std::abs(step[d] - m_Step[d]) <= 1e-9 * (std::abs(point[d]) + std::abs(step[d]));
    }
    if (isSameStep)
    {
      ++m_Run;
      return m_Run <= m_RowLength ? m_RowLength - m_Run + 1 : pointsTogether;
    }
    if (m_Run >= leastRow)
    {
      m_RowLength = m_Run;
      m_Run = 1;
      return m_RowLength;
    }
    // The point and the last one may begin a row.
    m_RowLength = 0;
    m_Run = m_Run > 0 ? 2 : 1;
    m_Step = step;
    return 1;
  }

  std::uint64_t           m_Map{ 0 };
  VectorType              m_Last{};
  VectorType              m_Step{};
  std::size_t             m_Run{ 0 };
  std::size_t             m_RowLength{ 0 };
  std::size_t             m_Next{ 0 };
  std::vector<VectorType> m_Keys{};
  std::vector<VectorType> m_Values{};
};

} // namespace itk
#endif
