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

#include "itkNePhiCalls.h"
#include "itkNePhiFieldTraining.h"

namespace
{
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
    return itk::NePhiSucceeds([=] {                                                                                    \
      MakeField<VDimension>(sizes, extent, frequencies, parameters)                                                    \
        .Forward(static_cast<std::size_t>(count), coords, moved, jacobians, itk::NePhiThreads(threads));               \
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
    return itk::NePhiSucceeds([=] {                                                                                    \
      MakeField<VDimension>(sizes, extent, frequencies, parameters)                                                    \
        .Backward(static_cast<std::size_t>(count),                                                                     \
                  coords,                                                                                              \
                  gradMoved,                                                                                           \
                  gradJacobians,                                                                                       \
                  gradParameters,                                                                                      \
                  gradCoords,                                                                                          \
                  itk::NePhiThreads(threads));                                                                         \
    });                                                                                                                \
  }

ITK_NEPHI_TRAINING(2)
ITK_NEPHI_TRAINING(3)
