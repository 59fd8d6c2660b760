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

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace itk
{
/** \class NePhiLookAhead
 * \brief Predicts which points a map will be asked for next, so that it can evaluate them together.
 *
 * ITK asks for one point at a time, but its filters walk over lattices: along a row, then along the next row, then over
 * the next plane. Once points follow each other with a constant step, the next ones are evaluated in one batch, and the
 * following questions are answered from it. The steps between points, rows and planes and their numbers are learned on
 * the way. A point that was not predicted is evaluated on its own.
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
  GetThreadLocal(std::uint64_t map)
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
      m_Walk.Step();
      return m_Values[m_Next++];
    }

    // Nothing is known if what follows throws.
    m_Next = std::numeric_limits<std::size_t>::max();
    m_Keys.assign(1, key);
    WalkType ahead = m_Walk;
    if (ahead.Step() && makeKey(ahead.GetPoint()) == key)
    {
      // The batch was used up.
      m_Walk = ahead;
    }
    else if (m_Walk.Accept(point))
    {
      ahead = m_Walk;
    }
    else
    {
      pointsTogether = 1;
    }
    while (m_Keys.size() < pointsTogether && ahead.Step())
    {
      m_Keys.push_back(makeKey(ahead.GetPoint()));
    }
    m_Values.resize(m_Keys.size());
    evaluate(m_Keys.size(), m_Keys.front().data(), m_Values.front().data());
    m_Next = 1;
    return m_Values[0];
  }

private:
  /** A walk over a lattice. Level 0 is a row of points, level 1 a row of rows, level 2 a row of planes. */
  class WalkType
  {
  public:
    /** The present point. */
    VectorType
    GetPoint() const
    {
      return m_Levels[0].GetPlace(0);
    }

    /** Goes to the next point; false where the walk is not known to go on. */
    bool
    Step()
    {
      for (unsigned int n = 0; n < VDimension && m_Levels[n].HasStep; ++n)
      {
        if (m_Levels[n].Length == 0 || m_Levels[n].Index + 1 < m_Levels[n].Length)
        {
          this->Begin(n, m_Levels[n].GetPlace(1));
          return true;
        }
      }
      return false;
    }

    /** Takes a point that was not predicted, and learns. Whether it is worthwhile to predict the next ones. */
    bool
    Accept(const VectorType & point)
    {
      constexpr std::size_t leastRow = 4;

      if (m_Levels[0].IsNext(point))
      {
        m_Levels[0].Length = 0;
        this->Begin(0, point);
        return true;
      }
      if (m_Levels[0].Index + 1 < leastRow)
      {
        // No row yet; the present point and this one may begin one.
        const VectorType previous = this->GetPoint();
        m_Levels = {};
        this->Restart(VDimension, previous);
        m_Levels[0].SetStep(point);
        return false;
      }
      for (unsigned int n = 1; n < VDimension; ++n)
      {
        m_Levels[n - 1].Length = m_Levels[n - 1].Index + 1;
        if (!m_Levels[n].HasStep || m_Levels[n].IsNext(point))
        {
          if (!m_Levels[n].HasStep)
          {
            m_Levels[n].SetStep(point);
            this->Restart(n, point);
          }
          else
          {
            m_Levels[n].Length = 0;
            this->Begin(n, point);
          }
          return true;
        }
      }
      // Elsewhere: perhaps another part of the same lattice.
      m_Levels[VDimension - 1].Length = 0;
      this->Restart(VDimension, point);
      return true;
    }

  private:
    struct LevelType
    {
      VectorType  Start{};
      VectorType  Difference{};
      std::size_t Index{ 0 };
      std::size_t Length{ 0 };
      bool        HasStep{ false };

      /** Where a step further along the level lies. */
      VectorType
      GetPlace(std::size_t further) const
      {
        VectorType position = Start;
        for (unsigned int d = 0; d < VDimension; ++d)
        {
          position[d] += static_cast<double>(Index + further) * Difference[d];
        }
        return position;
      }

      bool
      IsNext(const VectorType & point) const
      {
        bool             isNext = HasStep;
        const VectorType next = this->GetPlace(1);
        for (unsigned int d = 0; d < VDimension; ++d)
        {
          isNext = isNext && std::abs(point[d] - next[d]) <= 1e-9 * (std::abs(point[d]) + std::abs(Difference[d]));
        }
        return isNext;
      }

      /** Goes from the start, which is the present position, to the given one. */
      void
      SetStep(const VectorType & point)
      {
        for (unsigned int d = 0; d < VDimension; ++d)
        {
          Difference[d] = point[d] - Start[d];
        }
        Index = 1;
        HasStep = true;
      }
    };

    /** Goes to the next position of a level, where the levels below it start again. */
    void
    Begin(unsigned int level, const VectorType & point)
    {
      ++m_Levels[level].Index;
      this->Restart(level, point);
    }

    /** Lets the levels below the given one start at a point. */
    void
    Restart(unsigned int level, const VectorType & point)
    {
      for (unsigned int n = 0; n < level; ++n)
      {
        m_Levels[n].Start = point;
        m_Levels[n].Index = 0;
      }
    }

    std::array<LevelType, VDimension> m_Levels{};
  };

  std::uint64_t           m_Map{ 0 };
  WalkType                m_Walk{};
  std::size_t             m_Next{ 0 };
  std::vector<VectorType> m_Keys{};
  std::vector<VectorType> m_Values{};
};

} // namespace itk
#endif
