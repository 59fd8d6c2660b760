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

// The part of VNL that itk::Transform needs: the ITK wheels link VNL without exporting it.

#include "itkMacro.h"
#include "vnl/algo/vnl_svd_fixed.h"
#include "vnl/vnl_c_vector.hxx"
#include "vnl/vnl_error.h"
#include "vnl/vnl_matrix.hxx"
#include "vnl/vnl_vector.hxx"
#include "vnl/vnl_vector_fixed.hxx"

#include <Eigen/SVD>

template <typename T, unsigned int R, unsigned int C>
vnl_svd_fixed<T, R, C>::vnl_svd_fixed(const vnl_matrix_fixed<T, R, C> & M, double zero_out_tol)
{
  using MatrixType = Eigen::Matrix<T, R, C>;
  MatrixType matrix;
  for (unsigned int r = 0; r < R; ++r)
  {
    for (unsigned int c = 0; c < C; ++c)
    {
      matrix(r, c) = M(r, c);
    }
  }
  const Eigen::JacobiSVD<MatrixType> svd(matrix, Eigen::ComputeFullU | Eigen::ComputeFullV);
  const T                            bound = static_cast<T>(zero_out_tol);
  const T                            least = bound < 0 ? -bound * svd.singularValues()[0] : bound;
  rank_ = 0;
  for (unsigned int c = 0; c < C; ++c)
  {
    for (unsigned int r = 0; r < R; ++r)
    {
      U_(r, c) = svd.matrixU()(r, c);
    }
    for (unsigned int r = 0; r < C; ++r)
    {
      V_(r, c) = svd.matrixV()(r, c);
    }
    const T    value = svd.singularValues()[c];
    const bool isZero = value <= least;
    W_(c, c) = isZero ? T(0) : value;
    Winverse_(c, c) = isZero ? T(0) : T(1) / value;
    rank_ += isZero ? 0 : 1;
  }
  last_tol_ = zero_out_tol;
}

template <typename T, unsigned int R, unsigned int C>
vnl_matrix_fixed<T, C, R>
vnl_svd_fixed<T, R, C>::pinverse(unsigned int rank) const
{
  vnl_matrix_fixed<T, C, R> result(T(0));
  for (unsigned int k = 0; k < std::min(rank, rank_); ++k)
  {
    for (unsigned int i = 0; i < C; ++i)
    {
      for (unsigned int j = 0; j < R; ++j)
      {
        result(i, j) += V_(i, k) * Winverse_(k, k) * U_(j, k);
      }
    }
  }
  return result;
}

#define ITK_NEPHI_INSTANTIATE_FIXED(T, D)                                                                              \
  template T &       vnl_vector_fixed<T, D>::operator[](size_t);                                                       \
  template const T & vnl_vector_fixed<T, D>::operator[](size_t) const;                                                 \
  template class vnl_svd_fixed<T, D, D>

#define ITK_NEPHI_INSTANTIATE(T)                                                                                       \
  template class vnl_c_vector<T>;                                                                                      \
  template class vnl_vector<T>;                                                                                        \
  template class vnl_matrix<T>;                                                                                        \
  ITK_NEPHI_INSTANTIATE_FIXED(T, 2);                                                                                   \
  ITK_NEPHI_INSTANTIATE_FIXED(T, 3)

ITK_NEPHI_INSTANTIATE(double);
ITK_NEPHI_INSTANTIATE(float);

void
vnl_error_vector_index(const char * function, int index)
{
  itkGenericExceptionMacro(<< function << ": index " << index << " is out of range");
}

void
vnl_error_vector_dimension(const char * function, int size1, int size2)
{
  itkGenericExceptionMacro(<< function << ": sizes " << size1 << " and " << size2 << " do not match");
}

void
vnl_error_matrix_row_index(const char * function, unsigned int row)
{
  itkGenericExceptionMacro(<< function << ": row " << row << " is out of range");
}

void
vnl_error_matrix_col_index(const char * function, unsigned int column)
{
  itkGenericExceptionMacro(<< function << ": column " << column << " is out of range");
}

void
vnl_error_matrix_dimension(const char * function, int rows1, int columns1, int rows2, int columns2)
{
  itkGenericExceptionMacro(<< function << ": sizes " << rows1 << " x " << columns1 << " and " << rows2 << " x "
                           << columns2 << " do not match");
}

void
vnl_error_matrix_nonsquare(const char * function)
{
  itkGenericExceptionMacro(<< function << ": the matrix is not square");
}
