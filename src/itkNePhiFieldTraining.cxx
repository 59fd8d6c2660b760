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
#include "itkNePhiFieldTraining.h"

#include "itkNePhiCalls.h"
#include "itkNePhiThreads.h"

namespace itk
{
namespace
{
template <unsigned int VDimension>
NePhiFieldTraining<VDimension>
MakeField(const std::int64_t * sizes, const float * extent, const float * frequencies, const float * const * parameters)
{
  NePhiFieldLayout<VDimension> layout;
  layout.Width = static_cast<std::size_t>(sizes[0]);
  layout.Depth = static_cast<std::size_t>(sizes[1]);
  layout.Frequencies = static_cast<std::size_t>(sizes[2]);
  layout.GlobalCodeSize = static_cast<std::size_t>(sizes[3]);
  layout.LocalCodeChannels = static_cast<std::size_t>(sizes[4]);
  std::copy_n(sizes + 5, VDimension, layout.LocalCodeGrid.begin());
  sizes += 5 + VDimension;
  layout.SplineCells.resize(static_cast<std::size_t>(*sizes++));
  for (auto & cells : layout.SplineCells)
  {
    std::copy_n(sizes, VDimension, cells.begin());
    sizes += VDimension;
  }
  return { layout, extent, frequencies, parameters };
}
} // namespace


template <unsigned int VDimension>
void
NePhiFieldForward(const std::int64_t *  sizes,
                  const float *         extent,
                  const float *         frequencies,
                  const float * const * parameters,
                  std::int64_t          threads,
                  std::int64_t          count,
                  const float *         coords,
                  float *               moved,
                  float *               jacobians)
{
  MakeField<VDimension>(sizes, extent, frequencies, parameters)
    .Forward(static_cast<std::size_t>(count), coords, moved, jacobians, NePhiThreads(threads));
}


template <unsigned int VDimension>
void
NePhiFieldBackward(const std::int64_t *  sizes,
                   const float *         extent,
                   const float *         frequencies,
                   const float * const * parameters,
                   std::int64_t          threads,
                   std::int64_t          count,
                   const float *         coords,
                   const float *         gradMoved,
                   const float *         gradJacobians,
                   float * const *       gradParameters,
                   float *               gradCoords)
{
  MakeField<VDimension>(sizes, extent, frequencies, parameters)
    .Backward(static_cast<std::size_t>(count),
              coords,
              gradMoved,
              gradJacobians,
              gradParameters,
              gradCoords,
              NePhiThreads(threads));
}


#define ITK_NEPHI_INSTANTIATE(VDimension)                                                                              \
  template decltype(NePhiFieldForward<VDimension>)  NePhiFieldForward<VDimension>;                                     \
  template decltype(NePhiFieldBackward<VDimension>) NePhiFieldBackward<VDimension>

ITK_NEPHI_INSTANTIATE(2);
ITK_NEPHI_INSTANTIATE(3);
} // namespace itk
