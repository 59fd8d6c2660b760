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

// Includes ITK_NEPHI_KERNELS, the file that this macro names, once for each instruction set, and undefines it. That
// file sees the compiler's target set, ITK_NEPHI_TARGET naming it, and ITK_NEPHI_VECTOR_BYTES telling the size of its
// registers. Hence no include guard here, nor there. ITK_NEPHI_INDEPENDENT, before a loop, promises that what one
// round writes no other reads.

#ifdef __clang__
#  define ITK_NEPHI_INDEPENDENT
#else
#  define ITK_NEPHI_INDEPENDENT _Pragma("GCC ivdep")
#endif

#define ITK_NEPHI_TARGET Portable
#define ITK_NEPHI_VECTOR_BYTES 16
#include ITK_NEPHI_KERNELS
#undef ITK_NEPHI_TARGET
#undef ITK_NEPHI_VECTOR_BYTES

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#  ifndef ITK_NEPHI_X86_DISPATCH
#    define ITK_NEPHI_X86_DISPATCH
#  endif

#  pragma GCC push_options
#  pragma GCC target("avx2,fma")
#  define ITK_NEPHI_TARGET AVX2
#  define ITK_NEPHI_VECTOR_BYTES 32
#  include ITK_NEPHI_KERNELS
#  undef ITK_NEPHI_TARGET
#  undef ITK_NEPHI_VECTOR_BYTES
#  pragma GCC pop_options

#  pragma GCC push_options
#  pragma GCC target("avx2,fma,avx512f,avx512dq,avx512vl,avx512bw,prefer-vector-width=512")
#  define ITK_NEPHI_TARGET AVX512
#  define ITK_NEPHI_VECTOR_BYTES 64
#  include ITK_NEPHI_KERNELS
#  undef ITK_NEPHI_TARGET
#  undef ITK_NEPHI_VECTOR_BYTES
#  pragma GCC pop_options
#endif

#undef ITK_NEPHI_INDEPENDENT
#undef ITK_NEPHI_KERNELS
