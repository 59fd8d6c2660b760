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

// What the Python package calls, by ctypes, to train a field: see itk_nephi/fields/compiled.py.

#include "itkMultiThreaderBase.h"
#include "itkNePhiFieldTraining.h"

#include <atomic>
#include <memory>

namespace
{
/** Calls a function for all blocks, on so many threads. */
class Threads
{
public:
  explicit Threads(std::int64_t count)
    : m_Count(static_cast<std::size_t>(count))
  {}

  template <typename TFunction>
  void
  operator()(std::size_t blocks, const TFunction & function) const
  {
    std::atomic<std::size_t> next{ 0 };
    const auto               work = [&](itk::SizeValueType) {
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
    const auto threader = itk::MultiThreaderBase::New();
    threader->SetMaximumNumberOfThreads(static_cast<itk::ThreadIdType>(count));
    threader->SetNumberOfWorkUnits(static_cast<itk::ThreadIdType>(count));
    threader->ParallelizeArray(0, count, work, nullptr);
  }

private:
  std::size_t m_Count;
};

template <unsigned int VDimension>
itk::NePhiFieldTraining<VDimension>
MakeField(const std::int64_t * sizes, const float * extent, const float * frequencies, const float * const * parameters)
{
  itk::NePhiFieldShape<VDimension> shape;
  shape.Width = static_cast<std::size_t>(sizes[0]);
  shape.Depth = static_cast<std::size_t>(sizes[1]);
  shape.Frequencies = static_cast<std::size_t>(sizes[2]);
  shape.GlobalCodeSize = static_cast<std::size_t>(sizes[3]);
  shape.LocalCodeChannels = static_cast<std::size_t>(sizes[4]);
  std::copy_n(sizes + 5, VDimension, shape.LocalCodeGrid.begin());
  sizes += 5 + VDimension;
  shape.SplineCells.resize(static_cast<std::size_t>(*sizes++));
  for (auto & cells : shape.SplineCells)
  {
    std::copy_n(sizes, VDimension, cells.begin());
    sizes += VDimension;
  }
  return { shape, extent, frequencies, parameters };
}

/** Whether a function comes to its end; it does not where memory is short. */
template <typename TFunction>
int
Succeeds(const TFunction & function)
{
  try
  {
    function();
    return 1;
  }
  catch (const std::exception &)
  {
    return 0;
  }
}
} // namespace

#define ITK_NEPHI_TRAINING(VDimension)                                                                                 \
  extern "C"                                                                                                           \
    __attribute__((visibility("default"))) int itkNePhiFieldForward##VDimension(const std::int64_t *  sizes,           \
                                                                                const float *         extent,          \
                                                                                const float *         frequencies,     \
                                                                                const float * const * parameters,      \
                                                                                std::int64_t          threads,         \
                                                                                std::int64_t          count,           \
                                                                                const float *         coords,          \
                                                                                float *               moved,           \
                                                                                float *               jacobians)       \
  {                                                                                                                    \
    return Succeeds([=] {                                                                                              \
      MakeField<VDimension>(sizes, extent, frequencies, parameters)                                                    \
        .Forward(static_cast<std::size_t>(count), coords, moved, jacobians, Threads(threads));                         \
    });                                                                                                                \
  }                                                                                                                    \
  extern "C"                                                                                                           \
    __attribute__((visibility("default"))) int itkNePhiFieldBackward##VDimension(const std::int64_t *  sizes,          \
                                                                                 const float *         extent,         \
                                                                                 const float *         frequencies,    \
                                                                                 const float * const * parameters,     \
                                                                                 std::int64_t          threads,        \
                                                                                 std::int64_t          count,          \
                                                                                 const float *         coords,         \
                                                                                 const float *         gradMoved,      \
                                                                                 const float *         gradJacobians,  \
                                                                                 float * const *       gradParameters, \
                                                                                 float *               gradCoords)     \
  {                                                                                                                    \
    return Succeeds([=] {                                                                                              \
      MakeField<VDimension>(sizes, extent, frequencies, parameters)                                                    \
        .Backward(static_cast<std::size_t>(count),                                                                     \
                  coords,                                                                                              \
                  gradMoved,                                                                                           \
                  gradJacobians,                                                                                       \
                  gradParameters,                                                                                      \
                  gradCoords,                                                                                          \
                  Threads(threads));                                                                                   \
    });                                                                                                                \
  }

ITK_NEPHI_TRAINING(2)
ITK_NEPHI_TRAINING(3)
