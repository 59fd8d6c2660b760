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
#include "itkNePhiTransform.h"

#include "gtest/gtest.h"
#include "itkNePhiTransformIOFactory.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace
{
constexpr unsigned int Dimension = 3;

using TransformType = itk::NePhiTransform<double, Dimension>;
using LayoutType = itk::NePhiFieldLayout<Dimension>;
using PointType = TransformType::InputPointType;
using FixedParametersType = TransformType::FixedParametersType;

/** Width 8, depth 1, 3 frequencies, codes of 2 and 4, one spline of 3 x 2 x 2 cells; a turned domain. */
FixedParametersType
MakeFixedParameters()
{
  const double              c = std::cos(0.3);
  const double              s = std::sin(0.3);
  const std::vector<double> domain{ 2,   8,    1,   3,   2, 4,  2, 3, 2, 16, 12, 10, 1.0, 1.5,
                                    2.0, -5.0, 7.0, 3.0, c, -s, 0, s, c, 0,  0,  0,  1 };
  std::mt19937_64           generator(1);
  FixedParametersType       fixedParameters(LayoutType::FrequenciesBegin + 2 * 3 * Dimension + Dimension);
  std::copy(domain.begin(), domain.end(), fixedParameters.begin());
  std::normal_distribution<double> normal;
  for (std::size_t n = domain.size(); n < fixedParameters.size(); ++n)
  {
    fixedParameters[n] = normal(generator);
  }
  const double cells[] = { 3, 2, 2 };
  std::copy_n(cells, Dimension, fixedParameters.end() - Dimension);
  return fixedParameters;
}

TransformType::Pointer
MakeTransform()
{
  const auto transform = TransformType::New();
  transform->SetFixedParameters(MakeFixedParameters());
  TransformType::ParametersType    parameters(transform->GetNumberOfParameters());
  std::mt19937_64                  generator(2);
  std::normal_distribution<double> normal(0.0, 0.03);
  std::generate(parameters.begin(), parameters.end(), [&] { return normal(generator); });
  transform->SetParameters(parameters);
  return transform;
}

/** Some within the domain, some beyond. */
std::vector<PointType>
MakePoints(std::size_t count)
{
  std::mt19937_64                        generator(3);
  std::uniform_real_distribution<double> uniform(-10.0, 30.0);
  std::vector<PointType>                 points(count);
  for (auto & point : points)
  {
    std::generate(point.Begin(), point.End(), [&] { return uniform(generator); });
  }
  return points;
}
} // namespace

TEST(NePhiTransform, IsTheIdentityAtFirst)
{
  const auto transform = TransformType::New();
  for (const PointType & point : MakePoints(20))
  {
    EXPECT_EQ(transform->TransformPoint(point), point);
  }
  EXPECT_EQ(transform->GetWidth(), 1U);
  EXPECT_EQ(transform->GetFileFormatVersion(), 1U);
}

TEST(NePhiTransform, SaysWhatItsFixedParametersSay)
{
  const auto transform = MakeTransform();
  EXPECT_EQ(transform->GetFileFormatVersion(), 2U);
  EXPECT_EQ(transform->GetWidth(), 8U);
  EXPECT_EQ(transform->GetDepth(), 1U);
  EXPECT_EQ(transform->GetFrequencies(), 3U);
  EXPECT_EQ(transform->GetGlobalCodeSize(), 2U);
  EXPECT_EQ(transform->GetLocalCodeChannels(), 4U);
  EXPECT_EQ(transform->GetLocalCodeGrid()[1], 3U);
  ASSERT_EQ(transform->GetSplineCells().size(), 1U);
  EXPECT_EQ(transform->GetSplineCells()[0][0], 3U);
  EXPECT_EQ(transform->GetSize(), (itk::Size<Dimension>{ { 16, 12, 10 } }));
  EXPECT_EQ(transform->GetSpacing()[1], 1.5);
  EXPECT_EQ(transform->GetOrigin()[0], -5.0);
  EXPECT_EQ(transform->GetDirection()(1, 0), std::sin(0.3));
  // two fields of 78 + 59 + 107 weights and biases, the codes, two splines
  const std::size_t weights = 8 * 7 + 8 * 9 + 3 * 9 + 8 * 13 + 8 * 9;
  EXPECT_EQ(transform->GetNumberOfParameters(), 2 * weights + 2 + 4 * 12 + 2 * 3 * 6 * 5 * 5);
}

TEST(NePhiTransform, ManyPointsAreMappedAsEachAlone)
{
  const auto             transform = MakeTransform();
  const auto             points = MakePoints(1000);
  std::vector<PointType> mapped(points.size());
  std::vector<PointType> again(points.size());
  transform->TransformPoints(points.front().GetDataPointer(), mapped.front().GetDataPointer(), points.size());
  std::transform(points.begin(), points.end(), again.begin(), [&](const PointType & point) {
    return transform->TransformPoint(point);
  });
  EXPECT_EQ(mapped, again);
  EXPECT_NE(mapped, points);
}

TEST(NePhiTransform, PointsOfALatticeAreMappedAsEachAlone)
{
  const auto transform = MakeTransform();
  const auto other = MakeTransform();
  for (int n = 0; n < 4 * 5 * 40; ++n)
  {
    PointType point;
    point[0] = -4.0 + 0.37 * (n % 40);
    point[1] = 8.0 + 0.81 * (n / 40 % 5);
    point[2] = 2.0 + 1.1 * (n / 200);
    PointType alone;
    other->TransformPoints(point.GetDataPointer(), alone.GetDataPointer(), 1);
    EXPECT_EQ(transform->TransformPoint(point), alone);
  }
}

TEST(NePhiTransform, JacobiansAreDerivatives)
{
  constexpr double                    step = 1e-3; // the layers are of single precision
  const auto                          transform = MakeTransform();
  TransformType::JacobianPositionType jacobian;
  for (const PointType & point : MakePoints(20))
  {
    transform->ComputeJacobianWithRespectToPosition(point, jacobian);
    for (unsigned int j = 0; j < Dimension; ++j)
    {
      PointType below = point;
      PointType above = point;
      below[j] -= step;
      above[j] += step;
      const auto difference = transform->TransformPoint(above) - transform->TransformPoint(below);
      for (unsigned int i = 0; i < Dimension; ++i)
      {
        EXPECT_NEAR(jacobian(i, j), difference[i] / (2.0 * step), 0.01);
      }
    }
  }
}

TEST(NePhiTransform, ParametersHaveDerivatives)
{
  constexpr double            step = 1e-2;
  const auto                  transform = MakeTransform();
  const auto                  parameters = transform->GetParameters();
  const PointType             point = MakePoints(1)[0];
  TransformType::JacobianType jacobian;
  transform->ComputeJacobianWithRespectToParameters(point, jacobian);
  ASSERT_EQ(jacobian.cols(), parameters.size());
  std::mt19937_64                  generator(4);
  std::normal_distribution<double> normal;
  TransformType::DerivativeType    update(parameters.size());
  std::generate(update.begin(), update.end(), [&] { return normal(generator); });
  transform->UpdateTransformParameters(update, step * 1e-2);
  const PointType above = transform->TransformPoint(point);
  transform->UpdateTransformParameters(update, -2.0 * step * 1e-2);
  const PointType below = transform->TransformPoint(point);
  for (unsigned int i = 0; i < Dimension; ++i)
  {
    double expected = 0.0;
    for (std::size_t n = 0; n < update.size(); ++n)
    {
      expected += jacobian(i, n) * update[n];
    }
    EXPECT_NEAR((above[i] - below[i]) / (2.0 * step * 1e-2), expected, 0.02 * (1.0 + std::abs(expected)));
  }
}

TEST(NePhiTransform, TheInverseExchangesTheFields)
{
  const auto transform = MakeTransform();
  const auto inverse = TransformType::New();
  const auto again = TransformType::New();
  ASSERT_TRUE(transform->GetInverse(inverse));
  ASSERT_TRUE(inverse->GetInverse(again));
  EXPECT_FALSE(transform->GetInverse(nullptr));
  EXPECT_NE(inverse->GetParameters(), transform->GetParameters());
  EXPECT_EQ(again->GetParameters(), transform->GetParameters());
  EXPECT_EQ(again->GetFixedParameters(), transform->GetFixedParameters());
}

TEST(NePhiTransform, RefusesWhatIsWrongAndChangesNothing)
{
  const auto      transform = MakeTransform();
  const PointType point = MakePoints(1)[0];
  const PointType mapped = transform->TransformPoint(point);
  auto            parameters = transform->GetParameters();
  parameters[3] = std::nan("");
  EXPECT_THROW(transform->SetParameters(parameters), itk::ExceptionObject);
  EXPECT_THROW(transform->SetParameters(TransformType::ParametersType(5)), itk::ExceptionObject);
  for (const auto & [number, value] :
       std::vector<std::pair<std::size_t, double>>{ { 0, 3.0 },
                                                    { 1, 0.5 },
                                                    { 1, 1e7 },
                                                    { 6, 1.0 },
                                                    { LayoutType::SizeBegin, 1.0 },
                                                    { LayoutType::SpacingBegin, -1.0 },
                                                    { LayoutType::OriginBegin, HUGE_VAL },
                                                    { LayoutType::DirectionBegin, 2.0 },
                                                    { LayoutType::FrequenciesBegin, std::nan("") } })
  {
    FixedParametersType fixedParameters = transform->GetFixedParameters();
    fixedParameters[number] = value;
    EXPECT_THROW(transform->SetFixedParameters(fixedParameters), itk::ExceptionObject) << number << ": " << value;
  }
  EXPECT_THROW(transform->SetBackend("magic"), itk::ExceptionObject);
  EXPECT_EQ(transform->TransformPoint(point), mapped);
  transform->Clear();
  EXPECT_THROW(transform->TransformPoint(point), itk::ExceptionObject);
}

TEST(NePhiTransform, SinglePrecisionMapsTheSame)
{
  const auto transform = MakeTransform();
  const auto single = itk::NePhiTransform<float, Dimension>::New();
  single->SetFixedParameters(transform->GetFixedParameters());
  itk::NePhiTransform<float, Dimension>::ParametersType parameters(transform->GetNumberOfParameters());
  std::copy(transform->GetParameters().begin(), transform->GetParameters().end(), parameters.begin());
  single->SetParameters(parameters);
  for (const PointType & point : MakePoints(20))
  {
    itk::Point<float, Dimension> given;
    given.CastFrom(point);
    const auto mapped = single->TransformPoint(given);
    const auto expected = transform->TransformPoint(point);
    for (unsigned int i = 0; i < Dimension; ++i)
    {
      EXPECT_NEAR(mapped[i], expected[i], 1e-4);
    }
  }
}

TEST(NePhiTransformIOFactory, CreatesTransformsWithoutParameters)
{
  itk::NePhiTransformIOFactory::RegisterOneFactory();
  const auto   created = itk::ObjectFactoryBase::CreateInstance("NePhiTransform_double_3_3");
  auto * const transform = dynamic_cast<TransformType *>(created.GetPointer());
  ASSERT_NE(transform, nullptr);
  transform->UnRegister(); // CreateInstance() gives a reference
  EXPECT_THROW(transform->TransformPoint(PointType{}), itk::ExceptionObject);
}
