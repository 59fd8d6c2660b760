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
#ifndef itkNePhiThreads_h
#define itkNePhiThreads_h

#include "itkMultiThreaderBase.h"

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace itk
{
/** Calls a function for all blocks, on so many threads. */
class NePhiThreads
{
public:
  explicit NePhiThreads(std::int64_t count)
    : m_Count(static_cast<std::size_t>(count))
  {}

  template <typename TFunction>
  void
  operator()(std::size_t blocks, const TFunction & function) const
  {
    std::atomic<std::size_t> next{ 0 };
    const auto               work = [&](SizeValueType) {
      for (std::size_t block = next++; block < blocks; block = next++)
      {
        function(block);
      }
    };
    const std::size_t count = std::min(m_Count, blocks);
    if (count < 2)
    {
      work(0);
      return;
    }
    const auto threader = MultiThreaderBase::New();
    threader->SetMaximumNumberOfThreads(static_cast<ThreadIdType>(count));
    threader->SetNumberOfWorkUnits(static_cast<ThreadIdType>(count));
    threader->ParallelizeArray(0, count, work, nullptr);
  }

private:
  std::size_t m_Count;
};
} // namespace itk

#endif
