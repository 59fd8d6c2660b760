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
#ifndef itkNePhiCalls_h
#define itkNePhiCalls_h

#include <cstdint>

// What the Python package calls to train fields, to compare images on lattices and to align them, in two and three
// dimensions: see itk_nephi/fields/compiled.py and itk_nephi/alignment. Wrapped by wrapping/NePhiCalls.i.

namespace itk
{
/** \name A field: see NePhiFieldTraining.
 *
 * Sizes are the width, the depth, the number of frequencies, the sizes of the global and the local code, that of the
 * latter's grid, the number of splines, and the cells of each. */
/** @{ */
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
                  float *               jacobians);

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
                   float *               gradCoords);
/** @} */

/** \name A lattice: see NePhiLattice.
 *
 * Sizes are those of the lattice: its points, the first of the whole box's, and these. Others follow them. Geometry
 * begins with the lattice's extent. */
/** @{ */
/** Adds a spline to displacements; its cells are the last sizes. */
template <unsigned int VDimension>
void
NePhiAddSpline(const std::int64_t * sizes,
               const double *       geometry,
               const float *        coefficients,
               std::int64_t         threads,
               float *              displacement);

/** Adds the derivatives with respect to a spline's coefficients; its cells are the last sizes. */
template <unsigned int VDimension>
void
NePhiProjectOnSpline(const std::int64_t * sizes,
                     const double *       geometry,
                     const float *        displacement,
                     std::int64_t         threads,
                     float *              coefficients);

/** See NePhiLocalCorrelation. The last sizes are those of the other image, and the radius; geometry ends with the other
 * image's matrix and its offset. The reference is values, inside and weights; the other image is values and weights. */
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
                     float *               gradient);

/** See NePhiComposition. The last of the sizes is the stride. */
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
             float *              gradOuter);
/** @} */

/** \name A level of an alignment: see NePhiLevel.
 *
 * Sizes are those of its image, how many channels it has, and how many points are given, whose coordinates lie
 * component after component. Geometry begins with the spacing of its voxels and the center of the first. */
/** @{ */
/** Interpolates each channel at all points: values, then derivatives along each axis, of the image and of its weight.
 */
template <unsigned int VDimension>
void
NePhiSampleLevel(const std::int64_t * sizes,
                 const double *       geometry,
                 const double *       image,
                 const double *       points,
                 double *             samples);

/** See NePhiExplanation. The last sizes are whether the Hessian is wanted, and whether the motion acts backwards;
 * geometry ends with the rows of the map. The fit is what is explained, the coverage, the gradient and the Hessian. */
template <unsigned int VDimension>
void
NePhiExplainLevel(const std::int64_t * sizes,
                  const double *       geometry,
                  const double *       image,
                  const double *       points,
                  const double *       weights,
                  const double *       targets,
                  double *             fit);
/** @} */
} // namespace itk

#endif
