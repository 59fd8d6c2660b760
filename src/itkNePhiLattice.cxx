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

// What the Python package calls, by ctypes, to compare images on a lattice: see itk_nephi/fields/lattice.py and
// itk_nephi/losses/lattice.py.

#include "itkNePhiCalls.h"
#include "itkNePhiLattice.h"

namespace
{
/** Sizes are those of the lattice: its points, the first of the whole box's, and these. Others follow them. */
template <unsigned int VDimension>
itk::NePhiLattice<VDimension>
MakeLattice(const std::int64_t * sizes, const double * extent)
{
  itk::NePhiLattice<VDimension> lattice;
  std::copy_n(sizes, VDimension, lattice.Size.begin());
  std::copy_n(sizes + VDimension, VDimension, lattice.First.begin());
  std::copy_n(sizes + 2 * VDimension, VDimension, lattice.Whole.begin());
  std::copy_n(extent, VDimension, lattice.Extent.begin());
  return lattice;
}

/** Sizes are those of the lattice and of the other image, and the radius; geometry is the lattice's extent, the other
 * image's matrix and its offset. */
template <unsigned int VDimension>
int
Correlate(const std::int64_t *  sizes,
          const double *        geometry,
          const float * const * reference,
          const float * const * other,
          const float *         displacement,
          float                 floor,
          std::int64_t          threads,
          double *              sums,
          float *               gradient)
{
  return itk::NePhiSucceeds([=] {
    itk::NePhiLocalCorrelation<VDimension> task;
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
    itk::NePhiCorrelate(task, sums, gradient, itk::NePhiThreads(threads));
  });
}

/** Sizes are those of the lattice, and the spline's cells. */
template <unsigned int VDimension>
itk::NePhiLatticeSpline<VDimension>
MakeSpline(const std::int64_t * sizes, const double * extent)
{
  std::array<std::size_t, VDimension> cells;
  std::copy_n(sizes + 3 * VDimension, VDimension, cells.begin());
  return { MakeLattice<VDimension>(sizes, extent), cells };
}

template <unsigned int VDimension>
int
AddSpline(const std::int64_t * sizes,
          const double *       extent,
          const float *        coefficients,
          std::int64_t         threads,
          float *              displacement)
{
  return itk::NePhiSucceeds([=] {
    const auto              spline = MakeSpline<VDimension>(sizes, extent);
    const itk::NePhiThreads forEach(threads);
    forEach(spline.Lattice.GetPlanes(), [&](std::size_t z) {
      itk::NePhiLatticeKernelSet<VDimension>::Get().AddSplineToPlane(spline, coefficients, z, displacement);
    });
  });
}

template <unsigned int VDimension>
int
ProjectOnSpline(const std::int64_t * sizes,
                const double *       extent,
                const float *        displacement,
                std::int64_t         threads,
                float *              coefficients)
{
  return itk::NePhiSucceeds([=] {
    const auto              spline = MakeSpline<VDimension>(sizes, extent);
    const itk::NePhiThreads forEach(threads);
    forEach(VDimension, [&](std::size_t component) {
      itk::NePhiLatticeKernelSet<VDimension>::Get().ProjectOnSpline(
        spline, static_cast<unsigned int>(component), displacement, coefficients);
    });
  });
}

/** Sizes are those of the lattice, and the stride. */
template <unsigned int VDimension>
int
Compose(const std::int64_t * sizes,
        const double *       extent,
        const float *        inner,
        const float *        outer,
        std::int64_t         threads,
        double *             means,
        const double *       factors,
        float *              gradInner,
        float *              gradOuter)
{
  return itk::NePhiSucceeds([=] {
    itk::NePhiComposition<VDimension> composition(
      MakeLattice<VDimension>(sizes, extent), static_cast<std::size_t>(sizes[3 * VDimension]), inner, outer);
    composition.Compute(means, itk::NePhiThreads(threads));
    if (gradInner != nullptr)
    {
      composition.Differentiate(factors, gradInner, gradOuter, itk::NePhiThreads(threads));
    }
  });
}
} // namespace

#define ITK_NEPHI_SPLINE(name, VDimension)                                                                             \
  extern "C" __attribute__((visibility("default"))) int itkNePhi##name##VDimension(                                    \
    const std::int64_t * sizes, const double * extent, const float * given, std::int64_t threads, float * added)       \
  {                                                                                                                    \
    return name<VDimension>(sizes, extent, given, threads, added);                                                     \
  }

#define ITK_NEPHI_LATTICE(VDimension)                                                                                   \
  extern "C"                                                                                                            \
    __attribute__((visibility("default"))) int itkNePhiLocalCorrelation##VDimension(const std::int64_t *  sizes,        \
                                                                                    const double *        geometry,     \
                                                                                    const float * const * reference,    \
                                                                                    const float * const * other,        \
                                                                                    const float *         displacement, \
                                                                                    float                 floor,        \
                                                                                    std::int64_t          threads,      \
                                                                                    double *              sums,         \
                                                                                    float *               gradient)     \
  {                                                                                                                     \
    return Correlate<VDimension>(sizes, geometry, reference, other, displacement, floor, threads, sums, gradient);      \
  }                                                                                                                     \
  extern "C" __attribute__((visibility("default"))) int itkNePhiComposition##VDimension(const std::int64_t * sizes,     \
                                                                                        const double *       extent,    \
                                                                                        const float *        inner,     \
                                                                                        const float *        outer,     \
                                                                                        std::int64_t         threads,   \
                                                                                        double *             means,     \
                                                                                        const double *       factors,   \
                                                                                        float *              gradInner, \
                                                                                        float *              gradOuter) \
  {                                                                                                                     \
    return Compose<VDimension>(sizes, extent, inner, outer, threads, means, factors, gradInner, gradOuter);             \
  }

ITK_NEPHI_SPLINE(AddSpline, 2)
ITK_NEPHI_SPLINE(AddSpline, 3)
ITK_NEPHI_SPLINE(ProjectOnSpline, 2)
ITK_NEPHI_SPLINE(ProjectOnSpline, 3)
ITK_NEPHI_LATTICE(2)
ITK_NEPHI_LATTICE(3)
