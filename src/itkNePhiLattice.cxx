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

#include "itkNePhiLattice.h"

#include "itkNePhiCalls.h"
#include "itkNePhiThreads.h"

namespace itk
{
namespace
{
template <unsigned int VDimension>
NePhiLattice<VDimension>
MakeLattice(const std::int64_t * sizes, const double * extent)
{
  NePhiLattice<VDimension> lattice;
  std::copy_n(sizes, VDimension, lattice.Size.begin());
  std::copy_n(sizes + VDimension, VDimension, lattice.First.begin());
  std::copy_n(sizes + 2 * VDimension, VDimension, lattice.Whole.begin());
  std::copy_n(extent, VDimension, lattice.Extent.begin());
  return lattice;
}

template <unsigned int VDimension>
NePhiLatticeSpline<VDimension>
MakeSpline(const std::int64_t * sizes, const double * extent)
{
  std::array<std::size_t, VDimension> cells;
  std::copy_n(sizes + 3 * VDimension, VDimension, cells.begin());
  return { MakeLattice<VDimension>(sizes, extent), cells };
}
} // namespace


template <unsigned int VDimension>
void
NePhiAddSpline(const std::int64_t * sizes,
               const double *       geometry,
               const float *        coefficients,
               std::int64_t         threads,
               float *              displacement)
{
  const auto         spline = MakeSpline<VDimension>(sizes, geometry);
  const NePhiThreads forEach(threads);
  forEach(spline.Lattice.GetPlanes(), [&](std::size_t z) {
    NePhiLatticeKernelSet<VDimension>::Get().AddSplineToPlane(spline, coefficients, z, displacement);
  });
}


template <unsigned int VDimension>
void
NePhiProjectOnSpline(const std::int64_t * sizes,
                     const double *       geometry,
                     const float *        displacement,
                     std::int64_t         threads,
                     float *              coefficients)
{
  const auto         spline = MakeSpline<VDimension>(sizes, geometry);
  const NePhiThreads forEach(threads);
  forEach(VDimension, [&](std::size_t component) {
    NePhiLatticeKernelSet<VDimension>::Get().ProjectOnSpline(
      spline, static_cast<unsigned int>(component), displacement, coefficients);
  });
}


template <unsigned int VDimension>
void
NePhiCorrelateImages(const std::int64_t *  sizes,
                     const double *        geometry,
                     const float * const * reference,
                     const float * const * other,
                     const float *         displacement,
                     float                 floor,
                     std::int64_t          threads,
                     double *              sums,
                     float *               gradient)
{
  NePhiLocalCorrelation<VDimension> task;
  task.Lattice = MakeLattice<VDimension>(sizes, geometry);
  task.Reference = reference[0];
  task.ReferenceInside = reference[1];
  task.ReferenceWeights = reference[2];
  task.Other.Values = other[0];
  task.Other.Weights = other[1];
  std::copy_n(sizes + 3 * VDimension, VDimension, task.Other.Size.begin());
  std::copy_n(geometry + VDimension, VDimension * VDimension, task.Other.Matrix.begin());
  std::copy_n(geometry + VDimension + VDimension * VDimension, VDimension, task.Other.Offset.begin());
  task.Displacement = displacement;
  task.Radius = static_cast<std::size_t>(sizes[4 * VDimension]);
  task.Floor = floor;
  NePhiCorrelate(task, sums, gradient, NePhiThreads(threads));
}


template <unsigned int VDimension>
void
NePhiCompose(const std::int64_t * sizes,
             const double *       geometry,
             const float *        inner,
             const float *        outer,
             std::int64_t         threads,
             double *             means,
             const double *       factors,
             float *              gradInner,
             float *              gradOuter)
{
  NePhiComposition<VDimension> composition(
    MakeLattice<VDimension>(sizes, geometry), static_cast<std::size_t>(sizes[3 * VDimension]), inner, outer);
  composition.Compute(means, NePhiThreads(threads));
  if (gradInner != nullptr)
  {
    composition.Differentiate(factors, gradInner, gradOuter, NePhiThreads(threads));
  }
}


#define ITK_NEPHI_INSTANTIATE(VDimension)                                                                              \
  template decltype(NePhiAddSpline<VDimension>)       NePhiAddSpline<VDimension>;                                      \
  template decltype(NePhiProjectOnSpline<VDimension>) NePhiProjectOnSpline<VDimension>;                                \
  template decltype(NePhiCorrelateImages<VDimension>) NePhiCorrelateImages<VDimension>;                                \
  template decltype(NePhiCompose<VDimension>)         NePhiCompose<VDimension>

ITK_NEPHI_INSTANTIATE(2);
ITK_NEPHI_INSTANTIATE(3);
} // namespace itk
